"""Precision and recall of near-duplicate search on photographs and on the demo's truth.

`python benchmarks/dedup_quality.py` prints the tables of docs/lab-notes.md: each photograph that
scikit-image and scikit-learn bring, and quarters of the larger ones, under each transformation;
pictures that look alike and are no copies beside them.  `more`: mirror images, borders cut off,
parts of pictures (`mirrored`, `trimmed`, `crops: 0.15`).  `--cost ROWS` prints instead what the
search costs among so many made-up pictures.
"""

import argparse
import io
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from pairmill.demo.pictures import picture_bytes
from pairmill.demo.world import FAULTS, World
from pairmill.filters.image_hash import ImageHashConfig, ImageHashStage
from pairmill.images import decode_rgb
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.stage import DedupStage

NAMES = (
    "astronaut chelsea coffee rocket camera coins page hubble_deep_field immunohistochemistry "
    "retina moon text clock brick grass gravel cell colorwheel"
).split()
WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima".split()
Change = Callable[[Image.Image], Image.Image]


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return decode_rgb(out.getvalue())


def cropped(share: float) -> Change:
    def crop(image: Image.Image) -> Image.Image:
        x, y = round(image.width * share / 2), round(image.height * share / 2)
        return image.crop((x, y, image.width - x, image.height - y))

    return crop


def cut_off(left: float, top: float, right: float, bottom: float) -> Change:
    def crop(image: Image.Image) -> Image.Image:
        w, h = image.size
        return image.crop(
            (round(left * w), round(top * h), round((1 - right) * w), round((1 - bottom) * h))
        )

    return crop


def written(text: str, x: float, y: float, part: int, stroke: int) -> Change:
    def write(image: Image.Image) -> Image.Image:
        image = image.copy()
        font = ImageFont.load_default(max(12, image.height // part))
        place = (image.width * x, image.height * y)
        ImageDraw.Draw(image).text(
            place, text, "white", font, stroke_width=stroke, stroke_fill="black"
        )
        return image

    return write


def warmer(image: Image.Image) -> Image.Image:
    values = np.asarray(image, float) * [1.08, 1, 0.92]
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "JPEG quality 30": lambda image: jpeg(image, 30),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    **{f"crop {100 * share:g}%": cropped(share) for share in (0.02, 0.05, 0.1, 0.15)},
    "crop 10%, a corner": cut_off(0.1, 0.1, 0, 0),
    "crop 12%, one side": cut_off(0, 0, 0.12, 0),
    "crop 7% by 3%, anywhere": cut_off(0.05, 0.01, 0.02, 0.02),
    "brightness +15%": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "saturation +30%": lambda image: ImageEnhance.Color(image).enhance(1.3),
    "warmer": warmer,
    "border 4%": lambda image: ImageOps.expand(image, round(min(image.size) * 0.04), "black"),
    "white bars": lambda image: ImageOps.expand(image, (0, image.height // 10), "white"),
    "watermark": written("© photo stock", 0.55, 0.9, 16, 0),
    "text overlay": written("BREAKING NEWS", 0.1, 0.05, 10, 2),
    "flip": ImageOps.mirror,
    "flip, crop 10%": lambda image: ImageOps.mirror(cropped(0.1)(image)),
    "blur 2 px": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
}


def photographs() -> list[Image.Image]:
    """Whole ones, and the quarters of those that are large enough."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    arrays = [getattr(data, name)() for name in NAMES] + list(load_sample_images().images)
    whole = [Image.fromarray(a).convert("RGB") for a in arrays if a.dtype == np.uint8]
    found = list(whole)
    for image in whole:
        w, h = image.size
        if min(w, h) >= 256:
            corners = [(x, y) for x in (0, w // 2) for y in (0, h // 2)]
            found += [image.crop((x, y, x + w // 2, y + h // 2)) for x, y in corners]
    return found


def confusable() -> list[Image.Image]:
    """Words and dots on white, and white itself: alike, and no copies."""
    found = []
    for word in WORDS:
        image = Image.new("RGB", (300, 300), "white")
        font = ImageFont.load_default(40)
        ImageDraw.Draw(image).text((60, 130), word, "black", font)
        found.append(jpeg(image, 90))
    for colour in ("red", "blue", "green", "black"):
        for side in (10, 20, 40, 60):
            image = Image.new("RGB", (300, 300), "white")
            box = (150 - side, 150 - side, 150 + side, 150 + side)
            ImageDraw.Draw(image).ellipse(box, colour)
            found.append(jpeg(image, 90))
    return [*found, Image.new("RGB", (300, 300), "white"), Image.new("RGB", (300, 300), "#eeeeee")]


def table_of(images: list[Image.Image]) -> pa.Table:
    """What `image_hash` says of pictures."""
    every = {"hashes": ["phash", "pdq"], "mirrored": True, "trimmed": True, "large": True}
    stage = ImageHashStage(ImageHashConfig.model_validate(every))
    seen = [stage.seen(image) for image in images]
    columns = [pa.array([row.get(f.name) for row in seen], f.type) for f in stage.writes()]
    uids = pa.array([f"{i:06d}" for i in range(len(seen))])
    return pa.table(columns, schema=stage.writes()).append_column("uid", uids)


SETTINGS: dict[str, dict[str, Any]] = {
    "pHash": {"on": ["image_hash"]},
    "PDQ": {"on": ["image_hash_pdq"]},
    "more": {"on": ["image_hash_trimmed"], "mirrored": True, "crops": 0.15},
}


def said(rows: pa.Table, settings: dict[str, Any]) -> np.ndarray:
    """For each row the position of the row that it is said to repeat, -1 for none."""
    config = DedupConfig.model_validate({"kind": "perceptual", **settings})
    answer = DedupStage(config)(rows)
    return np.array([-1 if u is None else int(u) for u in answer["dup_of"].to_pylist()])


def quality(found: np.ndarray, truth: np.ndarray) -> tuple[float, float, int, int]:
    """(precision, recall, rows said, true repeats); truth: what each row shows."""
    repeats = np.flatnonzero(found >= 0)
    hits = int((truth[repeats] == truth[found[repeats]]).sum())
    true = len(truth) - len(np.unique(truth))
    return hits / max(1, len(repeats)), hits / max(1, true), len(repeats), true


def demo(rows: int) -> tuple[list[Image.Image], np.ndarray]:
    """The demo's pictures, and what each shows."""
    world = World(rows, 1)
    images, truth = [], []
    for i in range(rows):
        row = world.row(i)
        if FAULTS[row.fault] is None:
            image = decode_rgb(picture_bytes(world, row))
            image.thumbnail((256, 256))
            images.append(image)
            truth.append(rows + i if row.copy == "confusable" else row.picture)
    return images, np.array(truth)


def line(title: str, rows: pa.Table, truth: np.ndarray) -> str:
    """A row of the table: precision and recall with each of the settings."""
    figures = [quality(said(rows, settings), truth) for settings in SETTINGS.values()]
    return " | ".join(
        [f"| {title}"]
        + [f"{p:.3f} | {r:.3f}" if n else f"none said | {r:.3f}" for p, r, n, _ in figures]
    ) + " |"  # fmt: skip


def cost(rows: int) -> None:
    """CPU seconds of the search among pictures of noise, a tenth of them parts of others."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (rows, 8, 8, 3)).astype(np.uint8)
    seen = []
    stage = ImageHashStage(ImageHashConfig(mirrored=True, large=True))
    for i in range(rows):
        image = Image.fromarray(coarse[i - i % 10]).resize((96, 96), Image.Resampling.BICUBIC)
        if i % 10 == 1:
            image = cropped(0.1)(image)
        elif i % 10:
            image = Image.fromarray(coarse[i]).resize((96, 96), Image.Resampling.BICUBIC)
        seen.append(stage.seen(image))
    columns = [pa.array([row.get(f.name) for row in seen], f.type) for f in stage.writes()]
    uids = pa.array([f"{i:07d}" for i in range(rows)])
    table = pa.table(columns, schema=stage.writes()).append_column("uid", uids)
    for title, more in (
        ("whole", {}), ("mirrored", {"mirrored": True}), ("crops", {"crops": 0.15}),
    ):  # fmt: skip
        start = time.process_time()
        found = said(table, {"on": ["image_hash"], **more})
        spent, size = time.process_time() - start, int((found >= 0).sum())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"| {title} | {rows:,} | {spent:.1f} CPU s | {size:,} repeats | {peak:,} MB |",
              flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cost", type=int, metavar="ROWS")
    given = parser.parse_args()
    if given.cost:
        cost(given.cost)
        return
    photos, others = photographs(), confusable()
    names = np.arange(len(photos) + len(others))
    print("| transformation " + "".join(f"| {name} precision | recall " for name in SETTINGS) + "|")
    print("| --- |" + " ---: |" * 2 * len(SETTINGS))
    own, truths = table_of([*photos, *others]), [names]
    every: list[pa.Table] = []
    for change, make in CHANGES.items():
        made = table_of([jpeg(make(image), 85) for image in photos])
        truth = np.r_[names, names[: len(photos)]]
        print(line(change, numbered([own, made]), truth), flush=True)
        every, truths = [*every, made], [*truths, names[: len(photos)]]
    both = numbered([own, *every])
    print(line(f"all, {both.num_rows:,} pictures", both, np.concatenate(truths)), flush=True)
    images, truth = demo(3000)
    print(line(f"the demo's web, {len(images):,} pictures", table_of(images), truth))


def numbered(tables: list[pa.Table]) -> pa.Table:
    """One table, its rows named anew by their places."""
    whole = pa.concat_tables(tables).combine_chunks()
    uids = pa.array([f"{i:06d}" for i in range(whole.num_rows)])
    return whole.set_column(whole.schema.get_field_index("uid"), "uid", uids)


if __name__ == "__main__":
    main()
