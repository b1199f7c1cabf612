"""Bugs that were met once, each with the input that showed it."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError, StageFailed
from pairmill.outputs.base import ShardRows
from pairmill.outputs.interleaved import InterleavedOutputConfig, InterleavedWriter
from pairmill.packages.package import RECORDS, verify
from pairmill.sources.base import Unreadable
from pairmill.sources.webdataset import WebDatasetConfig, WebDatasetSource

Write = Callable[[str], Path]
FILE = """
name: r
source: {type: parquet, path: pairs.parquet, rows_per_shard: 40}
stages:
  - stage: tests.stages_for_tests:PickyStage
    name: picky
    batch_size: 20
    MORE
outputs: [{type: webdataset, path: out, shuffle: false}]
"""


def run(file: Path, **options: object) -> object:
    overrides = options.pop("overrides", None)
    return Pipeline.from_yaml(file, overrides).run(
        local=True,
        progress=False,
        replace=True,
        **options,  # type: ignore[arg-type]
    )


def test_changed_when_makes_a_new_package(write: Write, pairs: Path) -> None:
    file = write(FILE.replace("MORE", "when: width > 0"))
    run(file)
    assert pl.read_parquet(pairs.parent / "out/00000.parquet")["picky_twice"].null_count() == 0
    run(file, overrides={"stages.picky.when": "width < 0"})
    assert pl.read_parquet(pairs.parent / "out/00000.parquet")["picky_twice"].null_count() == 40


@pytest.mark.parametrize("missing", ["manifest and marks kept", "everything but files and mark"])
def test_package_that_was_killed_half_way_is_finished_by_the_same_command(
    write: Write, pairs: Path, missing: str
) -> None:
    file = write(FILE.replace("MORE", ""))
    run(file)
    out = pairs.parent / "out"
    (out / "manifest.json").unlink()
    if missing.startswith("everything"):
        (out / "README.md").unlink()
    (out / RECORDS / "0123").mkdir(parents=True)
    (out / RECORDS / "0123/begun.json").write_text('{"replaces": []}')
    run(file)
    assert verify(str(out)) == []


def test_files_of_others_beside_a_package_stay(write: Write, pairs: Path) -> None:
    file = write(FILE.replace("MORE", ""))
    run(file)
    out = pairs.parent / "out"
    (out / "LICENSE").write_text("mine")
    run(file, overrides={"outputs.0.samples_per_shard": "10"})
    assert (out / "LICENSE").read_text() == "mine"
    assert len(list(out.glob("*.tar"))) == 4
    run(file)
    assert len(list(out.glob("*.tar"))) == 1


def test_bad_rows_at_the_beginning_do_not_condemn_the_stage(write: Write, pairs: Path) -> None:
    source = pairs
    pl.read_parquet(source).with_columns(pl.lit("doc").alias("doc")).write_parquet(source)
    text = FILE.replace("MORE", f"bad: {list(range(20))}\n    max_failures: 0.6").replace(
        "batch_size: 20", "batch_size: 40"
    )
    text = text.replace("rows_per_shard: 40", "rows_per_shard: 40, columns: {doc_id: doc}")
    assert run(write(text)).funnel.kept == 20  # type: ignore[attr-defined]


def test_too_many_stored_failures_stop_the_second_run_as_well(write: Write, pairs: Path) -> None:
    pl.read_parquet(pairs).with_columns(pl.lit("doc").alias("doc")).write_parquet(pairs)
    text = FILE.replace("MORE", f"bad: {list(range(10, 35))}").replace(
        "rows_per_shard: 40", "rows_per_shard: 40, columns: {doc_id: doc}"
    )
    for _ in range(2):
        with pytest.raises(StageFailed, match="ZeroDivisionError"):
            run(write(text))


def test_number_in_a_variable_that_only_sounds_secret_is_no_secret(
    write: Write, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(
        FILE.replace("MORE", "bad: ['${MAX_TOKENS}']").replace(
            "['${MAX_TOKENS}']", "\n      - ${MAX_TOKENS}"
        )
    )
    found = []
    for value in ("10240", "20480"):
        monkeypatch.setenv("MAX_TOKENS", value)
        found.append(Pipeline.from_yaml(file).plan()["stages"][0]["identity"])
    assert found[0] != found[1]


def test_damaged_tar_header_is_told(tmp_path: Path, pictures: list[tuple[bytes, str]]) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(6):
            info = tarfile.TarInfo(f"{i}.jpg")
            info.size = len(pictures[0][0])
            tar.addfile(info, io.BytesIO(pictures[0][0]))
    data = bytearray((tmp_path / "a.tar").read_bytes())
    at = data.index(b"2.jpg")
    data[at : at + 400] = b"\xff" * 400
    (tmp_path / "a.tar").write_bytes(bytes(data))
    parts = list(WebDatasetSource(WebDatasetConfig(path=str(tmp_path / "a.tar"))).read())
    assert sum(p.num_rows for p in parts if isinstance(p, pa.Table)) == 5
    assert ["damaged header" in p.reason for p in parts if isinstance(p, Unreadable)] == [True]


def test_equal_pairs_stay_two_documents() -> None:
    rows = pa.table(
        {
            "doc_id": ["a", "a"],
            "position": [0, 0],
            "url": ["u", "u"],
            "text": ["t", "t"],
            "image": pa.array([b"x", b"x"], pa.large_binary()),
        }
    )
    narrow = rows.drop_columns(["image"]).append_column("uid", pa.array(["1", "2"]))
    whole = pa.schema([*narrow.schema, rows.schema.field("image")])
    out = io.BytesIO()
    samples = ShardRows(whole, rows.num_rows, lambda: [narrow], lambda: [rows.select(["image"])])
    (file,) = InterleavedWriter(InterleavedOutputConfig(path="x")).files(samples, 0, 0)
    file.write(out)  # type: ignore[arg-type]
    out.seek(0)
    assert pl.read_parquet(out).height == 2


def test_column_that_the_output_would_hide_is_refused(write: Write, pairs: Path) -> None:
    from tests.conftest import CAPTIONER

    file = write(
        FILE.replace("MORE", "").replace(
            "outputs:", f"  - {{stage: caption, model: {CAPTIONER}}}\noutputs:"
        )
    )
    with pytest.raises(PipelineFileError, match="'caption' would be hidden"):
        Pipeline.from_yaml(file)


def test_pipeline_seed_reaches_sampling(write: Write, pairs: Path) -> None:
    file = write(FILE.replace("MORE", "").replace("outputs:", "  - {stage: sample}\noutputs:"))
    one, two = (
        Pipeline.from_yaml(file, {"seed": s}).plan()["stages"][1]["identity"] for s in ("1", "2")
    )
    assert one != two


def test_faults_of_keys_and_of_the_plan_are_shown_together(write: Write, pairs: Path) -> None:
    file = write(
        FILE.replace("MORE", "keep: nowhere > 1").replace(
            "outputs:", "  - {stage: sample, sead: 1}\noutputs:"
        )
    )
    with pytest.raises(PipelineFileError) as caught:
        Pipeline.from_yaml(file)
    told = str(caught.value)
    assert "'nowhere'" in told
    assert "unknown key 'sead'" in told


def test_merge_keys_are_read(write: Write, pairs: Path) -> None:
    text = FILE.replace("MORE", "").replace(
        "outputs:",
        "  - &rules {stage: text_rules, on_missing: keep}\n  - <<: *rules\n    name: "
        "again\noutputs:",
    )
    assert json.dumps(Pipeline.from_yaml(write(text)).plan()["stages"][2]["name"]) == '"again"'
