"""Scores of pairs by transformers and open_clip alone, as each family's own example computes them."""

import json
from pathlib import Path

from PIL import Image

PADDED = (
    *("clip", "altclip", "chinese_clip", "metaclip_2", "clipseg", "groupvit", "owlv2"),
    *("vision-text-dual-encoder", "aimv2", "blip"),
)
"""Types of models whose processor pads texts where it is told to."""


def direct_open_clip(folder: Path, images: list[Image.Image], texts: list[str]) -> list[float]:
    import open_clip
    import torch

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    words = open_clip.get_tokenizer(f"local-dir:{folder}")(texts)
    with torch.no_grad():
        image = model.encode_image(torch.stack([preprocess(i) for i in images]))
        text = model.encode_text(words)
    return [float(s) for s in torch.nn.functional.cosine_similarity(image, text)]


def direct_scores(folder: Path, images: list[Image.Image], texts: list[str]) -> list[float]:
    """As the family's own example does it: the processor, then the model, in one call each."""
    import torch
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)
    kind = model.config.model_type
    padding = {"padding": "max_length"} if "siglip" in kind else {}
    if kind in PADDED:
        padding = {"padding": True}
    limit = {"altclip": {"max_length": 40}, "blip": {"max_length": 48}}.get(kind, {})
    inputs = processor(
        text=texts, images=images, return_tensors="pt", truncation=True, **padding, **limit
    )
    with torch.no_grad():
        out = model(**inputs)
    return [
        float(s) for s in torch.nn.functional.cosine_similarity(out.image_embeds, out.text_embeds)
    ]


def direct_matches(folder: Path, images: list[Image.Image], texts: list[str]) -> list[float]:
    """As the family's own example does it, one pair at a time; BLIP-2's mark of a picture is broken
    in texts, which no example has.
    """
    import torch
    import transformers as t

    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(t, name).from_pretrained(folder, dtype=torch.float32).eval()
    processor = t.AutoProcessor.from_pretrained(folder)
    found = []
    for image, text in zip(images, texts, strict=True):
        if name.startswith("Blip2"):
            options, head = {"max_length": 52}, {"use_image_text_matching_head": True}
            text = text.replace("<image>", "< image>")
        else:
            options, head = {"max_length": 64 if name.startswith("Bridge") else 48}, {}
        inputs = processor(images=image, text=text, return_tensors="pt", truncation=True, **options)
        with torch.no_grad():
            out = model(**inputs, **head)
        logits = out.logits_per_image if head else out.get("itm_score", out.get("logits"))
        found.append(float(logits.softmax(1)[0, 1]))
    return found
