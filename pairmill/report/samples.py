"""Rows for the gallery: by chance from every fate, and on purpose from the tails, near the
thresholds, and wherever things went wrong.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.fates.decide import FATES
from pairmill.fates.trace import trace
from pairmill.plan.chain import Chain
from pairmill.report.choices import tagged
from pairmill.report.gather import ReportRows
from pairmill.report.scores import thresholds
from pairmill.report.thumbnails import Thumbnails, thumbnail
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.expressions import Expression, frame_of
from pairmill.schemas.hash_columns import spread
from pairmill.schemas.hashing import row_chance
from pairmill.work.ahead import THREADS, ahead, give_back
from pairmill.work.block import block_columns
from pairmill.workspace.digests import uid_hashes

TEXT_LIMIT = 1200
TAIL, NEAR, CLASS, CLUSTERS, MEMBERS = 6, 8, 6, 8, 4
Place = tuple[int, int]
HIDDEN = ("uid", "doc_id", "source", "sha256", "md5", "sha512")


def pick(rows: ReportRows, count: int, seed: int) -> dict[Place, list[str]]:
    """(shard, row) → why it was picked; half of `count` by chance, an equal share for each fate and
    step.
    """
    tags: dict[Place, list[str]] = defaultdict(list)
    chosen = [n for c in rows.choices for n in c.marks()]
    names = {s.name for s in rows.scores} | set(rows.duplicates) | set(chosen)
    frame = rows.frame.select("shard", "row", "uid", "fate", "at", "reason", *sorted(names))

    def narrow(*columns: str) -> pl.DataFrame:
        """What a look needs: each filter copies all that it is given."""
        return frame.select("shard", "row", *columns)

    def add(found: pl.DataFrame, tag: str) -> None:
        for place in found.select("shard", "row").iter_rows():
            if len(tags) < count or place in tags:
                tags[place].append(tag)

    frame = frame.with_columns(pl.Series("chance", chances(frame["uid"].to_arrow(), seed)))
    groups = frame.select("fate", "at").unique().sort("fate", "at").rows()
    fates = narrow("fate", "at", "chance")
    for fate, at in groups:
        mine = fates.filter((pl.col("fate") == fate) & (pl.col("at") == at))
        add(first_of(mine, max(1, count // 2 // len(groups)), "chance"), "random")
    for reason in frame["reason"].drop_nulls().unique().sort():
        failed = narrow("reason", "chance").filter(pl.col("reason") == reason)
        add(first_of(failed, CLASS, "chance"), f"failed: {reason}")
    shuffled = frame.sort("chance") if rows.choices else frame
    for choice in rows.choices:
        for found, tag in tagged(shuffled, choice):
            add(found.head(CLASS), tag)
    for column in rows.duplicates:
        named = frame.select(column, "chance").drop_nulls(column)
        firsts = named.sort("chance")[column].unique(maintain_order=True).head(CLUSTERS)
        for first in firsts:
            same = (pl.col("uid") == first) | (pl.col(column) == first)
            add(narrow("uid", column).filter(same).head(MEMBERS), f"{column}: {first}")
    gated = [
        (s.name, sign, number)
        for s in rows.scores
        for text in rows.gates
        if text
        for sign, number in thresholds(text, s.name)
    ]
    for name, sign, number in gated:
        near = narrow(name).with_columns((pl.col(name) - number).abs().alias("distance"))
        passes = pl.col(name) >= number if ">" in sign else pl.col(name) <= number
        for found, which in ((near.filter(passes), "passes"), (near.filter(~passes), "fails")):
            add(first_of(found, NEAR, "distance"), f"{name}: just {which}")
    for name in dict.fromkeys(
        [*(n for n, _, _ in gated), *(s.name for s in rows.scores if s.stage)]
    ):
        known = narrow(name).filter(
            pl.col(name).is_not_null() & pl.col(name).cast(pl.Float64).is_finite()
        )
        add(first_of(known, TAIL, name), f"{name}: lowest")
        add(last_of(known, TAIL, name), f"{name}: highest")
    return dict(tags)


def first_of(frame: pl.DataFrame, count: int, by: str) -> pl.DataFrame:
    """The rows with the lowest values, in order; of equal ones those that come first in the table.
    A whole sort of millions of rows would take longer than all else of a report.
    """
    order = [by, "shard", "row"]
    if frame.height > count:
        least = frame.select(pl.col(by).bottom_k(count).max()).item()
        frame = frame.filter(pl.col(by) <= least)
    return frame.sort(order).head(count)


def last_of(frame: pl.DataFrame, count: int, by: str) -> pl.DataFrame:
    """The rows with the highest values, the highest last; of equal ones those that come last."""
    order = [by, "shard", "row"]
    if frame.height > count:
        most = frame.select(pl.col(by).top_k(count).min()).item()
        frame = frame.filter(pl.col(by) >= most)
    return frame.sort(order).tail(count)


def chances(uids: pa.Array, seed: int) -> np.ndarray:
    """uint64: a number by chance for each uid; from the uid's hash, so that no row costs a call."""
    salt = np.uint64(row_chance("", seed, "report"))
    return spread(uid_hashes(uids) ^ salt)


def samples(
    chain: Chain,
    rows: ReportRows,
    count: int,
    seed: int,
    blur: Expression | None,
    thumbnails: Thumbnails,
) -> list[dict[str, Any]]:
    """The picked rows with all their texts and scores, thumbnails, fate and reason, in pool
    order.
    """
    tags = pick(rows, count, seed)
    by_shard: dict[int, list[int]] = {}
    for shard, row in sorted(tags):
        by_shard.setdefault(shard, []).append(row)
    found = [
        s
        for part in ahead(
            lambda item: described(chain, *item, blur, thumbnails.of),
            list(by_shard.items()),
            THREADS,
        )
        for s in part
    ]
    for sample in found:
        sample["tags"] = tags[sample["shard"], sample["row"]]
    thumbnails.keep()
    return found


def described(
    chain: Chain,
    shard: int,
    numbers: list[int],
    blur: Expression | None,
    small: Callable[[bytes | None], str | None] = thumbnail,
) -> list[dict[str, Any]]:
    """Rows of one shard as the gallery shows them."""
    schema = chain.schema
    names = [f.name for f in schema if shown(f) or (blur and f.name in blur.columns)]
    traced = trace(chain, shard)
    table = block_columns(chain, shard, np.array(numbers), names, traced, len(chain.stages))
    payload = [f.name for f in schema if is_payload(f.type)]
    hidden = [False] * len(numbers)
    if blur is not None:
        narrow = table.select([f.name for f in table.schema if not is_payload(f.type)])
        hidden = blur.evaluate(frame_of(narrow)).fill_null(False).to_list()
    found = []
    for row, facts, blurred in zip(numbers, table.to_pylist(), hidden, strict=True):
        stage = chain.stages[traced.at[row]].name if traced.at[row] >= 0 else ""
        reason, message = traced.reason(row)
        texts = {
            n: str(facts[n])[:TEXT_LIMIT]
            for n in names
            if schema.field(n).type == pa.string() and n not in HIDDEN and facts[n]
        }
        scores = {
            n: v
            for n in names
            if isinstance(v := facts[n], int | float) and not isinstance(v, bool)
        }
        image = next(filter(None, (first_bytes(facts[n]) for n in payload)), None)
        found.append(
            {
                "shard": shard,
                "row": row,
                "uid": facts["uid"],
                "fate": FATES[traced.fate[row]],
                "stage": stage,
                "reason": f"{reason}: {message}" if message else reason or "",
                "texts": texts,
                "blur": blurred,
                "scores": {
                    n: round(v, 5) if isinstance(v, float) else v
                    for n, v in scores.items()
                    if math.isfinite(v) and abs(v) < 2**53
                },
                "image": small(image),
            }
        )
    if payload:
        give_back()
    return found


def shown(field: pa.Field) -> bool:
    """Whether the gallery shows something of a column."""
    if pa.types.is_fixed_size_list(field.type):
        return False
    if pa.types.is_string(field.type):
        return field.name == "uid" or field.name not in HIDDEN
    plain = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return plain or is_payload(field.type)


def first_bytes(value: Any) -> bytes | None:
    """The first bytes in a value of payload, at any depth; None where there are none."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return next((found for part in parts if (found := first_bytes(part))), None)
    return value if isinstance(value, bytes) and value else None
