"""What selection over the whole set costs: `python benchmarks/selection.py --rows 10000000`.

Top 30% of scores in each of 50 groups; concepts of 10⁵ entries in captions, against the bare
Aho–Corasick binding (texts that are normalised already, matches counted and thrown away); balance
over what was found.  CPU seconds of one process, each after the other.  `--drawing FILE` draws what
a row costs, from 10⁵ rows to 10⁷, as SVG.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ahocorasick_rs
import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.filters.concept_texts import patterns, spaced
from pairmill.filters.concepts import ConceptsConfig, ConceptsStage
from pairmill.stages.select.balance import BalanceConfig, BalanceStage
from pairmill.stages.select.stage import SelectConfig, SelectStage

WORDS, ENTRIES, BATCH = 60_000, 100_000, 4096


def vocabulary(rng: np.random.Generator) -> list[str]:
    letters = rng.integers(97, 123, (2 * WORDS, 9)).astype(np.uint8)
    lengths = rng.integers(3, 10, 2 * WORDS)
    words = (bytes(row[:n]).decode() for row, n in zip(letters, lengths, strict=True))
    return list(dict.fromkeys(words))[:WORDS]


def captions(rng: np.random.Generator, words: list[str], rows: int) -> list[str]:
    """Texts of 5 to 15 words that follow Zipf's law."""
    chance = 1 / np.arange(1, len(words) + 1)
    lengths = rng.integers(5, 16, rows)
    drawn = rng.choice(len(words), lengths.sum(), p=chance / chance.sum())
    ends = np.cumsum(lengths)
    return [
        " ".join(words[i] for i in drawn[a:b]) for a, b in zip(ends - lengths, ends, strict=True)
    ]


def entries(rng: np.random.Generator, words: list[str]) -> list[str]:
    """Half of them words, but for the 300 commonest, half of them pairs of words."""
    single = [words[i] for i in rng.permutation(np.arange(300, len(words)))[: ENTRIES // 2]]
    pairs = [f"{words[a]} {words[b]}" for a, b in rng.integers(0, 5000, (ENTRIES, 2))]
    return list(dict.fromkeys([*single, *pairs]))[:ENTRIES]


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def told(what: str, rows: int, spent: float, more: str = "") -> None:
    print(
        f"| {what} | {rows:,} | {spent:.2f} | {rows / spent / 1e6:.2f} M/s | {more} |", flush=True
    )


def drawn(curve: Sequence[tuple[int, float]]) -> str:
    """The seconds of so many rows, both on logarithmic scales, with their figures."""
    wide, high, left, below = 520, 240, 60, 36
    rows, spent = (np.log10([point[i] for point in curve]) for i in (0, 1))
    floor, top = np.floor(spent.min()), np.ceil(spent.max())

    def x(at: float) -> float:
        span = max(float(rows.max() - rows.min()), 1e-9)
        return left + (at - float(rows.min())) / span * (wide - left - 50)

    def y(at: float) -> float:
        return 16 + (float(top) - at) / max(float(top - floor), 1e-9) * (high - below - 16)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img" '
        'font-family="sans-serif" font-size="11"><title>CPU seconds of select: the top 30% of '
        f'scores in each of 50 groups</title><rect width="{wide}" height="{high}" fill="#fff"/>'
    ]
    for power in np.arange(floor, top + 1):
        parts.append(
            f'<line x1="{left}" x2="{wide - 20}" y1="{y(power):.1f}" y2="{y(power):.1f}" '
            f'stroke="#ddd"/><text x="{left - 8}" y="{y(power) + 4:.1f}" text-anchor="end">'
            f"{10**power:g} s</text>"
        )
    points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(rows, spent, strict=True))
    parts.append(f'<polyline points="{points}" fill="none" stroke="#1a7f37" stroke-width="2"/>')
    for (count, seconds_), a, b in zip(curve, rows, spent, strict=True):
        parts.append(
            f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="#1a7f37"/>'
            f'<text x="{x(a):.1f}" y="{y(b) - 8:.1f}" text-anchor="middle">{seconds_:.3g}</text>'
            f'<text x="{x(a):.1f}" y="{high - 14}" text-anchor="middle">{count:,}</text>'
        )
    parts.append(f'<text x="{wide / 2}" y="{high - 1}" text-anchor="middle">rows</text></svg>')
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--captions", type=int, default=1_000_000)
    parser.add_argument("--drawing", type=Path, help="where the curve of select is drawn")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    print("| what | rows | CPU s | rate | |\n|---|--:|--:|--:|---|")
    curve: list[tuple[int, float]] = []
    for rows in [n for n in (10**5, 316_228, 10**6, 3_162_278, 10**7) if n <= given.rows]:
        table = pa.table(
            {
                "uid": pl.int_range(rows, eager=True).cast(pl.String).str.zfill(32).to_arrow(),
                "score": rng.normal(0.25, 0.06, rows).astype(np.float32),
                "group": pa.array(rng.integers(0, 50, rows)).cast(pa.string()),
            }
        )
        stage = SelectStage(SelectConfig(by="score", fraction=0.3, per=["group"]))
        spent = seconds(lambda s=stage, t=table: s(t))
        told("select: top 30% of 50 groups", rows, spent)
        curve.append((rows, spent))
    if given.drawing:
        given.drawing.write_text(drawn(curve))
    words = vocabulary(rng)
    texts, named = captions(rng, words, given.captions), entries(rng, words)
    bare = ahocorasick_rs.BytesAhoCorasick(
        [p.encode() for p in patterns(named, "words")],
        implementation=ahocorasick_rs.Implementation.ContiguousNFA,
    )
    ready = [t.encode() for t in spaced(pl.Series(texts), "words").to_list()]
    found = 0

    def alone() -> None:
        nonlocal found
        found = sum(len(bare.find_matches_as_indexes(t, overlapping=True)) for t in ready)

    base = seconds(alone)
    told("the binding alone", len(texts), base, f"{found / len(texts):.1f} matches a text")
    stage = ConceptsStage(ConceptsConfig(concepts={name: [] for name in named}))
    stage.setup()
    table, parts = pa.table({"text": texts}), []

    def whole() -> None:
        for first in range(0, len(texts), BATCH):
            parts.append(stage(table.slice(first, BATCH)))

    spent = seconds(whole)
    told("concepts", len(texts), spent, f"{spent / base:.2f} times the binding alone")
    rows = pa.concat_tables(parts)
    uids = pl.int_range(len(texts), eager=True).cast(pl.String).str.zfill(32).to_arrow()
    balance = BalanceStage(BalanceConfig(by="concepts", cap=500))
    told("balance over them", len(texts), seconds(lambda: balance(rows.append_column("uid", uids))))


if __name__ == "__main__":
    main()
