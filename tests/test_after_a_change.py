"""After one change to the input or the pipeline, with the same rows kept, a package is that of a
fresh workspace: what decides its bytes is in the identities, each thing by itself.
"""

from pathlib import Path

import pytest

from pairmill import Pipeline

INPUT = """uid,url,text,number
a,http://x.test/a,one word or two,1
b,http://x.test/b,the same,2
c,http://x.test/c,the same,3
d,http://x.test/d,four,4
e,http://x.test/e,,5
"""
FILE = """
name: changed
seed: 1
source: {type: pairs, path: in.csv, rows_per_shard: 1}
stages:
  - {stage: text_rules}
  - {stage: derive, name: first, expression: "number + 1"}
  - {stage: dedup, on: [text], keep: dup_of IS NULL, on_missing: keep, when: number > 0}
  - {stage: derive, name: last, expression: "first * 10"}
  - {stage: "tests.test_history:CountedStage", name: counted, of: text_words, when: "number > 1"}
outputs:
  - {type: table, path: ours, format: csv, columns: [last], shuffle: false, overwrite: true}
"""
KEPT = ('"number + 1"}', '"number + 1", keep: first < 4}')
NUMBERS = ("[last], shuffle: false", "[number], shuffle: false")
ORDERED = ("[last], shuffle: false", "[text], order: [last]")
SHUFFLED = ("[last], shuffle: false", "[number], shuffle: true")
ADDRESSES = ("[last], shuffle: false", "[url], shuffle: false")
COUNTED = ("[last], shuffle: false", "[counted], shuffle: false")


def package(folder: Path) -> dict[str, bytes]:
    pipeline = Pipeline.from_yaml(folder / "p.yaml")
    pipeline.run(local=True, progress=False, write_report=False, processes=0)
    files = (f for f in (folder / "ours").rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """Input and pipeline, each changed at the places named."""
    folder.mkdir(exist_ok=True)
    for name, text in (("in.csv", INPUT), ("p.yaml", FILE)):
        for old, new in changes:
            assert old in INPUT + FILE + str(changes)
            text = text.replace(old, new)
        (folder / name).write_text(text)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], [(",1\n", ",7\n")], id="a value"),
        pytest.param([ADDRESSES], [ADDRESSES, ("x.test/a", "x.test/f")], id="a value that no stage reads"),
        pytest.param([], [("x.test/c,the same", "x.test/c,other")], id="a value that decides of other rows"),
        pytest.param([], [("number + 1", "number + 2")], id="a stage before the one that leaves"),
        pytest.param([ADDRESSES], [ADDRESSES, ("first * 10", "first * 11")], id="a stage of which nothing leaves"),
        pytest.param([], [("\nb,", "\nz,")], id="which of two duplicates comes first"),
        pytest.param([COUNTED], [COUNTED, ("text_words", "text_chars")], id="another column of a stage"),
        pytest.param([COUNTED], [COUNTED, ("number > 1", "number > 2")], id="when"),
        pytest.param([], [("number > 0", "number > 2")], id="when a stage over all rows looks"),
        pytest.param([], [("on_missing: keep", "on_missing: drop")], id="what becomes of missing values"),
        pytest.param([KEPT, NUMBERS], [KEPT, NUMBERS, ("number + 1", "7 - number")], id="as many other rows"),
        pytest.param([ORDERED], [ORDERED, ("number + 1", "1 - number")], id="the order"),
        pytest.param([SHUFFLED], [SHUFFLED, ("seed: 1", "seed: 2")], id="the seed"),
        pytest.param([], [("[last], shuffle", "[first], shuffle")], id="the columns"),
    ],
)  # fmt: skip
def test_package_after_a_change_is_that_of_a_fresh_workspace(
    tmp_path: Path, before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    first = package(written(tmp_path / "grown", *before))
    grown = package(written(tmp_path / "grown", *after))
    assert grown == package(written(tmp_path / "fresh", *after))
    assert grown != first
