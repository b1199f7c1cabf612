"""A setting that was edited, in a workspace that knows the one before: what comes out is what a
fresh workspace gives.  Each edit touches one thing that decides a value, a row or a file's bytes.
"""

from pathlib import Path

import polars as pl
import pytest

from pairmill import Pipeline
from pairmill.filters.derive import DeriveStage

FILE = """
name: edited
source:
  type: pairs
  path: in.parquet
  rows_per_shard: 8
  set: {license: cc-by}
stages:
  - {stage: derive, name: wide, expression: "size + 1"}
  - {stage: derive, name: half, expression: "wide / 2", when: size < 30}
  - {stage: filter, name: small, keep: size < 40, on_missing: drop}
  - {stage: sentences}
  - each: sentences
    limit: 3
    stages:
      - {stage: derive, name: length, expression: "length(sentences)"}
      - {stage: derive, name: double, expression: "length * 2", when: length > 3}
      - {stage: filter, name: long, keep: length < 9}
      - {stage: filter, name: doubled, keep: double < 40}
    collect: [length, double]
  - {stage: select, by: size, fraction: 0.9, seed: 1}
outputs:
  - {type: table, path: out, samples_per_shard: 10, shuffle: false, overwrite: true}
  - {type: table, path: few, where: "size < 10", after: small, overwrite: true}
  - {type: uids, path: uids, overwrite: true}
"""
ROWS = 40
EDITS = [
    ("size + 1", "size + 2"),
    ("size + 1", "size * 1.0"),
    ("size + 1", "CAST(size AS SMALLINT)"),
    ("when: size < 30", "when: size < 20"),
    ("size < 40, on_missing: drop", "size < 40, on_missing: keep"),
    ("keep: size < 40", "keep: size < 39.5"),  # the same rows, told otherwise
    ("keep: size < 40", "keep: size < 15"),
    ("limit: 3", "limit: 1"),
    ("when: length > 3", "when: length > 5"),
    ("keep: length < 9", "keep: length < 5"),
    ("keep: length < 9", "keep: length < 9.0"),
    ("double < 40}", "double < 40, on_missing: keep}"),
    ("collect: [length, double]", "collect: [double, length]"),
    ("collect: [length, double]", "collect: [double]"),
    ("fraction: 0.9", "fraction: 0.5"),
    ("by: size", "by: wide"),
    ("seed: 1", "seed: 2"),
    ("samples_per_shard: 10, shuffle: false", "samples_per_shard: 7, shuffle: false"),
    ("shuffle: false", "shuffle: true"),
    ("size < 10", "size < 9"),
    ("after: small", "after: wide"),
    ("cc-by", "cc0"),
    ("rows_per_shard: 8", "rows_per_shard: 16"),
    ("path: few", "path: few, order: [size]"),
    ("path: few", "path: few, format: jsonl"),
]


def run(folder: Path, text: str) -> dict[str, bytes]:
    """Every file of packages and ledgers."""
    (folder / "p.yaml").write_text(text)
    pipeline = Pipeline.from_yaml(folder / "p.yaml")
    result = pipeline.run(local=True, processes=0, progress=False, write_report=False)
    places = [*(folder / name for name in ("out", "few", "uids")), Path(result.folder) / "ledger"]
    files = (f for place in places for f in place.rglob("*") if f.is_file())
    return {str(f.relative_to(f.parents[1])): f.read_bytes() for f in files}


def write(folder: Path, kind: type[pl.DataType] = pl.Int64) -> None:
    words = ["One.", "Two two.", "Three three three.", "Much more than four words stand here."]
    sizes = [None if i % 11 == 5 else i * 7 % 50 for i in range(ROWS)]
    table = {
        "url": [f"http://x.test/{i}" for i in range(ROWS)],
        "text": [" ".join(words[: i % 5]) for i in range(ROWS)],
        "size": pl.Series(sizes, dtype=kind),
    }
    pl.DataFrame(table).write_parquet(folder / "in.parquet")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A workspace that knows what the unedited file gives, and that."""
    folder = tmp_path_factory.mktemp("known")
    write(folder)
    return folder, run(folder, FILE)


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), EDITS)
def test_an_edit_gives_what_a_fresh_workspace_gives(
    known: tuple[Path, dict[str, bytes]], tmp_path: Path, old: str, new: str
) -> None:
    (folder, before), text = known, FILE.replace(old, new)
    assert FILE.count(old) == 1
    write(tmp_path)
    expected = run(tmp_path, text)
    assert run(folder, text) == expected
    assert run(folder, FILE) == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pl.Int32, pl.Float64, pl.UInt8])
def test_another_type_of_a_column_gives_what_a_fresh_workspace_gives(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, kind: type[pl.DataType]
) -> None:
    write(tmp_path)
    run(tmp_path, FILE)
    write(tmp_path, kind)
    other = tmp_path_factory.mktemp("other")
    write(other, kind)
    assert run(tmp_path, FILE) == run(other, FILE)


def identities(folder: Path, text: str) -> dict[str, str]:
    (folder / "p.yaml").write_text(text)
    stages = Pipeline.from_yaml(folder / "p.yaml").plan()["stages"]
    return {s["name"]: s["identity"] for s in stages if s["identity"]}


def test_an_identity_hangs_on_types_version_and_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    before = identities(tmp_path, FILE)
    assert {"wide", "half", "sentences"} <= before.keys()
    read = identities(tmp_path, FILE.replace("size + 1", "size + 2"))
    assert {n for n in read if read[n] != before.get(n)} == {"wide", "half"}
    write(tmp_path, pl.Float64)
    assert identities(tmp_path, FILE)["wide"] != before["wide"]
    write(tmp_path)
    monkeypatch.setattr(DeriveStage, "version", DeriveStage.version + 1)
    newer = identities(tmp_path, FILE)
    assert {n for n in newer if newer[n] != before.get(n)} == {"wide", "half"}
