"""What attacks start from: sound files of every kind, and ways to spoil bytes and JSON values."""

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from PIL import features

from pairmill.demo.drawing import render
from pairmill.demo.scenes import random_scene, rng_for

NAMES = (
    "../../canary/precious.txt",
    "/etc/passwd",
    "a/../../canary",
    "",
    "\x00",
    "x" * 5000,
    "~",
    "a\x1b[2J",
)
NUMBERS = (0, -1, 2**31, 2**63, -(2**63), 1e308, 0.1)
FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "TIFF",
    "BMP",
    "AVIF",
    "PPM",
    "TGA",
    "ICO",
    "MPO",
    "JPEG2000",
)


def pictures() -> dict[str, bytes]:
    """A picture in each format that Pillow can write here."""
    found = {}
    image = render(random_scene(rng_for("attack", 0)), 64, 48, rng_for("attack", 1))
    for name in FORMATS:
        if name == "AVIF" and not features.check("avif"):
            continue
        for mode in ("RGB", "RGBA", "P", "L", "1"):
            out = io.BytesIO()
            try:
                image.convert(mode).save(out, name)
            except (OSError, KeyError, ValueError):  # not every format has every mode
                continue
            found[f"{name} {mode}"] = out.getvalue()
    return found


def spoiled(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes cut, doubled, moved, lengths made huge."""
    spoil = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(spoil)) if spoil else 0
        match rng.randrange(8):
            case 0 | 1:
                spoil[at : at + 1] = bytes([spoil[at] ^ 1 << rng.randrange(8)]) if spoil else b"x"
            case 2:
                del spoil[at:]
            case 3:
                del spoil[at : at + rng.randrange(1, 64)]
            case 4:
                spoil[at:at] = bytes(spoil[at : at + rng.randrange(1, 200)]) * rng.randrange(1, 5)
            case 5:
                spoil[at : at + 4] = rng.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x00" * 4))
            case 6:
                spoil[at : at + 8] = rng.randbytes(8)
            case 7:
                other = rng.randrange(len(spoil) or 1)
                spoil[at : at + 32] = spoil[other : other + 32]
    return bytes(spoil)


def mistyped(text: str, rng: random.Random) -> str:
    """A text with a few characters, words or lines changed, still UTF-8 mostly."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(text))
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice("az09 :-{}[],'\"#&*!|>%@\\\t\n") + text[at + 1 :]
            case 1:
                lines = text.splitlines(keepends=True)
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                text = "".join(lines)
            case 2:
                text = text.replace(str(rng.choice((8, 10))), str(rng.choice(NUMBERS)), 1)
            case 3:
                text = (
                    text[:at]
                    + rng.choice(("[" * 400, "&a [*a, *a]", "${X:-y}", "<<: 1", "é", "\u202e"))
                    + text[at:]
                )
            case 4:
                text = text[:at] + text[at + rng.randrange(1, 9) :]
    return text


def twisted(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place of it changed: another type, a strange name, gone, nested."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        return {k: twisted(v, rng) if k == key else v for k, v in value.items()}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [twisted(v, rng) if i == at else v for i, v in enumerate(value)]
    nested: Any = []
    for _ in range(rng.choice((1, 50))):
        nested = [nested]
    return rng.choice((None, True, "", [], {}, nested, value, [value], rng.choice(NAMES), rng.choice(NUMBERS)))  # fmt: skip


def table(image: bytes) -> pl.DataFrame:
    rows = range(24)
    return pl.DataFrame(
        {
            "image": [image] * 24,
            "text": [f'a text, "quoted", of row {i} – ü' for i in rows],
            "url": [f"http://host.test/{i}.jpg" for i in rows],
            "score": [i / 7 for i in rows],
            "tags": [[f"t{i}", "x"] for i in rows],
        }
    )


def sources(image: bytes) -> dict[str, tuple[str, bytes]]:
    """Kind → name of the file and its bytes, for every reader of input."""
    frame = table(image)
    narrow = frame.drop("image", "tags")
    parquet, tar = io.BytesIO(), io.BytesIO()
    frame.write_parquet(parquet, row_group_size=8)
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for i in range(8):
            for suffix, data in ((".jpg", image), (".txt", b"a text"), (".json", b'{"k": 1}')):
                member = tarfile.TarInfo(f"{i:05d}{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in narrow.to_dicts()).encode()
    return {
        "parquet": ("in.parquet", parquet.getvalue()),
        "tar": ("in.tar", tar.getvalue()),
        "tar.gz": ("in.tar.gz", gzip.compress(tar.getvalue())),
        "csv": ("in.csv", narrow.write_csv().encode()),
        "tsv": ("in.tsv", narrow.write_csv(separator="\t").encode()),
        "jsonl": ("in.jsonl", lines),
        "jsonl.gz": ("in.jsonl.gz", gzip.compress(lines)),
        "json": ("in.json", json.dumps(narrow.to_dicts()).encode()),
    }


Writer = Callable[[Path], None]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
