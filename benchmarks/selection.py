"""What selection over the whole set costs: `python benchmarks/selection.py --rows 10000000`.

Top 30% of scores in each of 50 groups; concepts of 10⁵ entries in captions, against the bare
Aho–Corasick binding (texts that are normalised already, matches counted and thrown away); balance
over what was found.  CPU seconds of one process, each after the other.
"""

import argparse
import time
from collections.abc import Callable

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--captions", type=int, default=1_000_000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    print("| what | rows | CPU s | rate | |\n|---|--:|--:|--:|---|")
    for rows in [n for n in (10**5, 10**6, 10**7) if n <= given.rows]:
        table = pa.table(
            {
                "uid": pl.int_range(rows, eager=True).cast(pl.String).str.zfill(32).to_arrow(),
                "score": rng.normal(0.25, 0.06, rows).astype(np.float32),
                "group": pa.array(rng.integers(0, 50, rows)).cast(pa.string()),
            }
        )
        stage = SelectStage(SelectConfig(by="score", fraction=0.3, per=["group"]))
        told("select: top 30% of 50 groups", rows, seconds(lambda s=stage, t=table: s(t)))
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
