"""What a pipeline says of a stage that finds duplicates."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pairmill.schemas.config import ADDED, FILE, SPEED, StageConfig

Kind = Literal["exact", "perceptual", "text", "semantic"]
OF_KIND: dict[str, tuple[str, ...]] = {
    "normalise": ("exact",),
    "radius": ("perceptual",),
    "thumbnail": ("perceptual",),
    "max_difference": ("perceptual",),
    "max_cell": ("perceptual",),
    "mirrored": ("perceptual",),
    "crops": ("perceptual",),
    "shingles": ("text",),
    "shingle_size": ("text",),
    "permutations": ("text",),
    "verify": ("text",),
    "threshold": ("text", "semantic"),
    "cells": ("semantic",),
    "probes": ("semantic",),
    "device": ("semantic",),
}
"""Keys that mean something for some kinds alone."""


class DedupConfig(StageConfig):
    """Rows that repeat others, of any kind: equal values, pictures that look alike, texts that
    share
    most of their words, embeddings that point the same way.

    Without `keep`, the gate is `dup_of IS NULL` (and `against_set IS NULL`, where there is
    `against`); `on_duplicate: mark` has none.
    """

    stage: Annotated[Literal["dedup"], SPEED] = "dedup"
    kind: Kind = "exact"
    """What makes a duplicate: `exact` (equal values of all columns), `perceptual` (hashes of
    pictures within a Hamming radius), `text` (MinHash, Jaccard similarity of shingles), `semantic`
    (cosine of embeddings).
    """
    on: list[str] = Field(min_length=1, max_length=16)
    """Columns that are compared: for `exact` any, such as `[sha256]` or `[url, text]`, equal in
    all;
    for the other kinds one: a hash (`[image_hash]`, `[image_hash_pdq]`), a text, an embedding.
    Tools that read YAML 1.1 take a bare `on` for true; they want `"on": [sha256]`.
    """
    prefer: str | None = None
    """Expression whose largest value stands for its cluster (`width * height`, `clip_score`); ties
    are decided by uid, and a row without a value (null, NaN) only stands where none has one.
    """
    on_duplicate: Literal["drop", "mark", "merge"] = "drop"
    """`drop`: the gate lets one row of each cluster pass; `mark`: all pass, the columns tell;
    `merge`:
    one passes, and gathers what `merge` names of the others.
    """
    merge: list[str] = Field(["text", "url", "source"], min_length=1, max_length=16)
    """Columns whose values of the whole cluster the row that stands for it gathers, as lists in one
    order: `merged_text`, `merged_url`, `merged_source`; its own come first.
    """
    max_diameter: float | None = Field(None, ge=0)
    """Members farther than that from the row that stands for them stand for themselves, so that a
    chain does not swallow its neighbours: bits of a hash, or 1 − similarity.  If absent: no limit
    for `exact`, the radius of `perceptual`, twice 1 − `threshold` of `text` and `semantic`.
    """
    within: bool = True
    """Whether rows are compared with one another, and not only with `against`."""
    against: Annotated[dict[str, str], FILE] = Field({}, max_length=64)
    """Other sets, by name, in which rows are looked for: Parquet files (of hashes, texts or
    embeddings), folders of images, packages.  `against_set`, `against_member` and `against_score`
    say which member of which set a row matches.
    """
    against_on: str | None = None
    """The column of those sets that is compared, where its name is not that of `on`."""
    normalise: Literal["none", "text", "url"] = "none"
    """How values are made alike before they are compared: texts (NFKC, case, whitespace,
    punctuation), addresses (scheme, host's case, default port, fragment, order of the query,
    tracking parameters).
    """
    radius: int | None = Field(None, ge=0, le=64)
    """Most bits in which two hashes may differ.  If absent: 8 of 64 bits, 31 of 256."""
    thumbnail: str | None = None
    """Column with thumbnails; if absent, the one that `image_hash` writes beside the hash."""
    max_difference: float = Field(24.0, ge=0, le=255)
    """Largest mean difference of the thumbnails' values, 0 to 255."""
    max_cell: float = Field(36.0, ge=0, le=255)
    """Largest difference of any value of the thumbnails: tells pictures apart in which one small
    thing has another colour.
    """
    mirrored: Annotated[bool, ADDED] = False
    """Whether a picture also repeats its mirror image, left for right; reads what `image_hash`
    writes with `mirrored: true`.
    """
    crops: Annotated[float, ADDED] = Field(0, ge=0, le=0.3)
    """Most of a side that may be cut off, such as 0.15: a picture repeats one of which it is such a
    part.  Reads what `image_hash` writes with `large: true`, 3 KB a picture, and compares all rows
    in one worker (unless `within: false`); without `max_diameter`, clusters have no limit.  0: only
    whole pictures.
    """
    threshold: float | None = Field(None, gt=0, le=1)
    """Least similarity of duplicates.  If absent: 0.8 for texts (Jaccard), 0.95 for embeddings
    (cosine).
    """
    shingles: Literal["words", "characters"] = "words"
    """What texts are compared by; scripts without spaces count by character in either case."""
    shingle_size: int | None = Field(None, ge=1, le=32)
    """Words or characters of a shingle.  If absent: 2 words, 5 characters."""
    permutations: int = Field(96, ge=8, le=512)
    """Values of a MinHash signature; more find pairs near the threshold more surely."""
    verify: bool = True
    """Whether pairs that MinHash proposes are checked by their true Jaccard similarity."""
    cells: int | None = Field(None, ge=1, le=65_536)
    """k-means cells of `semantic`; if absent, the square root of the rows."""
    probes: int = Field(8, ge=1, le=64)
    """Nearest cells in which a row is compared; more find more of the pairs that lie astride."""
    device: Annotated[Literal["auto", "cuda", "cpu"], SPEED] = "auto"
    """Where embeddings are compared."""

    @model_validator(mode="before")
    @classmethod
    def default_gate(cls, data: Any) -> Any:
        """Puts in the gate that goes with `on_duplicate`, where there is no `keep`."""
        if not isinstance(data, dict) or "keep" in data or data.get("on_duplicate") == "mark":
            return data
        name = data.get("name") or cls.column_prefix()
        dup, other = (f"{name}_{c}" if name else c for c in ("dup_of", "against_set"))
        parts = [f"{dup} IS NULL"] if data.get("within", True) is not False else []
        parts += [f"{other} IS NULL"] if data.get("against") else []
        return {**data, "keep": " AND ".join(parts)} if parts else data

    @classmethod
    def column_prefix(cls) -> str:
        """What stands before the columns' names where the stage has no name."""
        return ""

    @model_validator(mode="after")
    def fits_kind(self) -> "DedupConfig":
        strange = [
            key for key, kinds in OF_KIND.items()
            if key in self.model_fields_set and self.kind not in kinds
        ]  # fmt: skip
        if strange:
            kinds = " or ".join(OF_KIND[strange[0]])
            raise ValueError(f"`{strange[0]}` goes with `kind: {kinds}`, not `{self.kind}`")
        if self.kind != "exact" and len(self.on) > 1:
            raise ValueError(f"`kind: {self.kind}` compares one column; `on` names {len(self.on)}")
        if not self.within and not self.against:
            raise ValueError("`within: false` leaves nothing to compare; give `against`")
        return self

    @property
    def least(self) -> float:
        """The least similarity of duplicates."""
        return self.threshold or (0.8 if self.kind == "text" else 0.95)


class NearDedupConfig(DedupConfig):
    """`dedup` with `kind: perceptual` and `on: [image_hash]`, its columns under `near_`."""

    stage: Annotated[Literal["near_dedup"], SPEED] = "near_dedup"  # type: ignore[assignment]
    kind: Kind = "perceptual"
    """What makes a duplicate, as for `dedup`."""
    on: list[str] = Field(["image_hash"], min_length=1, max_length=16)
    """The column that is compared: a hash."""

    @classmethod
    def column_prefix(cls) -> str:
        return "near"

    @model_validator(mode="before")
    @classmethod
    def old_key(cls, data: Any) -> Any:
        """`hash: h`, as it was written before, is `on: [h]`."""
        if isinstance(data, dict) and isinstance(data.get("hash"), str) and "on" not in data:
            return {k: v for k, v in data.items() if k != "hash"} | {"on": [data["hash"]]}
        return data
