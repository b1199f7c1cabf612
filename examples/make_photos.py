"""Writes examples/photos.parquet: the photographs that scikit-image and scikit-learn bring along,
with the captions of photos.csv.

python examples/make_photos.py          # needs the dev dependencies
"""

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

HERE = Path(__file__).parent


def photographs() -> dict[str, np.ndarray]:
    """name → (height, width, 3) uint8."""
    names = (
        "astronaut",
        "chelsea",
        "coffee",
        "rocket",
        "immunohistochemistry",
        "hubble_deep_field",
        "retina",
        "camera",
        "moon",
        "page",
    )
    found = {}
    for name in names:
        try:
            array = getattr(data, name)()
        except (OSError, ModuleNotFoundError):
            continue  # not shipped with the package: it would have to be fetched
        found[name] = array if array.ndim == 3 else np.stack([array] * 3, axis=-1)
    for name, array in zip(("china", "flower"), load_sample_images().images, strict=True):
        found[name] = array
    return found


def write_photos(folder: Path) -> Path:
    """One row per caption of photos.csv whose photograph is there."""
    pictures = {}
    for name, array in photographs().items():
        out = io.BytesIO()
        Image.fromarray(array).save(out, "JPEG", quality=90)
        pictures[name] = out.getvalue()
    with (HERE / "photos.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["photo"] in pictures]
    table = pa.table(
        {
            "image": [pictures[r["photo"]] for r in rows],
            "photo": [r["photo"] for r in rows],
            "text": [r["text"] for r in rows],
        }
    )
    pq.write_table(table, folder / "photos.parquet")
    return folder / "photos.parquet"


if __name__ == "__main__":
    print(write_photos(HERE))
