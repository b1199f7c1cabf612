"""Rows for the gallery: by chance from every fate, and on purpose from the tails, near the
thresholds, and wherever things went wrong.
"""

import base64
import io
import math
from collections import defaultdict
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.fates.decide import FATES
from pairmill.fates.trace import trace
from pairmill.images import DecodeError, decode_rgb
from pairmill.plan.chain import Chain
from pairmill.report.choices import tagged
from pairmill.report.gather import ReportRows
from pairmill.report.scores import thresholds
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.expressions import Expression, frame_of
from pairmill.schemas.hash_columns import row_chances
from pairmill.work.ahead import THREADS, ahead, give_back
from pairmill.work.block import block_columns

THUMBNAIL_PX = 192
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

    def add(found: pl.DataFrame, tag: str) -> None:
        for place in found.select("shard", "row").iter_rows():
            if len(tags) < count or place in tags:
                tags[place].append(tag)

    chance = row_chances(frame["uid"].to_arrow(), seed, "report")
    shuffled = frame.with_columns(pl.Series("chance", chance)).sort("chance")
    groups = shuffled.partition_by("fate", "at", maintain_order=True)
    for group in groups:
        add(group.head(max(1, count // 2 // max(1, len(groups)))), "random")
    for reason in frame["reason"].drop_nulls().unique().sort():
        add(shuffled.filter(pl.col("reason") == reason).head(CLASS), f"failed: {reason}")
    for choice in rows.choices:
        for found, tag in tagged(shuffled, choice):
            add(found.head(CLASS), tag)
    for column in rows.duplicates:
        firsts = (
            shuffled.filter(pl.col(column).is_not_null())[column]
            .unique(maintain_order=True)
            .head(CLUSTERS)
        )
        for first in firsts:
            add(
                frame.filter((pl.col("uid") == first) | (pl.col(column) == first)).head(MEMBERS),
                f"{column}: {first}",
            )
    gated = [
        (s.name, sign, number)
        for s in rows.scores
        for text in rows.gates
        if text
        for sign, number in thresholds(text, s.name)
    ]
    for name, sign, number in gated:
        distance = (pl.col(name) - number).abs()
        passes = pl.col(name) >= number if ">" in sign else pl.col(name) <= number
        add(frame.filter(passes).sort(distance).head(NEAR), f"{name}: just passes")
        add(frame.filter(~passes).sort(distance).head(NEAR), f"{name}: just fails")
    for name in dict.fromkeys(
        [*(n for n, _, _ in gated), *(s.name for s in rows.scores if s.stage)]
    ):
        known = frame.filter(
            pl.col(name).is_not_null() & pl.col(name).cast(pl.Float64).is_finite()
        ).sort(name, "shard", "row")
        add(known.head(TAIL), f"{name}: lowest")
        add(known.tail(TAIL), f"{name}: highest")
    return dict(tags)


def samples(
    chain: Chain, rows: ReportRows, count: int, seed: int, blur: Expression | None
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
            lambda item: described(chain, *item, blur), list(by_shard.items()), THREADS
        )
        for s in part
    ]
    for sample in found:
        sample["tags"] = tags[sample["shard"], sample["row"]]
    return found


def described(
    chain: Chain, shard: int, numbers: list[int], blur: Expression | None
) -> list[dict[str, Any]]:
    """Rows of one shard as the gallery shows them."""
    schema = chain.schema
    names = [f.name for f in schema if not pa.types.is_fixed_size_list(f.type)]
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
                "image": thumbnail(image),
            }
        )
    give_back()
    return found


def first_bytes(value: Any) -> bytes | None:
    """The first bytes in a value of payload, at any depth; None where there are none."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return next((found for part in parts if (found := first_bytes(part))), None)
    return value if isinstance(value, bytes) and value else None


def thumbnail(data: bytes | None) -> str | None:
    """A small JPEG made anew, as a data URL; None where there is no picture."""
    if data is None:
        return None
    try:
        image = decode_rgb(data)
    except DecodeError:
        return None
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=72)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
