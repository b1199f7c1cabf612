"""What rows are looked for by: texts, pictures, or vectors, in the pipeline file or in sets."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from PIL import Image

from pairmill.errors import PairmillError, StageBroken
from pairmill.images import DecodeError, decode_rgb
from pairmill.models.load import Spec
from pairmill.models.towers import open_towers, vectors_of_images, vectors_of_texts
from pairmill.models.vectors import unit, vectors_of
from pairmill.schemas.arrow import is_list
from pairmill.sources.base import NoInput, Source
from pairmill.sources.folder import FolderConfig, FolderSource
from pairmill.sources.package import PackageConfig, PackageSource, read_manifest
from pairmill.stages.dedup.against import NAMES, holds_parquet, sound_tables
from pairmill.texts.files import decoded, entries_of

TEXTS = ("text", "caption", "query", "label", "name")
"""Columns of a table that are taken for its queries, the first that there is."""
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


class BadQueries(PairmillError):
    """Queries that cannot be read; the message says of which set, and why."""


@dataclass(frozen=True)
class Query:
    """`value`: a text, a picture, or a float32 vector."""

    name: str
    value: "str | Image.Image | np.ndarray"


def read_queries(sets: dict[str, str], column: str | None) -> list[Query]:
    """The queries of all sets in order.  Raises BadQueries."""
    found: list[Query] = []
    for name, path in sets.items():
        try:
            mine = list(queries_at(path, column))
        except (
            ValueError,
            OSError,
            pa.ArrowException,
            pl.exceptions.PolarsError,
            NoInput,
        ) as error:
            raise BadQueries(f"sets: {name!r} ({path}): {error}") from None
        if not mine:
            raise BadQueries(f"sets: {name!r} ({path}) holds no query")
        found += mine
    return found


def queries_at(path: str, column: str | None) -> Iterator[Query]:
    """The queries of a file or folder; raises ValueError, DecodeError's message in it."""
    kind = os.path.splitext(path)[1].lower()
    if os.path.isdir(path) and read_manifest(path) is not None:
        yield from of_source(PackageSource(PackageConfig(path=path)), column)
    elif os.path.isdir(path) and not holds_parquet(path):
        yield from of_source(FolderSource(FolderConfig(path=path)), column or "image")
    elif kind in PICTURES:
        with open(path, "rb") as stream:
            yield Query(os.path.basename(path), picture(stream.read(), path))
    elif kind == ".txt":
        yield from (Query(line, line) for line in entries_of(path))
    elif kind == ".npy":
        rows = np.load(path, allow_pickle=False)
        if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating):
            raise ValueError(f"holds {rows.dtype} of shape {rows.shape}, not vectors (n, d)")
        yield from (Query(f"row {i}", row) for i, row in enumerate(rows.astype(np.float32)))
    elif kind in (".csv", ".tsv", ".jsonl", ".ndjson"):
        text = decoded(Path(path).read_bytes()).encode()
        frame = pl.read_ndjson(text) if "j" in kind else separated(text, kind)
        yield from of_table(frame.to_arrow(), column, 0)
    else:
        import pyarrow.dataset as ds  # it imports pandas, a third of a second

        yield from of_table(ds.dataset(path, format="parquet").to_table(), column, 0)


def separated(text: bytes, kind: str) -> pl.DataFrame:
    """A table with a head; raw TSV has no quoting."""
    tabs = kind == ".tsv"
    return pl.read_csv(
        text, separator="\t" if tabs else ",", quote_char=None if tabs else '"', infer_schema=False
    )


def of_source(source: Source, column: str | None) -> Iterator[Query]:
    """The queries among what a source reads."""
    first = 0
    for table in sound_tables(source):
        yield from of_table(table, column, first)
        first += table.num_rows


def of_table(table: pa.Table, column: str | None, first: int) -> Iterator[Query]:
    """The queries in a column of texts, pictures or embeddings; rows without one are no query."""
    have = table.schema.names
    wanted = column or next((name for name in TEXTS if name in have), None)
    if wanted not in have:
        missing = f"no column {column!r}" if column else "no column that is known for texts"
        raise ValueError(f"has {missing} (columns: {', '.join(have)}); name one with `column`")
    values, kind = table.column(wanted), table.schema.field(wanted).type
    named = next((name for name in NAMES if name in have), None)
    names = table.column(named).to_pylist() if named else [None] * table.num_rows
    if is_list(kind) and pa.types.is_floating(kind.value_type):
        sound = vectors_of(values)
        present: list[Any] = [
            row if v else None for row, v in zip(sound, values.is_valid().to_pylist(), strict=True)
        ]
    else:
        present = values.to_pylist()
    for at, (value, member) in enumerate(zip(present, names, strict=True)):
        name = f"row {first + at}" if member is None else str(member)
        if isinstance(value, str):
            if value.strip():
                yield Query(value, value)
        elif isinstance(value, np.ndarray):
            yield Query(name, value)
        elif value is not None:
            data = value.get("bytes") if isinstance(value, dict) else value
            if not isinstance(data, bytes):
                raise ValueError(f"column {wanted!r} holds {kind}: no texts, pictures or vectors")
            yield Query(name, picture(data, name))


def picture(data: bytes, name: str) -> Image.Image:
    """The picture of some bytes; raises ValueError."""
    try:
        return decode_rgb(data)
    except DecodeError as error:
        raise ValueError(f"the picture {name} cannot be decoded: {error}") from None


def vectors_asked(stage: str, queries: list[Query], spec: Spec | None, template: str) -> np.ndarray:
    """The queries as float32 (q, d) of unit length; `spec` is the model of those that are no
    vectors yet, `template` what is said of a text.  Raises StageBroken.
    """
    found: dict[int, np.ndarray] = {
        i: unit(query.value[None])[0]
        for i, query in enumerate(queries)
        if isinstance(query.value, np.ndarray)
    }
    texts = {i: q.value for i, q in enumerate(queries) if isinstance(q.value, str)}
    pictures = {i: q.value for i, q in enumerate(queries) if isinstance(q.value, Image.Image)}
    if spec is not None:
        towers = open_towers(stage, spec, one=True)
        if texts:
            said = [template.replace("{}", text) for text in texts.values()]
            found |= dict(zip(texts, vectors_of_texts(towers, said), strict=True))
        if pictures:
            made = vectors_of_images(towers, list(pictures.values()))
            found |= dict(zip(pictures, made, strict=True))
    lengths = {len(vector) for vector in found.values()}
    if len(lengths) > 1:
        raise StageBroken(
            f"stage {stage!r}: queries have vectors of {min(lengths)} and of {max(lengths)} "
            "numbers: are they of two models?"
        )
    every = np.stack([found[i] for i in range(len(queries))])
    sound = np.isfinite(every).all(1) & every.any(1)
    if not sound.all():
        name = queries[int(sound.argmin())].name
        raise StageBroken(f"stage {stage!r}: the query {name!r} has no vector of finite numbers")
    return every
