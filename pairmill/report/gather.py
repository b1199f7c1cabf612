"""The rows of a run as one narrow table: fate, scores and what they are grouped by.  No image is
read.

Of a large run only some shards, drawn by chance: the table is in memory, and a million rows take
about a gigabyte.
"""

import functools
import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.fates.decide import FATES
from pairmill.fates.run_table import Run
from pairmill.fates.trace import trace
from pairmill.plan.chain import Chain
from pairmill.plan.choices import Choice, choices_of
from pairmill.report.choice_columns import with_choices
from pairmill.report.domains import domains, hosts
from pairmill.schemas.arrow import doc_of, of_role, role_of
from pairmill.schemas.hashing import row_chance
from pairmill.work.ahead import THREADS, ahead

GROUPS = ("language", "source", "domain", "resolution", "text length", "format")
SIDES_PX = (128, 256, 512, 1024)
WORDS = (3, 8, 16, 32, 64)
OWN = ("shard", "row", "uid", "fate", "kept", "at", "reason")
"""What every row of a report has."""
MOST_ROWS = 2_000_000
MOST_SHARDS = 2_000
"""What a report reads at most; of a larger run it is a sample, and says so."""
SHARE, ROWS_A_SECOND, LEAST_ROWS = 0.05, 60_000, 20_000
"""A report takes a twentieth of its run's time, at so many rows a second (a core reads 67,000 of
three stages); so many it always has.
"""


def rows_worth(run_s: float) -> int:
    """Rows that the report of a run that took `run_s` seconds reads."""
    return max(LEAST_ROWS, min(MOST_ROWS, int(run_s * SHARE * ROWS_A_SECOND)))


@dataclass(frozen=True)
class Score:
    """A numeric column: who writes it (None: the source), what it means, its unit."""

    name: str
    stage: str | None
    meaning: str
    unit: str
    fact: bool = False
    """It describes the row (sides, counts, times) and does not judge it."""


@dataclass(frozen=True)
class ReportRows:
    """`frame`: shard, row, uid, kept, at (index of the deciding stage, the number of stages while
    alive), fate, reason (error class), scores, groups, `language`, columns of the roles duplicate,
    fetched_at, and those of the choices.
    """

    frame: pl.DataFrame
    scores: list[Score]
    stages: list[str]
    gates: list[str | None]
    named: tuple[str, ...] = ()
    """What the pipeline groups rows by besides."""
    sampled: dict[str, int] | None = None
    """Where only some shards were read: `rows` of `of_rows`, `shards` of `of_shards`."""
    duplicates: tuple[str, ...] = ()
    """Columns that name the row that another one repeats."""
    choices: tuple[Choice, ...] = ()
    """Where stages choose among all rows."""

    def groups(self) -> list[str]:
        """The groups that have values."""
        return [
            g
            for g in (*GROUPS, *map(group_name, self.named))
            if g in self.frame.columns and self.frame[g].null_count() < self.frame.height
        ]


def scores_of(schema: pa.Schema, writers: dict[str, str | None]) -> list[Score]:
    """Every numeric column of a schema, bookkeeping of the pool apart."""
    found = []
    for field in schema:
        if field.name in ("position", "shard", "row") or not (
            pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        ):
            continue
        if pa.types.is_uint64(field.type):  # a hash is no score
            continue
        unit = (field.metadata or {}).get(b"unit", b"").decode()
        writer = writers.get(field.name)
        fact = role_of(field) != "score" and (pa.types.is_integer(field.type) or bool(unit))
        found.append(Score(field.name, writer, doc_of(field), unit, fact))
    return found


def group_name(column: str) -> str:
    """Told apart from a column of the same name, which may be a score besides."""
    return f"by {column}"


def drawn(
    chain: Chain, seed: int, most_shards: int = MOST_SHARDS, most_rows: int = MOST_ROWS
) -> list[int]:
    """The shards that a report reads: all, or as many as the limits allow, by chance, a function of
    the seed.
    """
    every = chain.shards()
    if len(every) <= most_shards and chain.rows() <= most_rows:
        return every
    chosen: list[int] = []
    rows = 0
    for shard in sorted(every, key=lambda s: row_chance(str(s), seed, "report shards")):
        if chosen and (rows + chain.rows_of(shard) > most_rows or len(chosen) == most_shards):
            break
        chosen.append(shard)
        rows += chain.rows_of(shard)
    return sorted(chosen)


def gather(
    chain: Chain,
    named: Sequence[str] = (),
    seed: int = 0,
    most_shards: int = MOST_SHARDS,
    most_rows: int = MOST_ROWS,
) -> ReportRows:
    """Reads fates and narrow columns of the drawn shards; rows are grouped by the columns `named`,
    too.
    """
    schema = chain.schema
    writers = {f.name: s.name for s in chain.stages for f in s.writes}
    scores = scores_of(schema, {**dict.fromkeys(chain.pool_schema.names), **writers})
    marked = [*of_role(schema, "duplicate"), *of_role(schema, "fetched_at")]
    language = language_column(schema)
    texts = [
        n for n in schema.names if n in ("url", "text", "source", "image_format", language, *marked)
    ]
    shards = drawn(chain, seed, most_shards, most_rows)
    choices = choices_of(chain.stages, schema)
    chosen = [name for choice in choices for name in choice.reads(schema)]
    read = [*dict.fromkeys([*texts, *(s.name for s in scores), *named, *chosen])]
    kept = dict.fromkeys([*(s.name for s in scores), *marked])

    def part_of(shard: int) -> pl.DataFrame:
        frame = fates_and(chain, shard, read)
        beside: list[str] = []
        if choices:
            frame, beside = with_choices(frame, choices, schema)
        have = set(frame.columns).difference(GROUPS)
        own = [n for n in (*OWN, *kept, *beside) if n in have]
        groups = [frame[n].cast(pl.String).alias(group_name(n)) for n in named]
        return pl.DataFrame(
            [*(frame[n] for n in dict.fromkeys(own)), *groups_of(frame, language), *groups]
        )

    # in one piece, or each look at a column would put it together anew
    every = pl.concat(list(ahead(part_of, shards, THREADS)), rechunk=True)
    every = every.with_columns(domains(every["domain"]).alias("domain"))
    sampled = None
    if len(shards) < len(chain.shards()):
        sampled = {
            "rows": every.height,
            "of_rows": chain.rows(),
            "shards": len(shards),
            "of_shards": len(chain.shards()),
        }
    return ReportRows(
        every,
        scores,
        [s.name for s in chain.stages],
        [s.gate.text if s.gate else None for s in chain.stages],
        tuple(named),
        sampled,
        tuple(of_role(schema, "duplicate")),
        choices,
    )


def language_column(schema: pa.Schema) -> str | None:
    """The first column that says it is a language, or one that is called so."""
    marked = of_role(schema, "language")
    named = [name for name in ("lang", "language") if name in schema.names]
    return next(iter([*marked, *named]), None)


def fates_and(chain: Chain, shard: int, columns: Sequence[str]) -> pl.DataFrame:
    """OWN and some columns of a shard's rows.  Whole columns are put together: to hand them to
    Polars as expressions takes longer than what it does with them.
    """
    found = trace(chain, shard, want=["uid", *columns])
    failed = [reason if message is not None else None for reason, message in found.words]
    count = len(found.fate)
    own = {
        "shard": pl.Series([shard], dtype=pl.Int32).new_from_index(0, count),
        "row": pl.int_range(count, dtype=pl.Int32, eager=True),
        "uid": found.frame["uid"],
        "fate": pl.Series(FATES).gather(found.fate),
        "kept": found.alive,
        "at": np.where(found.at < 0, len(chain.stages), found.at).astype(np.int32),
        "reason": pl.Series(failed, dtype=pl.String).gather(found.why),
    }
    names = dict.fromkeys(Run(chain).narrow(columns))
    return pl.DataFrame(own).hstack([found.frame[name] for name in names])


def groups_of(frame: pl.DataFrame, language: str | None) -> list[pl.Series]:
    """What rows are grouped by; a group whose column is not there is null.  `domain` is the host as
    yet: of a host that stands in many shards the domain is looked up once.
    """
    have = set(frame.columns)
    width = next((n for n in ("original_width", "width") if n in have), None)
    height = next((n for n in ("original_height", "height") if n in have), None)
    made = {"source": frame["source"]} if "source" in have else {}
    if language is not None:
        made["language"] = frame[language]
    if "url" in have:
        made["domain"] = hosts(frame["url"])
    if width and height:
        side = frame.select(pl.min_horizontal(width, height)).to_series()
        labels = [
            f"< {SIDES_PX[0]} px",
            *(f"{a}–{b - 1} px" for a, b in itertools.pairwise(SIDES_PX)),
            f"≥ {SIDES_PX[-1]} px",
        ]
        made["resolution"] = binned(side, SIDES_PX, labels)
    if "text" in have:
        words = frame["text"].str.count_matches(r"\S+")
        labels = [
            f"< {WORDS[0]} words",
            *(f"{a}–{b - 1} words" for a, b in itertools.pairwise(WORDS)),
            f"≥ {WORDS[-1]} words",
        ]
        made["text length"] = binned(words, WORDS, labels)
    if "image_format" in have:
        made["format"] = frame["image_format"]
    null = pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
    return [made.get(g, null).alias(g) for g in GROUPS]


def binned(values: pl.Series, limits: tuple[int, ...], labels: list[str]) -> pl.Series:
    """The label of the bin that a number falls in: below the first limit, from it to the next, …;
    null stays null.
    """
    reached = functools.reduce(operator.add, ((values >= n).cast(pl.UInt32) for n in limits))
    return pl.Series(labels).gather(reached)
