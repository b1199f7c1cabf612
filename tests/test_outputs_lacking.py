"""What many samples of a package lack is told at the run's end, with counts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.texts.amounts import counted
from tests.inputs import picture

ROWS = 10


def run(folder: Path, columns: dict[str, Any], output: dict[str, Any]) -> tuple[Any, list[str]]:
    """(the package's manifest, warnings) of an output over some rows."""
    own = {"uid": [f"{i:032x}" for i in range(ROWS)], "text": [f"thing {i}" for i in range(ROWS)]}
    pq.write_table(pa.table({**own, **columns}), folder / "rows.parquet")
    pipeline = {
        "name": "lacking",
        "workspace": str(folder / "workspace"),
        "source": {
            "type": "parquet" if "image" in columns else "pairs",
            "path": str(folder / "rows.parquet"),
        },
        "outputs": [{**output, "path": str(folder / "out")}],
    }
    (folder / "pipeline.yaml").write_text(json.dumps(pipeline))
    result = Pipeline.from_yaml(folder / "pipeline.yaml").run(
        local=True, processes=0, progress=False, write_report=False
    )
    told = "\n".join(line.plain for line in result.lines())
    (manifest,) = result.packages.values()
    assert all(f"  {counted(count, what)}" in told for what, count in manifest["told"].items())
    return manifest, list(result.warnings)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 4)], ids=str)
@pytest.mark.parametrize("vector", [None, [0.0] * 4], ids=["null", "zeros"])
def test_an_index_of_nothing_is_told(vector: Any, kind: pa.DataType, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    values = {"v": pa.array([vector] * ROWS, kind)}
    manifest, warnings = run(tmp_path, values, {"type": "index", "image": "v"})
    assert list(manifest["told"].values()) == [ROWS]
    assert len(warnings) == 1
    assert "10 of 10 samples are without " in warnings[0]
    assert " v" in warnings[0]
    unknown = vector is None and pa.types.is_list(kind)
    assert ("image" in manifest["index"]) is not unknown
    assert (tmp_path / "out/metadata/metadata_00000.parquet").exists()


def test_an_index_leaves_out_what_cannot_be_compared_and_says_why(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    odd = [None, [], [1.0, 2.0], [float("nan")] * 4, [1e200] * 4, [0.0] * 4]
    sound = np.random.default_rng(0).normal(size=(ROWS - len(odd), 4)).tolist()
    values = {"v": pa.array([*odd, *sound], pa.list_(pa.float64()))}
    output = {"type": "index", "image": "v", "shuffle": False, "samples_per_shard": 2}
    manifest, _ = run(tmp_path, values, output)
    assert manifest["told"] == {
        "without finite numbers in v: zeros stand in the index": 2,
        "without numbers but zeros in v: near to nothing": 1,
        "without v of 4 numbers: zeros stand in the index": 2,
        "without v: zeros stand in the index": 1,
    }
    files = sorted((tmp_path / "out/img_emb").glob("*.npy"))
    found = np.concatenate([np.load(file) for file in files])
    np.testing.assert_allclose(found[len(odd) :], sound, rtol=1e-6)
    assert not found[: len(odd)].any()
    assert manifest["index"]["image"]["rows"] == ROWS


@pytest.mark.parametrize("output", ["webdataset", "parquet", "messages", "interleaved", "index"])
@pytest.mark.parametrize("empty", [None, "", "  "])
def test_empty_captions_are_told(output: str, empty: str | None, tmp_path: Path) -> None:
    values = {
        "text": pa.array([empty] * ROWS, pa.string()),
        "image": [picture(i) for i in range(ROWS)],
    }
    keys: dict[str, Any] = {"type": output, "image": "image"}
    if output == "messages":
        keys["prompt"] = "What is there?"
    if output == "index":
        pytest.importorskip("faiss")
        values = {"text": values["text"], "v": pa.array([[1.0, 2.0]] * ROWS)}
        keys["image"] = "v"
    manifest, warnings = run(tmp_path, values, keys)
    if output == "interleaved" and empty == "  ":
        return  # white space is a text of a document
    what = (
        "any text: documents of pictures alone"
        if output == "interleaved"
        else "a caption: nothing that `caption` names holds a text"
    )
    assert manifest["told"][f"without {what}"] == ROWS
    assert warnings == [f"{tmp_path}/out: 10 of 10 samples are without {what}"]


def test_a_few_empty_captions_are_told_without_a_warning_and_one_that_was_asked_for_is_none(
    tmp_path: Path,
) -> None:
    texts = [None, *(f"thing {i}" for i in range(ROWS - 1))]
    values = {"text": pa.array(texts), "image": [picture(i) for i in range(ROWS)]}
    (tmp_path / "few").mkdir()
    manifest, warnings = run(tmp_path / "few", values, {"type": "webdataset"})
    assert list(manifest["told"].values()) == [1]
    assert warnings == []
    (tmp_path / "asked").mkdir()
    manifest, warnings = run(tmp_path / "asked", values, {"type": "webdataset", "caption": "''"})
    assert (manifest["told"], warnings) == ({}, [])


def test_empty_conversations_are_told(tmp_path: Path) -> None:
    talk = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    values = {
        "talk": pa.array([None, [], *[said] * (ROWS - 2)], talk),
        "image": [picture(i) for i in range(ROWS)],
    }
    manifest, warnings = run(tmp_path, values, {"type": "messages", "messages": "talk"})
    assert manifest["told"] == {"without a conversation: 'talk' is empty": 2}
    assert len(warnings) == 1
