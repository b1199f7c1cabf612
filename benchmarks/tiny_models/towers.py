"""All tiny two-tower models, by family."""

from collections.abc import Callable
from pathlib import Path

from tiny_models import clip, two_towers

TOWERS: dict[str, Callable[[Path], None]] = {
    "CLIP": clip.clip,
    "open_clip": clip.open_clip,
    "SigLIP": two_towers.siglip,
    "SigLIP 2 (fixed)": two_towers.siglip2,
    "SigLIP 2 (NaFlex)": two_towers.siglip2_naflex,
    "AltCLIP": clip.altclip,
    "ChineseCLIP": clip.chinese_clip,
    "MetaCLIP 2": clip.metaclip_2,
    "ALIGN": two_towers.align,
    "CLIPSeg": clip.clipseg,
    "GroupViT": clip.groupvit,
    "OWLv2 (detector)": clip.owlv2,
    "ViT and BERT (LiT)": two_towers.two_encoders,
    "open_clip (CoCa)": clip.coca,
    "AIMv2 (LiT)": two_towers.aimv2,
    "TIPSv2": two_towers.tipsv2,
    "BLIP (two towers)": two_towers.blip_towers,
}
