"""Every kind of package that pairmill writes is a source as it lies: the same values and types."""

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.errors import PairmillError, PipelineFileError, StrangeName
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import NoInput
from pairmill.sources.catalogue import SOURCES, open_source
from tests.inputs import Given, given_by, mask, picture

FILE = """
name: packages
source: {type: parquet, path: in.parquet, columns: {doc_id: page}}
stages:
  - {stage: text_rules, on_missing: keep}
outputs:
  - {type: webdataset, path: webdataset, samples_per_shard: 5, shuffle: false, columns: COLUMNS}
  - {type: parquet, path: parquet, samples_per_shard: 5, shuffle: false, columns: COLUMNS}
  - {type: interleaved, path: interleaved, samples_per_shard: 2, shuffle: false, columns: COLUMNS}
  - {type: messages, path: messages, samples_per_shard: 5, shuffle: false, columns: COLUMNS}
  - {type: table, path: table, samples_per_shard: 5, shuffle: false, columns: COLUMNS}
"""
ROWS = 12
NOON = datetime.datetime(2026, 1, 2, 12, 0, 0, 123456)
COLUMNS: dict[str, pa.Array] = {
    "uid": pa.array([f"{i:032x}" for i in range(ROWS)]),
    "url": pa.array([f"http://a.test/{i}" if i % 4 else None for i in range(ROWS)]),
    "text": pa.array([f"text {i}, \"é\"" if i % 3 else None for i in range(ROWS)]),
    "small": pa.array(range(ROWS), pa.int16()),
    "big": pa.array([2**64 - 1 - i for i in range(ROWS)], pa.uint64()),
    "single": pa.array([i / 7 for i in range(ROWS)], pa.float32()),
    "double": pa.array([i / 7 if i else None for i in range(ROWS)], pa.float64()),
    "tags": pa.array([["a", "b"][: i % 3] for i in range(ROWS)], pa.list_(pa.string())),
    "boxes": pa.array([[[i, 0.5]] for i in range(ROWS)], pa.list_(pa.list_(pa.float32()))),
    "made": pa.array([NOON] * ROWS, pa.timestamp("us")),
    "took": pa.array([datetime.timedelta(seconds=i, microseconds=5) for i in range(ROWS)]),
    "price": pa.array([Decimal("1.10")] * ROWS, pa.decimal128(9, 2)),
    "nested": pa.array([{"a": i, "b": [True]} for i in range(ROWS)]),
    "flag": pa.array([i % 2 == 0 for i in range(ROWS)]),
    "mask": pa.array([mask(20 + i) if i % 2 else None for i in range(ROWS)], pa.binary()),
    "frames": pa.array([[mask(i), mask(9)] for i in range(1, ROWS + 1)], pa.list_(pa.binary())),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    pages = pa.array([f"page {i // 5}" for i in range(ROWS)])
    images = pa.array([picture(i, 30 + i) for i in range(ROWS)])
    table = pa.table({**COLUMNS, "page": pages, "image": images})
    pq.write_table(table, folder / "in.parquet")
    names = ["uid", "doc_id", "position", *(n for n in COLUMNS if n != "uid"), "text_words"]
    file = folder / "p.yaml"
    file.write_text(FILE.replace("COLUMNS", f"[{', '.join(names)}]"))
    Pipeline.from_yaml(file).run(local=True, progress=False)
    return folder


def read(kind: str, path: Path) -> Given:
    config: SourceConfig = SOURCES[kind].model_validate({"type": kind, "path": str(path)})
    return given_by(open_source(config))


def comparable(dtype: pa.DataType) -> str:
    return str(dtype).replace("large_", "").replace("element", "item")


@pytest.mark.parametrize(
    ("package", "kind"),
    [
        ("webdataset", "package"), ("webdataset", "webdataset"), ("parquet", "package"),
        ("parquet", "parquet"), ("interleaved", "package"), ("messages", "package"),
        ("table", "package"),
    ],
)  # fmt: skip
def test_a_package_comes_back_with_its_values_and_types(
    folder: Path, package: str, kind: str
) -> None:
    config = SOURCES[kind].model_validate({"type": kind, "path": str(folder / package)})
    schema = open_source(config).schema()
    rows, bad, _ = read(kind, folder / package)
    assert bad == []
    assert rows.height == ROWS
    order = rows.sort("uid")
    for name, values in COLUMNS.items():
        assert order[name].to_list() == pl.Series(values).to_list(), name
        assert comparable(schema.field(name).type) == comparable(values.type), name
    assert order["doc_id"].to_list() == [f"page {i // 5}" for i in range(ROWS)]
    assert order["position"].to_list() == [i % 5 for i in range(ROWS)]
    assert comparable(schema.field("text_words").type) == "int32"
    if package != "table":
        assert order["image"].to_list() == [picture(i, 30 + i) for i in range(ROWS)]
        assert order["width"].to_list() == [30 + i for i in range(ROWS)]
    assert not {"caption", "key", "status", "declared_key"} & set(rows.columns)


def test_a_package_can_be_packed_again_from_where_it_lies(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        f"name: again\nsource: {{type: package, path: {folder}/webdataset}}\n"
        "outputs: [{type: webdataset, path: out, samples_per_shard: 5, shuffle: false}]\n"
    )
    Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, progress=False)
    for name in ("00000.tar", "00001.tar", "00002.tar"):
        assert (tmp_path / "out" / name).exists()
    again, _, _ = read("package", tmp_path / "out")
    first, _, _ = read("package", folder / "webdataset")
    same = [n for n in COLUMNS if n in again.columns]
    assert {"uid", "text", "big", "tags"} <= set(same)
    assert again.select(same).rows() == first.select(same).rows()


def damaged(folder: Path, to: Path, change: Any) -> Path:
    import shutil

    shutil.copytree(folder, to)
    manifest = json.loads((to / "manifest.json").read_text())
    change(manifest)
    (to / "manifest.json").write_text(json.dumps(manifest))
    return to


def test_names_that_lead_out_of_a_package_are_not_followed(folder: Path, tmp_path: Path) -> None:
    def outside(manifest: Any) -> None:
        for file in manifest["files"]:
            file["name"] = f"../package/{file['name']}"

    with pytest.raises(StrangeName, match=r"no file below its folder"):
        read("package", damaged(folder / "parquet", tmp_path / "package", outside))


@pytest.mark.parametrize("files", [None, 5, [None], ["x"], [{"name": 7}], [{}]])
def test_a_manifest_of_any_shape_is_no_crash(folder: Path, tmp_path: Path, files: Any) -> None:
    def other(manifest: Any) -> None:
        manifest["files"] = files

    with pytest.raises(PairmillError):
        read("package", damaged(folder / "parquet", tmp_path / "package", other))


def test_what_is_missing_from_a_package_is_told(folder: Path, tmp_path: Path) -> None:
    package = damaged(folder / "webdataset", tmp_path / "package", lambda manifest: None)
    data = (package / "00001.tar").read_bytes()
    (package / "00001.tar").write_bytes(data[: len(data) // 2])
    rows, bad, _ = read("package", package)
    assert 7 < rows.height < ROWS
    gone = [b for b in bad if b.reason == "00001.tar has no such sample"]
    (cut,) = [b for b in bad if b.reason == "the tar is cut here"]
    assert cut.location.startswith("00001.tar sample ")
    assert rows.height + len(gone) + 1 == ROWS
    (package / "00001.tar").unlink()
    with pytest.raises(NoInput, match=r"00001\.tar is missing"):
        read("package", package)


def test_a_folder_that_is_no_package_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="is no package of pairmill"):
        read("package", tmp_path)


def test_faults_of_a_pipeline_over_a_package_stand_in_its_file(
    folder: Path, tmp_path: Path
) -> None:
    """A folder that is none, and a stage whose columns the package has already."""
    (tmp_path / "a.yaml").write_text(f"name: a\nsource: {{type: package, path: {tmp_path}}}\n")
    with pytest.raises(PipelineFileError, match=r"a\.yaml:2.*is no package of pairmill"):
        Pipeline.from_yaml(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text(
        f"name: b\nsource: {{type: package, path: {folder}/parquet}}\n"
        "stages: [{stage: text_rules}]\noutputs: [{type: parquet, path: out}]\n"
    )
    with pytest.raises(PipelineFileError, match="'text_words', which the source writes too"):
        Pipeline.from_yaml(tmp_path / "b.yaml")
