"""What a pipeline says of a stage that retrieves rows."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pairmill.schemas.config import FILE, MODEL, SPEED, StageConfig
from pairmill.torch_device import Device


class RetrieveConfig(StageConfig):
    """Rows nearest to texts or pictures, by stored embeddings; `keep: retrieved`.

    `{stage: retrieve, embedding: image_embedding, texts: [a red bicycle], top: 1000}` after
    `embed`; REAL's balanced retrieval takes a list of concepts (`sets: {concepts: names.txt}`,
    `template: "a photo of {}"`), and `balance` with `by: retrieved_queries` caps each of them.
    """

    stage: Annotated[Literal["retrieve"], SPEED] = "retrieve"
    embedding: str
    """Column with embeddings, as `embed` writes them."""
    texts: list[str] = Field([], max_length=100_000)
    """Texts that rows are looked for by."""
    sets: Annotated[dict[str, str], FILE] = Field({}, max_length=64)
    """Files or folders with more of them, by name: `.txt` (a text a line), tables (`.parquet`,
    `.csv`, `.tsv`, `.jsonl`) and packages with texts, pictures or embeddings in `column`, pictures
    and folders of pictures, vectors in `.npy`.
    """
    column: str | None = None
    """The column of those tables: texts, pictures, or embeddings of the same model; if absent, the
    one that is called `text`, `caption`, `query`, `label` or `name`.
    """
    template: str = Field("{}", pattern=r"\{\}")
    """What is said of a text, such as `a photo of {}`; `{}` is its place."""
    top: int | None = Field(None, ge=1, le=10_000_000)
    """Rows for each query, the nearest; all above `threshold` if absent."""
    threshold: float | None = Field(None, ge=-1, le=1)
    """Least cosine of a row and its query."""
    model: Annotated[str | None, MODEL] = None
    """The two-tower model of the embeddings, where their column does not say (it does behind
    `embed`, and behind `clip` with `embeddings:`)."""
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    search: Literal["auto", "exact", "cells"] = "auto"
    """`exact` compares every row with every query; `cells` with the queries that look into its
    k-means cell, and measures what that misses; `auto`: exact up to four billion pairs.
    """
    cells: int | None = Field(None, ge=1, le=65_536)
    """k-means cells; if absent, the square root of the rows."""
    probes: int = Field(16, ge=1, le=4096)
    """Nearest cells that a query looks into; more find more."""
    device: Annotated[Device, SPEED] = "auto"
    """Where the model runs over the queries."""

    @model_validator(mode="after")
    def something_to_look_for(self) -> "RetrieveConfig":
        if not self.texts and not self.sets:
            raise ValueError("give `texts`, `sets`, or both: what rows are looked for by")
        if self.top is None and self.threshold is None:
            raise ValueError("give `top` (rows for each query), `threshold`, or both")
        if any(not text.strip() for text in self.texts):
            raise ValueError("one of `texts` is empty")
        return self
