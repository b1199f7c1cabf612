"""Small inputs for tests of sources, and everything that a source gives."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from PIL import Image

from pairmill.sources.base import Remark, Source, Unreadable

Given = tuple[pl.DataFrame, list[Unreadable], list[Remark]]


def picture(shade: int = 0, width_px: int = 40, height_px: int = 30, kind: str = "JPEG") -> bytes:
    """A picture of one colour; another shade gives other bytes."""
    out = io.BytesIO()
    color = (shade % 256, 100, 255 - shade % 256)
    Image.new("RGB", (width_px, height_px), color).save(out, kind)
    return out.getvalue()


def mask(width_px: int = 40, height_px: int = 30) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width_px, height_px), 255).save(out, "PNG")
    return out.getvalue()


def given_by(source: Source) -> Given:
    """(rows, what could not be read, what was told); rows have the columns that were promised."""
    promised = source.schema()
    tables: list[pa.Table] = []
    unreadable: list[Unreadable] = []
    remarks = source.remarks()
    for part in source.read():
        if isinstance(part, Unreadable):
            unreadable.append(part)
        elif isinstance(part, Remark):
            remarks.append(part)
        else:
            for field in promised:
                assert part.schema.field(field.name).type == field.type, field
            tables.append(part)
    return (
        pl.from_arrow(pa.concat_tables(tables)) if tables else pl.DataFrame(),
        unreadable,
        remarks,
    )


def add(tar: tarfile.TarFile, name: str, data: bytes | str) -> None:
    content = data if isinstance(data, bytes) else data.encode()
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_tar(file: Path, members: Iterable[tuple[str, bytes | str]], mode: str = "w") -> Path:
    with tarfile.open(file, mode) as tar:  # type: ignore[call-overload]
        for name, data in members:
            add(tar, name, data)
    return file


def sample(key: str, shade: int, text: str | None = None, /, **facts: Any) -> list[tuple[str, Any]]:
    """Members as img2dataset writes them."""
    members: list[tuple[str, Any]] = [(f"{key}.jpg", picture(shade))]
    if text is not None:
        members.append((f"{key}.txt", text))
    return [*members, (f"{key}.json", json.dumps(facts))] if facts else members


def write_files(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    for name, data in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder
