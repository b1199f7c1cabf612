"""Packages at the edges: no picture, no row, odd names, the same bytes twice."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.packages.package import verify
from tests.everything import KINDS, packaged, picture

Write = Callable[[str], Path]


def run(
    write: Write, folder: Path, columns: dict[str, object], outputs: str, stages: str = ""
) -> None:
    pq.write_table(pa.table(columns), folder / "in.parquet")
    text = f"name: x\nsource: {{type: parquet, path: in.parquet}}\nstages: [{stages}]\noutputs: [{outputs}]\n"
    Pipeline.from_yaml(write(text)).run(local=True, progress=False)


def test_a_table_needs_no_picture(write: Write, tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text(
        "url\ttext\nhttp://a.test/1\tone\nhttp://a.test/2\ttwo words\n"
    )
    text = """
name: x
source: {type: pairs, path: in.tsv}
stages: [{stage: text_rules, keep: text_words > 1}]
outputs: [{type: table, path: out, columns: [url, text_words]}, {type: uids, path: subset}]
"""
    Pipeline.from_yaml(write(text)).run(local=True, progress=False)
    found = pq.read_table(tmp_path / "out/data").to_pylist()
    assert found == [{"url": "http://a.test/2", "text_words": 2}]
    assert len(np.load(tmp_path / "subset/uids.npy")) == 1


def test_a_package_of_no_rows_is_whole(write: Write, tmp_path: Path) -> None:
    outputs = ["webdataset", "parquet", "interleaved", "table", "uids", "messages"]
    listed = ", ".join(f"{{type: {kind}, path: {kind}}}" for kind in outputs)
    columns = {"image": [picture(1)], "text": ["a"]}
    run(write, tmp_path, columns, listed, "{stage: text_rules, keep: text_words > 9}")
    for kind in outputs:
        assert verify(str(tmp_path / kind)) == []
        assert json.loads((tmp_path / kind / "manifest.json").read_text())["samples"] == 0


def test_odd_names_of_columns(write: Write, tmp_path: Path) -> None:
    columns = {
        "image": [picture(1)], "text": ["a"], "my mask.v2": [picture(2, "PNG")], "Größe (px)": [7],
        "jpg": [b"\x00\x01"], "json": ["{}"], "a: b": ["x"], "- yes": [True],
    }  # fmt: skip
    run(write, tmp_path, columns, "{type: webdataset, path: wds}, {type: parquet, path: pairs}")
    with tarfile.open(tmp_path / "wds/00000.tar") as opened:
        names = [m.name.partition(".")[2] for m in opened]
        meta = json.loads(opened.extractfile(opened.getnames()[2]).read())  # type: ignore[union-attr]
    assert names == ["jpg", "txt", "json", "my_mask_v2.png", "jpg.bin"]
    assert {n: meta[n] for n in ("größe__px", "json", "a__b", "yes")} == {
        "größe__px": 7, "json": "{}", "a__b": "x", "yes": True,
    }  # fmt: skip
    import datasets

    for kind in ("wds", "pairs"):
        found = datasets.load_dataset(
            str(tmp_path / kind), split="train", cache_dir=str(tmp_path / "hf")
        )
        assert len(found) == 1


def test_a_name_too_long_for_a_tar_is_refused(write: Write, tmp_path: Path) -> None:
    columns = {"image": [picture(1)], "text": ["a"], "m" * 60: [b"1"]}
    with pytest.raises(PipelineFileError, match="too long for members of a tar"):
        run(write, tmp_path, columns, "{type: webdataset, path: wds}")


def test_rows_without_picture_are_texts_of_their_document(write: Write, tmp_path: Path) -> None:
    columns = {
        "image": [picture(1)] * 3, "text": ["first", "second", "third"], "doc_id": ["A"] * 3,
        "again": [picture(5), None, None],
    }  # fmt: skip
    outputs = "{type: interleaved, path: out, image: again, columns: [uid], shuffle: false}"
    run(write, tmp_path, columns, outputs)
    (row,) = pq.read_table(tmp_path / "out/data").to_pylist()
    assert row["texts"] == [None, "first", "second", "third"]
    assert [i is not None for i in row["images"]] == [True, False, False, False]
    assert len(json.loads(row["metadata"])) == 4


def test_a_caption_that_reads_no_column(write: Write, tmp_path: Path) -> None:
    columns = {"image": [picture(1), picture(2)], "text": ["a", "b"]}
    run(write, tmp_path, columns, "{type: parquet, path: out, caption: \"'a photo'\"}")
    assert pq.read_table(tmp_path / "out/data").column("caption").to_pylist() == ["a photo"] * 2


@pytest.mark.slow
def test_every_package_has_the_same_bytes_in_another_workspace(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    one, other = (packaged(tmp_path_factory.mktemp(name)) for name in ("one", "other"))
    for kind in (*KINDS, "uids"):
        found = [
            {
                str(p.relative_to(folder / kind)): p.read_bytes()
                for p in (folder / kind).rglob("*")
                if p.is_file()
            }
            for folder in (one, other)
        ]
        assert found[0] == found[1], kind
        assert verify(str(one / kind)) == []


def test_card_names_no_model_and_no_files_where_a_stage_was_given_none(
    write: Write, tmp_path: Path
) -> None:
    stages = "{stage: dedup, on: [text]}"
    run(write, tmp_path, {"image": [picture(1)], "text": ["a"]}, "{type: table, path: out}", stages)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["models"] == {}
    assert "dedup.against" not in (tmp_path / "out/README.md").read_text()
