"""Image files that a table names: what becomes of them between two runs, and while one reads."""

import os
from pathlib import Path

import fsspec
import polars as pl
import pytest

from pairmill import Pipeline, RunResult
from pairmill.errors import RunError
from pairmill.sources.local_images import ImageFiles
from pairmill.sources.table_config import PairsConfig
from pairmill.sources.tables import TableSource
from pairmill.workspace.fingerprints import input_digests, table_id
from pairmill.workspace.storage import Storage
from tests.inputs import picture

PIPELINE = """
name: named
workspace: workspace
source: {type: pairs, path: in.csv, image: file}
stages: [{stage: resolution}]
outputs: [{type: parquet, path: out}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for i in range(4):
        (tmp_path / f"pictures/{i}.jpg").write_bytes(picture(i))
    lines = "".join(f"u{i},pictures/{i}.jpg,text {i}\n" for i in range(4))
    (tmp_path / "in.csv").write_text(f"uid,file,text\n{lines}")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def run(folder: Path) -> RunResult:
    file = folder / "pipeline.yaml"
    return Pipeline.from_yaml(file).run(local=True, progress=False, replace=True)


def images(folder: Path) -> dict[str, bytes]:
    kept = pl.read_parquet(folder / "out/data/*.parquet")
    return {uid: image["bytes"] for uid, image in kept.select("uid", "image").iter_rows()}


def test_an_image_that_comes_back_or_is_replaced_is_read(folder: Path) -> None:
    away = folder / "away"
    (folder / "pictures/2.jpg").rename(away)
    assert (run(folder).funnel.rows, images(folder).keys()) == (4, {"u0", "u1", "u3"})
    away.rename(folder / "pictures/2.jpg")
    (folder / "pictures/3.jpg").write_bytes(picture(77, 50))
    assert run(folder).warnings == ()
    expected = [picture(0), picture(1), picture(2), picture(77, 50)]
    assert images(folder) == {f"u{i}": image for i, image in enumerate(expected)}


def test_an_image_that_vanishes_or_changes_after_the_look_stops_the_run(folder: Path) -> None:
    for change, told in (
        (Path.unlink, r"pictures/1\.jpg cannot be read any more"),
        (lambda file: file.write_bytes(picture(9, 90)), r"pictures/1\.jpg was changed while"),
    ):
        source = TableSource(PairsConfig(path=str(folder / "in.csv"), image="file"))
        table_id(Storage(str(folder)), source)
        change(folder / "pictures/1.jpg")
        with pytest.raises(RunError, match=told):
            list(source.read())
        (folder / "pictures/1.jpg").write_bytes(picture(1))


def test_pictures_that_the_pipeline_writes_beside_its_table_are_no_input(folder: Path) -> None:
    source = TableSource(PairsConfig(path=str(folder / "in.csv"), image="file"))
    source.leave_out([str(folder / "written")])
    (folder / "written").mkdir()
    (folder / "written/1.jpg").write_bytes(picture(1))
    names = [item.name for item, _ in input_digests(Storage(str(folder)), source)]
    assert names == ["in.csv", *(f"pictures/{i}.jpg" for i in range(4))]


def test_a_name_that_is_no_file_to_read_costs_its_row(folder: Path) -> None:
    (folder / "pictures/1.jpg").unlink()
    os.mkfifo(folder / "pictures/1.jpg")
    (folder / "pictures/2.jpg").unlink()
    (folder / "pictures/2.jpg").mkdir()
    result = run(folder)
    assert images(folder).keys() == {"u0", "u3"}
    assert any("1.jpg is a pipe, a socket or a device" in line for line in result.warnings)
    assert any("2.jpg cannot be read" in line for line in result.warnings)


def test_only_images_are_listed_and_of_a_store_only_a_folder_that_is_named(folder: Path) -> None:
    names = [item.name for item in ImageFiles(None, str(folder)).inputs()]
    assert names == [f"pictures/{i}.jpg" for i in range(4)]
    fsspec.filesystem("memory").pipe_file("/bucket/1.jpg", picture(1))
    assert list(ImageFiles(None, "memory://bucket").inputs()) == []
    named = ImageFiles("memory://bucket", str(folder)).inputs()
    assert [item.name for item in named] == ["1.jpg"]
