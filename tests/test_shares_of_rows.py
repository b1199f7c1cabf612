"""A share of the rows goes to one stage, the rest to another: what joins both follows the share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.api import Pipeline

Write = Callable[[str], Path]


def joined(write: Write, folder: Path, share: float, seed: int, rows: int) -> list[dict[str, Any]]:
    columns = {
        "url": [f"http://a.b/{i}" for i in range(rows)],
        "text": [f"t{i}" for i in range(rows)],
    }
    pq.write_table(pa.table(columns), folder / "in.parquet")
    file = write(
        "name: x\nworkspace: ws\nsource: {type: pairs, path: in.parquet}\nstages:\n"
        f"  - {{stage: sample, seed: {seed}}}\n"
        f"  - {{stage: derive, name: a, expression: \"'teacher ' || text\", when: sample < {share}}}\n"
        f"  - {{stage: derive, name: b, expression: \"'student ' || text\", when: sample >= {share}}}\n"
        "  - {stage: best_of, name: caption, candidates: [a, b]}\n"
        "outputs: [{type: table, path: out, overwrite: true}]\n"
    )
    Pipeline.from_yaml(file).run(local=True, progress=False, replace=True)
    return pq.read_table(folder / "out/data").to_pylist()


def test_choice_among_columns_follows_the_share_that_each_was_made_for(
    write: Write, tmp_path: Path
) -> None:
    taught: list[set[str]] = []
    for share, seed, rows in [(0.3, 0, 60), (0.3, 0, 90), (0.6, 0, 90), (0.3, 7, 90), (0.3, 0, 90)]:
        found = joined(write, tmp_path, share, seed, rows)
        assert len(found) == rows
        for row in found:
            first = row["sample"] < share
            assert (row["a"] is not None, row["b"] is not None) == (first, not first)
            assert row["caption_from"] == ("a" if first else "b")
            assert row["caption"] == (row["a"] or row["b"])
        taught.append({row["text"] for row in found if row["caption_from"] == "a"})
    assert taught[0] < taught[1] < taught[2]
    assert taught[4] == taught[1] != taught[3]


def test_choice_follows_a_column_of_the_source_that_conditions_alone_read(
    write: Write, tmp_path: Path
) -> None:
    for kinds in (["web", "labels", "web"], ["labels", "labels", "web"]):
        columns = {"url": ["u0", "u1", "u2"], "text": ["t0", "t1", "t2"], "kind": kinds}
        pq.write_table(pa.table(columns), tmp_path / "in.parquet")
        file = write(
            "name: x\nworkspace: ws\nsource: {type: pairs, path: in.parquet}\nstages:\n"
            "  - {stage: derive, name: a, expression: \"'web ' || text\", when: kind = 'web'}\n"
            "  - {stage: derive, name: b, expression: \"'own ' || text\", when: kind = 'labels'}\n"
            "  - {stage: best_of, name: caption, candidates: [a, b]}\n"
            "outputs: [{type: table, path: out, overwrite: true}]\n"
        )
        Pipeline.from_yaml(file).run(local=True, progress=False, replace=True)
        found = pq.read_table(tmp_path / "out/data").to_pylist()
        expected = {f"u{i}": "a" if kind == "web" else "b" for i, kind in enumerate(kinds)}
        assert {row["url"]: row["caption_from"] for row in found} == expected


def test_choice_among_all_rows_follows_what_conditions_read(write: Write, tmp_path: Path) -> None:
    """A seed, a share and a column of the source decide which rows have a score; which rows look is
    the same each time.
    """
    odd, even = [i % 2 for i in range(40)], [(i + 1) % 2 for i in range(40)]
    for seed, share, kinds in [(0, 0.5, odd), (1, 0.5, odd), (1, 0.3, odd), (1, 0.3, even)]:
        columns = {
            "url": [f"http://a.b/{i}" for i in range(40)],
            "n": list(range(40)),
            "kind": kinds,
        }
        pq.write_table(pa.table(columns), tmp_path / "in.parquet")
        file = write(
            "name: x\nworkspace: ws\nsource: {type: pairs, path: in.parquet}\nstages:\n"
            f"  - {{stage: sample, seed: {seed}}}\n"
            '  - {stage: derive, name: a, expression: "n * 1.0", '
            f'when: "kind = 1 AND sample < {share}"}}\n'
            "  - {stage: select, name: best, by: a, fraction: 0.1, of: all}\n"
            "outputs: [{type: table, path: out, overwrite: true}]\n"
        )
        Pipeline.from_yaml(file).run(local=True, progress=False, replace=True)
        found = pq.read_table(tmp_path / "out/data").to_pylist()
        scored = sorted((row["a"] for row in found if row["a"] is not None), reverse=True)
        chosen = {row["a"] for row in found if row["best"]}
        assert chosen == set(scored[:5])  # as DataComp counts: what is at least the fifth
