"""Two sources of the demo world: pictures with the web's texts, and pictures that have a label
alone.

    python -m pairmill.demo.labelled FOLDER --rows 300

writes `web/pairs.parquet` (image, url, text), `labels/<kind>/*.jpg` and, apart from them,
`truth.parquet`, by the pictures' SHA-256.
"""

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.demo.pictures import picture_bytes
from pairmill.demo.scenes import random_scene
from pairmill.demo.world import World, WorldRow

TRUTH = pa.schema(
    [
        ("sha256", pa.string()),
        ("branch", pa.string()),
        ("label", pa.string()),
        ("place", pa.string()),
        ("kinds", pa.list_(pa.string())),
        ("matched", pa.bool_()),
    ]
)

PLACE = "beach"
"""Of all labelled pictures."""


def write_two_sources(world: World, folder: Path) -> Path:
    """Writes as many web pairs as the world has rows, and a third as many labelled pictures of one
    place, as sets of labels are of one domain; gives the truth's path.
    """
    web, truth = [], []
    for row in map(world.row, range(world.rows)):
        data = picture_bytes(world, row)
        web.append({"image": data, "url": row.url, "text": row.text})
        truth.append(facts("web", None, row, data))
    (folder / "web").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(web), folder / "web/pairs.parquet")
    for index in range(world.rows // 3):
        row = labelled(world, index)
        label, data = row.scene.groups[0].kind, picture_bytes(world, row)
        file = folder / "labels" / label / f"{index:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        truth.append(facts("labels", label, row, data))
    pq.write_table(pa.Table.from_pylist(truth, TRUTH), folder / "truth.parquet")
    return folder / "truth.parquet"


def labelled(world: World, index: int) -> WorldRow:
    """A picture that the web does not have."""
    number = world.rows + index
    scene = replace(random_scene(world.rng("labelled", number)), place=PLACE)
    plain = {"fault": "none", "copy": "original", "change": None, "picture": number}
    return replace(world.row(0), index=number, scene=scene, **plain)  # type: ignore[arg-type]


def facts(branch: str, label: str | None, row: WorldRow, data: bytes) -> dict[str, object]:
    """What is true of a picture."""
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "branch": branch,
        "label": label,
        "place": row.scene.place,
        "kinds": [group.kind for group in row.scene.groups],
        "matched": row.matched if branch == "web" else None,
    }


def main() -> None:
    """Writes the two sources into the folder given, and prints where the truth lies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=300)
    given = parser.parse_args()
    print(write_two_sources(World(given.rows, 0), given.folder))


if __name__ == "__main__":
    main()
