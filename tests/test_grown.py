"""What a run over data that grew takes over from the one before: answers of stages over all rows,
fates, ledgers and files of packages.
"""

import json
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill import Pipeline, RunResult
from pairmill.fates import remembered
from pairmill.fates.fate_memory import FOLLOWED, place_of, steps_of
from pairmill.packages.package import verify
from pairmill.workspace.contents import collect, unused
from pairmill.workspace.storage import Storage
from tests.workspaces import column_files

FILE = """
name: grown
source: {type: pairs, path: in, rows_per_shard: 20}
stages:
  - {stage: text_rules, keep: text_words > 1}
  - {stage: dedup, on: [text], keep: dup_of IS NULL OR cluster_size < 4}
  - {stage: sample, keep: sample < 0.9}
outputs: [{type: table, path: out, samples_per_shard: 10, shuffle: false, overwrite: true}]
"""
FILES = 6


def texts(file: int) -> list[str]:
    return [f"row {i} of file {file}" for i in range(20)]


def write_file(folder: Path, file: int, lines: list[str]) -> None:
    (folder / "in").mkdir(exist_ok=True)
    names = [f"u{file}-{i}" for i in range(len(lines))]
    urls = [f"http://x.test/{name}" for name in names]
    frame = pl.DataFrame({"uid": names, "text": lines, "url": urls})
    frame.write_parquet(folder / f"in/{file:03}.parquet")


def run(folder: Path) -> RunResult:
    """A run by a process that remembers nothing itself."""
    FOLLOWED.found.clear()
    FOLLOWED.nbytes = 0
    pipeline = Pipeline.from_yaml(folder / "p.yaml")
    return pipeline.run(local=True, processes=0, progress=False, write_report=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in range(FILES):
        write_file(tmp_path, file, texts(file))
    (tmp_path / "p.yaml").write_text(FILE)
    run(tmp_path)
    time.sleep(remembered.UNSURE_S)  # fates of files that were changed a moment ago are not kept
    run(tmp_path)
    return tmp_path


def files(folder: Path, pattern: str) -> dict[str, tuple[int, int]]:
    """Name → which file that is, and since when."""
    found = sorted(folder.glob(pattern))
    return {str(f.relative_to(folder)): (f.stat().st_ino, f.stat().st_mtime_ns) for f in found}


def ledgers(folder: Path, result: RunResult) -> dict[str, tuple[int, int]]:
    place = Path(result.folder).relative_to(folder)
    return {Path(n).name: f for n, f in files(folder, f"{place}/ledger/*.parquet").items()}


def fresh(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The package that a new workspace makes of the same input."""
    other = tmp_path_factory.mktemp("fresh")
    for file in (folder / "in").iterdir():
        (other / "in").mkdir(exist_ok=True)
        (other / "in" / file.name).write_bytes(file.read_bytes())
    (other / "p.yaml").write_text(FILE)
    run(other)
    return package(other)


def package(folder: Path) -> dict[str, bytes]:
    assert verify(str(folder / "out")) == []
    found = (f for f in (folder / "out").rglob("*") if f.is_file())
    return {str(f.relative_to(folder / "out")): f.read_bytes() for f in found}


def test_answers_that_stay_the_same_keep_their_files(folder: Path) -> None:
    workspace = folder / "workspace"
    before = files(folder, "workspace/columns/dedup-*/*.parquet")
    assert len(before) == FILES
    write_file(folder, FILES, [*texts(FILES)[:19], texts(2)[3]])
    run(folder)
    after = files(folder, "workspace/columns/dedup-*/*.parquet")
    assert before.items() <= after.items()
    assert len(after) == FILES + 2  # the new shard, and the one with a text that came again
    (folder / f"in/{FILES:03}.parquet").unlink()
    (folder / "in/005.parquet").unlink()
    run(folder)
    assert files(folder, "workspace/columns/dedup-*/*.parquet") == after
    assert len(column_files(workspace, "sample")) == len({*column_files(workspace, "sample")}) > 0


def test_gc_keeps_what_a_stage_over_all_rows_answered_and_takes_the_rest(folder: Path) -> None:
    storage = Storage(str(folder / "workspace"))
    assert unused(storage) == []
    before = files(folder, "workspace/columns/dedup-*/*.parquet")
    write_file(folder, 2, [*texts(2)[:19], texts(4)[3]])
    latest = Path(run(folder).folder).name
    for runs in (folder / "workspace/runs").iterdir():
        if runs.name != latest:
            storage.delete_folder(f"runs/{runs.name}")
    gone = {s.folder: s.names for s in unused(storage)}
    assert len(gone["answers"] or ()) == 1
    collect(storage, unused(storage))
    kept = files(folder, "workspace/columns/dedup-*/*.parquet")
    assert len(kept) == FILES
    assert len(before.items() & kept.items()) == FILES - 2
    everything = files(folder, "workspace/columns/*/*.parquet")
    run(folder)
    assert files(folder, "workspace/columns/*/*.parquet") == everything
    assert {Path(f).name for f in files(folder, "workspace/fates/*")} == {
        "grown.parquet",
        "grown+files.parquet",
    }
    storage.delete_folder("runs")
    assert {"fates", "answers"} <= {s.folder for s in unused(storage)}


@pytest.mark.parametrize("damage", ["a file", "what was told", "both"])
def test_answers_that_are_gone_or_damaged_are_given_again(folder: Path, damage: str) -> None:
    workspace = folder / "workspace"
    (told,) = workspace.glob("answers/*.parquet")
    before = {f: f.read_bytes() for f in [told, *column_files(workspace, "dedup")]}
    (ledger,) = (pl.read_parquet(f"{f}/*.parquet") for f in workspace.glob("runs/*/ledger"))
    if damage != "what was told":
        column_files(workspace, "dedup")[1].unlink()
    if damage != "a file":
        told.write_bytes(b"PAR1 nothing of the kind PAR1")
    result = run(folder)
    assert {f: f.read_bytes() for f in before} == before
    assert pl.read_parquet(f"{result.folder}/ledger/*.parquet").equals(ledger)


def test_a_run_goes_on_from_the_fates_that_the_last_one_remembered(folder: Path) -> None:
    run(folder)
    chain = Pipeline.from_yaml(folder / "p.yaml").stored().chain
    followed = {s: FOLLOWED.fates(place_of(chain, s)) for s in chain.shards()}
    FOLLOWED.found.clear()
    remembered.recall(chain.root, "grown")
    for shard, fates in followed.items():
        recalled = FOLLOWED.fates(place_of(chain, shard))
        assert fates is not None
        assert recalled is not None
        assert told(recalled) == told(fates)
        steps = steps_of(chain, shard, chain.stages, ())
        assert FOLLOWED.known(place_of(chain, shard), steps)[0] == len(chain.stages)
    column = column_files(folder / "workspace", "dedup")[0]
    column.write_bytes(column.read_bytes())  # another version: nothing of it is believed
    known = [
        FOLLOWED.known(place_of(chain, s), steps_of(chain, s, chain.stages, ()))[0]
        for s in chain.shards()
    ]
    assert sorted(known) == [1, *[len(chain.stages)] * (FILES - 1)]


def told(fates: Any) -> tuple[Any, ...]:
    """All that is known of a shard's rows."""
    arrays = [a.tolist() for a in (fates.fate, fates.at, fates.why)]
    ran = {index: rows.tolist() for index, rows in fates.ran.items()}
    return fates.steps, arrays, fates.words, ran, fates.ledger


def test_remembered_fates_that_are_damaged_are_followed_anew(folder: Path) -> None:
    file = folder / "workspace/fates/grown.parquet"
    sound = run(folder)
    expected = pl.read_parquet(f"{sound.folder}/ledger/*.parquet")
    data = bytearray(file.read_bytes())
    for place in (8, len(data) // 2, len(data) - 9):
        file.write_bytes(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        assert pl.read_parquet(f"{run(folder).folder}/ledger/*.parquet").equals(expected)
        assert len(pl.read_parquet(file)) == FILES


def test_ledgers_and_package_files_of_what_did_not_change_are_kept(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = run(folder)
    before, files_before = ledgers(folder, first), files(folder, "out/*/*.parquet")
    write_file(folder, 3, [*texts(3)[:19], "one other text"])
    second = run(folder)
    after, files_after = ledgers(folder, second), files(folder, "out/*/*.parquet")
    changed = {n for n in after if after[n][0] != before[n][0]}
    assert changed == {"shard-000003.parquet"}
    same = before_the_change(folder)
    assert 0 < same < len(files_after) - 1
    kept = {n for n in files_after if files_after[n] == files_before.get(n)}
    assert len(kept) >= same
    assert package(folder) == fresh(folder, tmp_path_factory)


def before_the_change(folder: Path) -> int:
    """How many files of the package hold rows of the first three shards alone."""
    frames = [pl.read_parquet(f)["uid"] for f in sorted((folder / "out").glob("*/*.parquet"))]
    return sum(frame.str.slice(0, 2).is_in(["u0", "u1", "u2"]).all() for frame in frames)


def test_a_kept_file_that_is_damaged_is_written_again(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = min((folder / "out").glob("*/*.parquet"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    write_file(folder, 3, [*texts(3)[:19], "one other text"])
    run(folder)
    assert package(folder) == fresh(folder, tmp_path_factory)


def test_the_manifest_tells_what_each_part_is_made_of(folder: Path) -> None:
    manifest = json.loads((folder / "out/manifest.json").read_text())
    made = [part["made_of"] for part in manifest["parts"]]
    assert len(set(made)) == len(made) > 5


@pytest.mark.slow
@pytest.mark.parametrize("key", ["told", "samples", "made_of", "facts"])
def test_parts_that_were_altered_are_written_again(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    file = folder / "out/manifest.json"
    manifest = json.loads(file.read_text())
    twisted = {"told": {"a": 1}, "samples": 3, "made_of": "", "facts": {"kinds": 7}}
    for part in manifest["parts"]:
        part[key] = twisted[key]
    file.write_text(json.dumps(manifest))
    write_file(folder, 3, [*texts(3)[:19], "one other text"])
    run(folder)
    assert package(folder) == fresh(folder, tmp_path_factory)
