"""Tiny models of benchmarks/, for tests."""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import broad_talkers
import further_talkers
import latest_talkers
import more_talkers
import newer_towers
import tiny_heads
import tiny_parts
import tiny_talkers
import tiny_towers
import tiny_vision

pictures = tiny_parts.pictures
BUILDERS: dict[str, Callable[[Path], None]] = {
    "blip_itm": tiny_heads.blip_itm,
    "clip": tiny_towers.clip,
    "open_clip": tiny_towers.open_clip,
    "siglip": tiny_towers.siglip,
    "flava": tiny_towers.flava,
    "aimv2": newer_towers.aimv2,
    "blip_towers": newer_towers.blip_towers,
    "x_clip": newer_towers.x_clip,
    "videoprism": newer_towers.videoprism,
    "bridgetower_itm": tiny_heads.bridgetower_itm,
    "blip2": more_talkers.blip2,
    "qwen": tiny_talkers.qwen2_5_vl,
    "reasoning": tiny_talkers.reasoning,
    "llava": tiny_talkers.llava,
    "janus": latest_talkers.janus,
    "mllama": more_talkers.mllama,
    "hunyuan_vl": further_talkers.hunyuan_vl,
    "pix2struct": broad_talkers.pix2struct,
    "paligemma": more_talkers.paligemma,
    "text": tiny_talkers.text_llm,
    "dinov2": tiny_vision.dinov2,
    "dinov2_with_registers": tiny_vision.dinov2_with_registers,
    "vit": tiny_vision.vit,
    "beit": tiny_vision.beit,
    "resnet": tiny_vision.resnet,
}


def built(kind: str, folder: Path) -> str:
    """The path of a tiny model, made in `folder` once."""
    place = folder / kind
    if not place.exists():
        BUILDERS[kind](place)
    return str(place)
