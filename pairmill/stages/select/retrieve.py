"""Rows near a list of texts or pictures: for tails (REAL), for a domain, for balance by concept."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import StageBroken
from pairmill.models.towers import Origin, origin_of
from pairmill.models.vectors import NOT_COMPARABLE, lengths_of, vectors_of
from pairmill.schemas.arrow import column, error_array, is_list
from pairmill.schemas.expressions import frame_of
from pairmill.stages.base import CombiningStage
from pairmill.stages.dedup.semantic import k_means
from pairmill.stages.select.near import (
    Pairs,
    homes,
    listed,
    nearest,
    nearest_in_cells,
    units,
)
from pairmill.stages.select.queries import Query, read_queries, vectors_asked
from pairmill.stages.select.retrieve_config import RetrieveConfig

EXACT_PAIRS = 4 * 10**9
"""Up to so many pairs of a row and a query all are compared: half a minute of two cores."""
SAMPLE_PER_CELL = 64
LOOKED_AT = 1_000
"""Rows that exact search looks at first: whether their vectors are as long as the queries'."""
AUDITED = 32
"""Queries that are answered exactly in any case, to measure what cells miss."""


class RetrieveStage(CombiningStage):
    """`retrieved`, and by which query.  Equal cosines are decided by uid; the result is the same
    for any order of rows and any number of partitions.
    """

    Config = RetrieveConfig
    prefix = "retrieved"
    version = 2
    origin: Origin | None = None

    def __reduce__(self) -> Any:
        """What `bind` learnt of the embeddings goes along."""
        return with_origin, (type(self), self.config, self.origin)

    def bind(self, schema: pa.Schema) -> None:
        """Learns which model made the embeddings."""
        config = self.config
        if config.model is not None:
            self.origin = Origin(config.model, config.revision)
        if config.embedding not in schema.names:
            return
        field = schema.field(config.embedding)
        if not is_list(field.type) or not pa.types.is_floating(field.type.value_type):
            raise ValueError(
                f"{config.embedding!r} is {field.type}; embeddings are lists of numbers, as "
                "`embed` writes them"
            )
        made = origin_of(field)
        if made is not None and config.model is not None and made.model != config.model:
            raise ValueError(
                f"{config.embedding!r} was made by {made.model!r}, and `model` is "
                f"{config.model!r}: vectors of two models cannot be compared; leave `model` out"
            )
        self.origin = made or self.origin

    def reads(self) -> list[str]:
        return [self.config.embedding]

    def writes(self) -> pa.Schema:
        c, of = self.column, self.config.embedding
        by = "the nearest query of those that retrieved it"
        return pa.schema(
            [
                column(c(), pa.bool_(), "among the rows of some query", role="chosen", of=of),
                column(c("query"), pa.string(), by, role="choice_reason", of=c()),
                column(c("similarity"), pa.float32(), "cosine of row and query", "", -1, 1),
                column(c("rank"), pa.int64(), "place among the query's rows, from 1", "", 1),
                column(
                    c("queries"),
                    pa.list_(pa.string()),
                    "all queries that retrieved it, the nearest first",
                    role="concepts",
                ),
            ]
        )

    def notes(self) -> list[str]:
        if self.config.search == "exact":
            return ["every row is compared with every query"]
        beyond = (
            ""
            if self.config.search == "cells"
            else f"up to {EXACT_PAIRS:,} pairs of a row and a query all are compared; beyond, "
        )
        return [
            f"{beyond}a query looks into its {self.config.probes} nearest k-means cells, and what "
            f"that misses is measured on {AUDITED} queries"
        ]

    def examine(self) -> list[str]:
        """Reads the queries, and looks at the model, before any work."""
        every = self.queries()
        facts = [f"{len(every):,} queries"]
        if all(isinstance(q.value, np.ndarray) for q in every):
            return facts
        from pairmill.models.check import check_clip
        from pairmill.models.vision_tower import check_vision, is_vision

        spec = self.made_by_a_model().spec("auto", self.cpus)
        if all(not isinstance(q.value, str) for q in every) and is_vision(self.name, spec):
            return [*facts, *check_vision(self.name, spec)]
        return [*facts, *check_clip(self.name, spec)]

    def queries(self) -> list[Query]:
        """All queries in order, each text once.  Raises BadQueries."""
        given = [Query(text, text) for text in self.config.texts]
        found: dict[str, Query] = {}
        for query in [*given, *read_queries(self.config.sets, self.config.column)]:
            known = found.get(query.name)
            if known is None or not isinstance(query.value, str):
                name = query.name if known is None else f"{query.name} ({len(found)})"
                found[name] = Query(name, query.value)
        return list(found.values())

    def made_by_a_model(self) -> Origin:
        """Raises StageBroken where it is not known which model made the embeddings."""
        if self.origin is None:
            raise StageBroken(
                f"stage {self.name!r}: {self.config.embedding!r} does not say which model made "
                "it; name it with `model`"
            )
        return self.origin

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        exact = self.config.search == "exact"
        wanted = LOOKED_AT if exact else self.cells(total) * SAMPLE_PER_CELL
        chance = frame_of(rows.select(["uid"]))["uid"].hash(17).to_numpy() >> np.uint64(32)
        drawn = rows.filter(pa.array(chance <= min(1.0, wanted / total) * 2**32))
        kind = pa.list_(pa.float32())
        vectors = drawn[self.config.embedding].combine_chunks().cast(kind)
        return pa.table({"uid": drawn["uid"], "vector": vectors})

    def cells(self, rows: int) -> int:
        """Number of cells for so many rows."""
        return self.config.cells or max(1, round(rows**0.5))

    def learn(self, samples: pa.Table | None, total: int) -> pa.Table:
        """The queries (`name` is not null) with the cells that they look into, and the centres of
        the cells.
        """
        queries = self.queries()
        named = any(not isinstance(query.value, np.ndarray) for query in queries)
        spec = self.made_by_a_model().spec(self.config.device, self.cpus) if named else None
        vectors = vectors_asked(self.name, queries, spec, self.config.template)
        names = [query.name for query in queries]
        sample = self.fitting(samples, vectors.shape[1]) if samples is not None else vectors[:0]
        few = total * len(queries) <= EXACT_PAIRS
        exact = self.config.search == "exact" or (self.config.search == "auto" and few)
        if exact or not len(sample):
            none = pa.nulls(len(names), pa.list_(pa.int64()))
            return pa.table({"name": names, "vector": listed(vectors), "cells": none})
        centres = k_means(sample, min(self.cells(total), len(sample)))
        near = np.argsort(-(vectors @ centres.T), axis=1, kind="stable")[:, : self.config.probes]
        parts = [
            pa.table({"name": names, "vector": listed(vectors), "cells": near.tolist()}),
            pa.table({"name": pa.nulls(len(centres), pa.string()), "vector": listed(centres),
                      "cells": pa.nulls(len(centres), pa.list_(pa.int64()))}),
        ]  # fmt: skip
        return pa.concat_tables(parts)

    def fitting(self, samples: pa.Table, length: int) -> np.ndarray:
        """Unit vectors of the sampled rows, float32 (m, d), in one order for any partitions.

        Raises StageBroken where none of them is as long as the queries'.
        """
        found = units(samples.sort_by("uid")["vector"], length)
        if samples.num_rows and not len(found[0]):
            have = pc.max(pc.list_value_length(samples["vector"])).as_py()
            raise StageBroken(
                f"stage {self.name!r}: {self.config.embedding!r} has vectors of {have} numbers, "
                f"and the queries of {length}: is this another model?"
            )
        return found[0]

    def summary(self, rows: pa.Table, known: pa.Table) -> pa.Table:
        """The nearest of these rows for each query, at most `top`."""
        asked = known.filter(known["name"].is_valid())
        queries = vectors_of(asked["vector"])
        vectors, sound = units(rows[self.config.embedding], queries.shape[1])
        uids = rows["uid"].filter(pa.array(sound)).combine_chunks()
        top, least = self.config.top, self.config.threshold
        if not known["cells"].null_count < known.num_rows:
            return self.best_pairs(asked, uids, nearest(queries, vectors, top, least), "all")
        centres = vectors_of(known.filter(known["name"].is_null())["vector"])
        probed = np.array(asked["cells"].to_pylist())
        some = nearest_in_cells(queries, probed, vectors, homes(vectors, centres), top, least)
        audit = audited(len(queries))
        every = nearest(queries[audit], vectors, top, least)
        whole = Pairs(audit[every.query], every.row, every.cosine)
        return pa.concat_tables(
            [
                self.best_pairs(asked, uids, some, "cells"),
                self.best_pairs(asked, uids, whole, "audit"),
            ]
        )

    def best_pairs(self, asked: pa.Table, uids: pa.Array, pairs: Pairs, how: str) -> pa.Table:
        """Pairs as a summary, the best `top` of each query, with the queries' names."""
        frame = pl.DataFrame(
            {
                "query": pairs.query,
                "name": texts(asked["name"].combine_chunks(), pairs.query),
                "uid": texts(uids, pairs.row),
                "similarity": pairs.cosine,
                "length": pl.repeat(asked["vector"].type.list_size, len(pairs.query), eager=True),
                "how": pl.repeat(how, len(pairs.query), dtype=pl.String, eager=True),
            }
        )  # fmt: skip
        return best(frame, self.config.top).drop("rank").to_arrow()

    def merged(self, summaries: pa.Table) -> pa.Table:
        """The pairs of all rows with their `rank`; what cells missed stands in the note."""
        frame = pl.DataFrame(summaries)
        by_cells = best(frame.filter(pl.col("how") == "cells"), self.config.top)
        by_all = best(frame.filter(pl.col("how") != "cells"), self.config.top)
        if not (frame["how"] != "all").any():
            self.note = "every row beside every query"
            return by_all.to_arrow()
        same = by_all.join(by_cells, on=["query", "uid"], how="semi").height
        self.note = (
            f"k-means cells, in which {same / max(1, by_all.height):.4f} of what exact search "
            f"gives is found ({same:,} of {by_all.height:,} rows of "
            f"{by_all['query'].n_unique():,} queries)"
        )
        others = by_cells.join(by_all.select("query").unique(), on="query", how="anti")
        return pl.concat([by_all, others]).to_arrow()

    def answer(self, rows: pa.Table, merged: pa.Table) -> pa.Table:
        pairs = pl.DataFrame(merged).sort(["similarity", "query"], descending=[True, False])
        said = pairs.group_by("uid", maintain_order=True).agg(
            pl.col("name").first().alias("by"),
            pl.col("similarity").first(),
            pl.col("rank").first(),
            pl.col("name").alias("queries"),
        )
        uids = pl.DataFrame({"uid": rows["uid"]}).with_columns(pl.col("uid").cast(pl.String))
        joined = uids.join(said, on="uid", how="left", maintain_order="left")
        pulled = (joined[c] for c in ("by", "similarity", "rank", "queries"))
        values = [joined["by"].is_not_null(), *pulled]
        fields = self.writes()
        columns = [v.to_arrow().cast(f.type) for v, f in zip(values, fields, strict=True)]
        table = pa.table(columns, schema=fields)
        vectors = rows[self.config.embedding]
        asked = merged["length"].to_numpy() if merged.num_rows else lengths_of(vectors)
        lengths = np.unique(asked[asked > 0]).tolist()
        sound = [units(vectors, length)[1] for length in lengths]
        bad = ~np.any([np.zeros(rows.num_rows, bool), *sound], axis=0)
        if bad.any():
            why = f"{self.config.embedding!r} is no vector of as many finite numbers as the queries"
            errors = error_array((NOT_COMPARABLE, why) if b else None for b in bad)
            table = table.append_column("error", errors)
        return table


def with_origin(kind: type[RetrieveStage], config: RetrieveConfig, origin: Any) -> RetrieveStage:
    """A stage in a worker."""
    stage = kind(config)
    stage.origin = origin
    return stage


def best(pairs: pl.DataFrame, top: int | None) -> pl.DataFrame:
    """The nearest rows of each query, the best first, with their places (`rank`, from 1)."""
    ordered = pairs.sort(["query", "similarity", "uid"], descending=[False, True, False])
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("query")
    ranked = ordered.with_columns(place.alias("rank"))
    return ranked if top is None else ranked.filter(pl.col("rank") <= top)


def audited(queries: int) -> np.ndarray:
    """Numbers of the queries that are answered exactly in any case."""
    return np.unique(np.linspace(0, queries - 1, min(AUDITED, queries)).astype(np.int64))


def texts(values: pa.Array, which: np.ndarray) -> pl.Series:
    """Some of the texts, in this order."""
    return pl.Series(values.cast(pa.string()).take(pa.array(which)).to_pylist(), dtype=pl.String)
