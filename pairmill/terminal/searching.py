"""Asking a package's neighbour index: the rows nearest to a text or a picture."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from rich.table import Table
from rich.text import Text

from pairmill.errors import BadRequest
from pairmill.images import DecodeError, decode_rgb
from pairmill.models.library import transformers
from pairmill.models.neighbours import faiss
from pairmill.models.towers import Origin, open_towers, vectors_of_images, vectors_of_texts
from pairmill.packages.manifest import MANIFEST, read_manifest, strange
from pairmill.terminal.chosen_rows import cell
from pairmill.workspace.storage import Storage

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
SHOWN = ("query", "rank", "similarity", "uid", "caption", "url")


@dataclass(frozen=True)
class Searched:
    """An index of a package: `facts` of its manifest, and how many rows each file has."""

    storage: Storage
    facts: dict[str, Any]
    sizes: list[int]

    @classmethod
    def of(cls, path: str, side: str | None) -> "Searched":
        """The index of a package's images, or of its texts where it has none of images.  Raises
        RunError.
        """
        storage = Storage(path)
        if not storage.exists(MANIFEST):
            raise BadRequest(f"{path} is no package of pairmill: it has no {MANIFEST}")
        manifest = read_manifest(storage)
        indices = manifest.get("index") or {}
        if not indices:
            raise BadRequest(
                f"{path} has no index ({manifest.get('format')}); add an output `{{type: index, "
                "path: …}` behind `embed` to its pipeline and search that"
            )
        chosen = side or next(iter(indices))
        if chosen not in indices:
            have = ", ".join(f"{known}s" for known in indices)
            raise BadRequest(f"{path} has no index of {chosen}s, only of {have}")
        facts = indices[chosen]
        wanted = ("file", "model", "revision", "dim", "rows")
        if not isinstance(facts, dict) or any(key not in facts for key in wanted):
            raise strange(storage, f"its 'index' is {facts!s:.60}")
        storage.listed(facts["file"], MANIFEST)
        sizes = [int(part["samples"]) for part in manifest["parts"]]
        return cls(storage, facts, sizes)

    def nearest(self, vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(cosines, numbers of the rows, -1 where there are fewer), each (q, count)."""
        index = faiss().deserialize_index(
            np.frombuffer(self.storage.read_bytes(self.facts["file"]), np.uint8)
        )
        if vectors.shape[1] != index.d:
            raise BadRequest(
                f"the model gives vectors of {vectors.shape[1]} numbers, and the index has "
                f"{index.d}; is this another model?"
            )
        if index.ntotal != sum(self.sizes):
            raise strange(self.storage, f"its index holds {index.ntotal} rows of {sum(self.sizes)}")
        cosines, numbers = index.search(vectors, min(count, index.ntotal))
        return cosines, numbers

    def metadata(self, numbers: np.ndarray) -> pl.DataFrame:
        """What belongs to some rows, in their order."""
        ends = np.cumsum(self.sizes)
        file = np.searchsorted(ends, numbers, side="right")
        parts = []
        for shard in np.unique(file):
            name = f"metadata/metadata_{shard:05d}.parquet"
            table = pq.read_table(io.BytesIO(self.storage.read_bytes(name)))
            mine = np.flatnonzero(file == shard)
            first = ends[shard] - self.sizes[shard]
            frame = pl.DataFrame(table.take(numbers[mine] - first))
            parts.append(frame.with_columns(pl.Series("#at", mine)))
        if not parts:
            return pl.DataFrame()
        return pl.concat(parts, how="vertical_relaxed").sort("#at").drop("#at")


def search(
    path: str, queries: Sequence[str], count: int, side: str | None, model: str | None
) -> pl.DataFrame:
    """The `count` rows nearest to each query, the nearest first: `query`, `rank`, `similarity`, and
    the columns of the package's metadata.  A query is a text, or the path of a picture.

    Raises PairmillError.
    """
    index = Searched.of(path, side)
    faiss()
    vectors = asked(queries, origin(path, index.facts, model))
    cosines, numbers = index.nearest(vectors, count)
    found = numbers >= 0
    which, place = np.nonzero(found)
    said = pl.DataFrame(
        {
            "query": pl.Series([queries[int(q)] for q in which], dtype=pl.String),
            "rank": place + 1,
            "similarity": cosines[found],
        }
    )
    rest = index.metadata(numbers[found])
    clash = [name for name in rest.columns if name in said.columns]
    return said.hstack(rest.rename({name: f"row_{name}" for name in clash}))


def origin(path: str, facts: dict[str, Any], model: str | None) -> Origin:
    """The model that queries are embedded by; raises RunError where it is not known, or gone."""
    given = model or facts["model"]
    if not given:
        raise BadRequest(
            f"{path} does not say which model made its embeddings; name it with --model"
        )
    if given.startswith(("/", ".", "~")) and not Path(given).expanduser().is_dir():
        raise BadRequest(
            f"the model of {path} is not there: {given}; name where it is now with --model"
        )
    if model:
        return Origin(model)
    return Origin(
        given,
        facts["revision"],
        bool(facts.get("trust_remote_code")),
        facts.get("image_processor"),
        facts.get("pooling"),
    )


def asked(queries: Sequence[str], made_by: Origin) -> np.ndarray:
    """The queries' vectors, float32 (q, d) of unit length; raises RunError."""
    pictures = {i: opened(q) for i, q in enumerate(queries) if is_picture(q)}
    texts = {i: q for i, q in enumerate(queries) if i not in pictures}
    transformers().utils.logging.disable_progress_bar()
    towers = open_towers("search", made_by.spec("auto"), one=True)
    found: dict[int, np.ndarray] = {}
    if texts:
        found |= dict(zip(texts, vectors_of_texts(towers, list(texts.values())), strict=True))
    if pictures:
        made = vectors_of_images(towers, list(pictures.values()))
        found |= dict(zip(pictures, made, strict=True))
    return np.stack([found[i] for i in range(len(queries))])


def is_picture(query: str) -> bool:
    """Whether a query is the path of a picture; a text with such an end and no file is a text."""
    return query.lower().endswith(PICTURES) and Path(query).is_file()


def opened(path: str) -> Any:
    """The picture in a file; raises RunError."""
    try:
        return decode_rgb(Path(path).read_bytes())
    except (DecodeError, OSError) as error:
        raise BadRequest(f"the picture {path} cannot be read: {error}") from None


def found_table(rows: pl.DataFrame) -> Table:
    """The rows that were found, for a terminal."""
    names = [name for name in SHOWN if name in rows.columns]
    table = Table(*names, box=None, pad_edge=False)
    for row in rows.select(names).iter_rows():
        table.add_row(*(Text(cell(value)) for value in row))
    return table


def as_json(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows for programs."""
    return [json.loads(line) for line in rows.write_ndjson().splitlines()]
