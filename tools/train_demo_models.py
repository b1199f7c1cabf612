"""Trains the demo world's two small models on two CPU cores: a CLIP and a LLaVA-style captioner.

    python tools/train_demo_models.py --out pairmill/demo/models [--scale 1.0]

Three passes over scenes that hold no held-out pair of kind and colour: the picture tower learns to
name attributes, the CLIP to match texts of eight languages, the captioner to answer its three
prompts.  `--scale 0.01` is a quick check that everything runs.  Seeded: the same machine gives the
same weights.
"""

import argparse
import random
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from demo_batches import UNSEEN, Words, chat_batch
from demo_corpus import Corpus, attribute_labels, caption_example, clip_text, fusion_example
from demo_model_shapes import (
    ATTRIBUTES,
    PATCH_HEADS,
    build_captioner,
    build_clip,
    save_captioner,
    save_clip,
    train_tokenizer,
)
from descent import Clock, Descent
from torch import nn

from pairmill.demo.scenes import rng_for
from pairmill.demo.words import COLOURS, KINDS


def unsaid(logits: torch.Tensor, unseen: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Logits (n, classes) without the classes that training never pairs with the `other` attribute
    (n,) of the thing.

    So a loss speaks of a held-out pair neither for nor against; else a model learns that such pairs
    do not exist.
    """
    mask = torch.zeros(len(unseen) + 1, logits.shape[1], dtype=torch.bool)
    mask[:-1, : unseen.shape[1]] = unseen
    return logits.masked_fill(mask[other.clamp(min=-1)], -1e4)


def attribute_loss(logits: torch.Tensor, labels: torch.Tensor, grey: torch.Tensor) -> torch.Tensor:
    parts = list(logits.split(ATTRIBUTES, dim=1))
    for kind, colour in ((0, 1), (5, 6)):
        shown = torch.where(grey, -1, labels[:, colour])
        thing = torch.where(labels[:, kind] < len(KINDS), labels[:, kind], -1)
        parts[kind] = unsaid(parts[kind], UNSEEN.T, shown)
        parts[colour] = unsaid(parts[colour], UNSEEN, thing)
        labels[grey, colour] = -1
    cross = partial(nn.functional.cross_entropy, ignore_index=-1)
    return sum(cross(part, labels[:, i]) for i, part in enumerate(parts))


def patch_loss(logits: torch.Tensor, patches: torch.Tensor, grey: torch.Tensor) -> torch.Tensor:
    """Over logits (batch, 49, heads) and labels (batch, 49, 2); no class at all is `nothing here`,
    the last of each.
    """
    kind, colour = patches.flatten(0, 1).unbind(1)
    hidden = grey[:, None].expand(len(grey), patches.shape[1]).flatten()
    of_kind, of_colour = logits.flatten(0, 1).split(PATCH_HEADS, dim=1)
    of_kind = unsaid(of_kind, UNSEEN.T, torch.where(hidden | (colour == len(COLOURS)), -1, colour))
    of_colour = unsaid(of_colour, UNSEEN, torch.where(kind == len(KINDS), -1, kind))
    cross = partial(nn.functional.cross_entropy, ignore_index=-1)
    return cross(of_kind, kind) + cross(of_colour, torch.where(hidden, -1, colour))


def train_attributes(vision: nn.Module, corpus: Corpus, steps: int, batch: int = 64) -> None:
    """Picture tower: name kind, colour, count, size and texture of both groups, the place, and what
    each patch shows.

    Two pictures in five are grey: there shape alone tells the kind, and colours are not asked for.
    """
    width = vision.config.hidden_size
    whole, local = nn.Linear(width * 2, sum(ATTRIBUTES)), nn.Linear(width, sum(PATCH_HEADS))
    everything = nn.ModuleList([vision, whole, local])
    descent = Descent(everything, steps, 3e-3)
    clock = Clock("attributes", steps)
    for step in range(steps):
        rows = corpus.batch_rows("attributes", step, batch)
        grey = torch.rand(batch) < 0.4
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = vision(corpus.pixels(rows, grey)).last_hidden_state
            logits = whole(torch.cat([hidden[:, 0], hidden[:, 1:].mean(1)], dim=1)).float()
            patch_logits = local(hidden[:, 1:]).float()
        labels = torch.tensor([attribute_labels(corpus.scenes[i]) for i in rows])
        loss = attribute_loss(logits, labels, grey) + 6 * patch_loss(
            patch_logits, torch.from_numpy(corpus.patches[rows]).long(), grey
        )
        clock.tick(step, descent.step(loss))


def train_clip(clip, tokenizer, corpus: Corpus, steps: int, batch: int = 128) -> None:
    descent = Descent(clip, steps, 1e-3)
    clock = Clock("clip", steps)
    for step in range(steps):
        rows = corpus.batch_rows("clip", step, batch)
        rng = rng_for("clip", step)
        words = tokenizer(
            [clip_text(corpus.scenes[i], rng) for i in rows], padding=True, return_tensors="pt"
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = clip(
                pixel_values=corpus.pixels(rows, torch.zeros(batch, dtype=torch.bool)), **words
            )
        logits = out.logits_per_image.float()
        target = torch.arange(len(rows))
        cross = nn.functional.cross_entropy
        clock.tick(step, descent.step((cross(logits, target) + cross(logits.T, target)) / 2))
        with torch.no_grad():
            clip.logit_scale.clamp_(0, np.log(100))


def train_captioner(model, processor, corpus: Corpus, steps: int, batch: int = 64) -> None:
    descent = Descent(model, steps, 1.5e-3)
    clock = Clock("captioner", steps)
    words = Words(processor.tokenizer)
    for step in range(steps):
        rows = corpus.batch_rows("captioner", step, batch)
        rng = random.Random(step)
        fusing = step % 3 == 1
        if fusing:
            pairs = [fusion_example(corpus.scenes[i], corpus.scenes, rng) for i in rows]
        else:
            pairs = [caption_example(corpus.scenes[i], rng) for i in rows]
        inputs, labels = chat_batch(processor, pairs, image=not fusing)
        unseen = None
        if not fusing:
            grey = torch.rand(batch) < 0.25
            unseen = words.unseen(labels)
            inputs["pixel_values"] = corpus.pixels(rows, grey)
            inputs["input_ids"], labels = words.slipped(inputs["input_ids"], labels, grey)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(**inputs).logits[:, :-1].float()
        if unseen is not None:
            logits = logits.masked_fill(unseen, -1e4)
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
        )
        clock.tick(step, descent.step(loss))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default="attributes,clip,captioner")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    torch.set_num_threads(args.threads)
    start = time.time()
    args.out.mkdir(parents=True, exist_ok=True)
    corpus = Corpus(size=max(600, int(30_000 * args.scale)))
    print(f"drew {len(corpus.scenes)} scenes in {time.time() - start:.0f} s", flush=True)
    passes = args.only.split(",")

    clip_tokenizer = train_tokenizer(corpus.clip_corpus(), vocabulary=2600, for_chat=False)
    chat_tokenizer = train_tokenizer(corpus.chat_corpus(), vocabulary=1100, for_chat=True)
    clip = build_clip(clip_tokenizer)
    tower = args.out / "tower.pt"
    if "attributes" in passes:
        train_attributes(clip.vision_model, corpus, steps=max(3, int(3400 * args.scale)))
        torch.save(clip.vision_model.state_dict(), tower)
    clip.vision_model.load_state_dict(torch.load(tower))
    torch.manual_seed(1)
    captioner, processor = build_captioner(chat_tokenizer, clip.vision_model)
    if "clip" in passes:
        torch.manual_seed(2)
        train_clip(clip, clip_tokenizer, corpus, steps=max(3, int(900 * args.scale)))
        save_clip(clip, clip_tokenizer, args.out / "clip")
    if "captioner" in passes:
        torch.manual_seed(3)
        train_captioner(captioner, processor, corpus, steps=max(3, int(2700 * args.scale)))
        save_captioner(captioner, processor, args.out / "captioner")
    print(f"done in {(time.time() - start) / 60:.1f} min", flush=True)


if __name__ == "__main__":
    main()
