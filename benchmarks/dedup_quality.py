"""Precision and recall of near-duplicate search on photographs and on the demo's truth.

`python benchmarks/dedup_quality.py` prints the tables of docs/lab-notes.md: each photograph that
scikit-image and scikit-learn bring, and quarters of the larger ones, under each transformation;
pictures that look alike and are no copies beside them.
"""

import io
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from pairmill.demo.pictures import picture_bytes
from pairmill.demo.world import FAULTS, World
from pairmill.images import decode_rgb
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.pictures import THUMBNAIL, looked_at
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
    "brightness +15%": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "saturation +30%": lambda image: ImageEnhance.Color(image).enhance(1.3),
    "warmer": warmer,
    "border 4%": lambda image: ImageOps.expand(image, round(min(image.size) * 0.04), "black"),
    "watermark": written("© photo stock", 0.55, 0.9, 16, 0),
    "text overlay": written("BREAKING NEWS", 0.1, 0.05, 10, 2),
    "flip": ImageOps.mirror,
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
    seen = [looked_at(image, ["phash", "pdq"]) for image in images]
    thumbnails = pa.array([s["thumbnail"] for s in seen], pa.list_(pa.uint8(), THUMBNAIL))
    return pa.table(
        {
            "image_hash": pa.array([s["phash"] for s in seen], pa.uint64()),
            "image_hash_pdq": [s["pdq"] for s in seen],
            "image_hash_thumbnail": thumbnails,
            "uid": [f"{i:06d}" for i in range(len(seen))],
        }
    )


def said(rows: pa.Table, on: str) -> np.ndarray:
    """For each row the position of the row that it is said to repeat, -1 for none."""
    answer = DedupStage(DedupConfig(kind="perceptual", on=[on]))(rows)
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


def main() -> None:
    photos, others = photographs(), confusable()
    names = np.arange(len(photos) + len(others))
    print("| transformation | pHash precision | recall | PDQ precision | recall |")
    print("| --- | ---: | ---: | ---: | ---: |")
    every, truths = [*photos, *others], [names]
    for change, make in CHANGES.items():
        made = [jpeg(make(image), 85) for image in photos]
        rows, truth = table_of([*photos, *others, *made]), np.r_[names, names[: len(photos)]]
        figures = [quality(said(rows, on), truth) for on in ("image_hash", "image_hash_pdq")]
        line = " | ".join(f"{precision:.3f} | {recall:.3f}" for precision, recall, *_ in figures)
        print(f"| {change} | {line} |", flush=True)
        every, truths = every + made, [*truths, names[: len(photos)]]
    images, truth = demo(3000)
    for title, rows, shown in (
        (f"all, {len(every):,} pictures", table_of(every), np.concatenate(truths)),
        (f"the demo's web, {len(images):,} pictures", table_of(images), truth),
    ):
        figures = [quality(said(rows, on), shown) for on in ("image_hash", "image_hash_pdq")]
        line = " | ".join(f"{precision:.3f} | {recall:.3f}" for precision, recall, *_ in figures)
        print(f"| {title} | {line} |", flush=True)


if __name__ == "__main__":
    main()
