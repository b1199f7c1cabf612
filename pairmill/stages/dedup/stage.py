"""The stage that finds duplicates: one answer for every kind."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from pairmill.schemas.arrow import column, error_array, is_payload
from pairmill.schemas.expression_columns import columns_of
from pairmill.schemas.expressions import compile_expression
from pairmill.stages.base import LinkingStage
from pairmill.stages.dedup.clusters import clusters_of
from pairmill.stages.dedup.config import DedupConfig, NearDedupConfig
from pairmill.stages.dedup.kinds import kind_of

if TYPE_CHECKING:
    from pairmill.stages.dedup.against import OtherSet


class DedupStage(LinkingStage):
    """Clusters are connected components of duplicates, without members beyond `max_diameter`; one
    row stands for each.  The answer depends on the rows alone, not on their order or partitions.
    """

    Config: ClassVar[type[DedupConfig]] = DedupConfig  # type: ignore[assignment]
    version = 3
    sets: "list[OtherSet] | None" = None

    def __init__(self, config: DedupConfig) -> None:
        super().__init__(config)
        self.kind = kind_of(config)
        self.have = list(config.on)

    def bind(self, schema: pa.Schema) -> None:
        """Learns which companions of the compared columns there are, and checks types."""
        self.have = schema.names
        if all(name in schema.names for name in self.config.on):
            self.kind.check(schema)
        plain = pa.schema([f for f in schema if not is_payload(f.type)])
        if self.config.prefer is not None:
            compile_expression(self.config.prefer, plain)
        if self.config.on_duplicate == "merge":
            self.merged = {n: schema.field(n).type for n in self.config.merge if n in schema.names}

    def keys(self) -> list[str]:
        """Equal values meet as they are; what is compared otherwise is spread by `spread`."""
        plain = self.config.kind == "exact" and self.config.normalise == "none"
        return list(self.config.on) if plain else []

    def reads(self) -> list[str]:
        prefer = columns_of(self.config.prefer) if self.config.prefer else []
        merge = self.config.merge if self.config.on_duplicate == "merge" else []
        return list(dict.fromkeys([*self.kind.reads(self.have), *prefer, *merge]))

    def may_lack(self) -> list[str]:
        return [c for c in self.reads() if c not in self.kind.reads(self.have)]

    def writes(self) -> pa.Schema:
        score = "similarity" if self.kind.similarity else "bits that differ"
        said = [
            ("dup_of", pa.string(), "uid of the row that stands for this one; null for that one"),
            ("cluster_id", pa.string(), "uid of the row that stands for the cluster"),
            ("cluster_size", pa.int64(), "living rows of the cluster, this one included"),
            ("dup_score", pa.float64(), f"{score}: this row and the one that stands for it"),
        ]
        if self.config.against:
            said += [
                ("against_set", pa.string(), "other set that holds a duplicate of the row"),
                ("against_member", pa.string(), "which member of it"),
                ("against_score", pa.float64(), f"{score}: this row and that member"),
            ]
        roles: dict[str, Any] = {"dup_of": "duplicate", "against_set": "other_set"}
        units = {"cluster_size": "rows"}
        fields = [
            column(self.column(name), kind, doc, units.get(name, ""), role=roles.get(name))
            for name, kind, doc in said
        ]
        if self.config.on_duplicate == "merge":
            merged = getattr(self, "merged", dict.fromkeys(self.config.merge, pa.string()))
            fields += [
                column(
                    self.column(f"merged_{name}"),
                    pa.list_(kind),
                    f"`{name}` of all rows of the cluster, that of the row itself first; null in "
                    "rows that another stands for",
                )
                for name, kind in merged.items()
            ]
        return pa.schema(fields)

    def notes(self) -> list[str]:
        return self.kind.notes()

    def opened(self) -> "list[OtherSet]":
        """The other sets; what reads them is imported where there are some.  Raises BadSet."""
        if not self.config.against:
            return []
        from pairmill.stages.dedup.against import open_sets

        return open_sets(self.config)

    def examine(self) -> list[str]:
        """Reads the other sets, so that what cannot be compared is told before any work."""
        sets = self.opened()
        return [f"against {one.name!r}: {len(one.members):,} members" for one in sets]

    def setup(self) -> None:
        """Reads the other sets."""
        self.sets = self.opened()

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The columns, where all rows are there, which are loaded once."""
        sample, seen = self.sample(rows, rows.num_rows), self.kind.load(rows)
        known = None if sample is None else self.learn(sample, rows.num_rows)
        return self.answered(rows, seen, self.linked(seen, known, rows.num_rows))

    def links(self, rows: pa.Table, known: pa.Table | None) -> np.ndarray:
        """For each row a number that it shares with what it is connected to among these rows."""
        return self.linked(self.kind.load(rows), known, rows.num_rows)

    def linked(self, seen: Any, known: pa.Table | None, rows: int) -> np.ndarray:
        """`links` of loaded rows."""
        bad, _ = self.kind.unfit(seen)
        labels = self.kind.labels(seen, known) if self.config.within else np.arange(rows)
        return np.where(bad, np.arange(rows), labels + rows) if bad.any() else labels

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        return self.kind.sample(rows, total) if self.config.within else None

    def learn(self, samples: pa.Table, total: int) -> pa.Table | None:
        return self.kind.learn(samples, total)

    def spread(self, rows: pa.Table, known: pa.Table | None) -> list[np.ndarray]:
        return self.kind.spread(rows, known)

    def answer(self, rows: pa.Table, labels: np.ndarray) -> pa.Table:
        return self.answered(rows, self.kind.load(rows), labels)

    def answered(self, rows: pa.Table, seen: Any, labels: np.ndarray) -> pa.Table:
        """`answer` for loaded rows."""
        bad, why = self.kind.unfit(seen)
        gathers = self.config.on_duplicate == "merge"
        far = self.too_far(seen)
        clusters = clusters_of(rows, labels, self.config.prefer, far, gathers)
        score = np.full(rows.num_rows, np.nan)
        score[clusters.repeats] = self.kind.scores(
            seen, clusters.repeats, clusters.stands_for[clusters.repeats]
        )
        dup_of, cluster_id = clusters.named(rows.column("uid"))
        found = {
            "dup_of": dup_of,
            "cluster_id": cluster_id,
            "cluster_size": pa.array(clusters.sizes),
            "dup_score": pa.array(score, from_pandas=True),
        }
        if self.config.against:
            found |= self.against(seen, rows.num_rows)
        answer = pa.table({self.column(name): values for name, values in found.items()})
        if gathers:
            for name in self.config.merge:
                values = clusters.gathered(rows.column(name))
                answer = answer.append_column(self.column(f"merged_{name}"), values)
        if bad.any():
            told = f"{self.config.on[0]!r} {why}"
            errors = error_array(("not_comparable", told) if b else None for b in bad)
            answer = answer.append_column("error", errors)
        return answer

    def too_far(self, seen: Any) -> Any:
        """What tells pairs that lie farther apart than `max_diameter`; None where nothing does."""
        limit = self.config.max_diameter
        if limit is None:
            limit = self.kind.diameter(seen)
        if limit is None:
            return None

        def far(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            score = self.kind.scores(seen, left, right)
            return (1 - score if self.kind.similarity else score) > limit + 1e-9

        return far

    def against(self, seen: Any, rows: int) -> dict[str, pa.Array]:
        """The first of the other sets that holds a duplicate of each row, and its nearest
        member.
        """
        if self.sets is None:
            self.setup()
        names, members = np.full(rows, None, object), np.full(rows, None, object)
        scores, taken = np.full(rows, np.nan), np.zeros(rows, bool)
        for other in self.sets or []:
            at, score = other.nearest(self.kind, seen)
            new = np.flatnonzero((at >= 0) & ~taken)
            names[new], members[new] = other.name, other.members[at[new]]
            scores[new], taken[new] = score[new], True
        return {
            "against_set": pa.array(names, pa.string()),
            "against_member": pa.array(members, pa.string()),
            "against_score": pa.array(scores, from_pandas=True),
        }


class NearDedupStage(DedupStage):
    """`dedup` of pictures by their hashes, under the name it had first."""

    Config = NearDedupConfig
    prefix = "near"
