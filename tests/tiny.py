"""Tiny models of benchmarks/, for tests."""

from collections.abc import Callable
from pathlib import Path

from tiny_models import (
    blip,
    clip,
    deepseek,
    encoders,
    gemma,
    heads,
    llama,
    llava,
    parts,
    qwen,
    single,
    two_towers,
)

pictures = parts.pictures
BUILDERS: dict[str, Callable[[Path], None]] = {
    "blip_itm": heads.blip_itm,
    "clip": clip.clip,
    "open_clip": clip.open_clip,
    "siglip": two_towers.siglip,
    "flava": two_towers.flava,
    "aimv2": two_towers.aimv2,
    "blip_towers": two_towers.blip_towers,
    "x_clip": clip.x_clip,
    "videoprism": two_towers.videoprism,
    "bridgetower_itm": heads.bridgetower_itm,
    "blip2": blip.blip2,
    "qwen": qwen.qwen2_5_vl,
    "reasoning": qwen.reasoning,
    "llava": llava.llava,
    "janus": deepseek.janus,
    "mllama": llama.mllama,
    "hunyuan_vl": single.hunyuan_vl,
    "pix2struct": single.pix2struct,
    "paligemma": gemma.paligemma,
    "text": qwen.text_llm,
    "dinov2": encoders.dinov2,
    "dinov2_with_registers": encoders.dinov2_with_registers,
    "vit": encoders.vit,
    "beit": encoders.beit,
    "resnet": encoders.resnet,
}


def built(kind: str, folder: Path) -> str:
    """The path of a tiny model, made in `folder` once."""
    place = folder / kind
    if not place.exists():
        BUILDERS[kind](place)
    return str(place)
