"""A column of any type leaves through every output, with its values."""

import json
import tarfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError, RunError
from pairmill.outputs.values import json_column
from tests.everything import ROWS, packaged, picture, table

Write = Callable[[str], Path]
TRUTH = {row["url"]: row for row in table().to_pylist()}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged(tmp_path_factory.mktemp("everything"))


def samples(folder: Path) -> list[dict[str, bytes]]:
    """The tars' samples: what stands behind the key → content."""
    found: dict[str, dict[str, bytes]] = {}
    for tar in sorted(folder.glob("*.tar")):
        with tarfile.open(tar) as opened:
            for member in opened:
                key, _, kind = member.name.partition(".")
                found.setdefault(key, {})[kind] = opened.extractfile(member).read()  # type: ignore[union-attr]
    return list(found.values())


def test_json_of_a_tar_holds_every_value_in_full(packages: Path) -> None:
    found = samples(packages / "wds")
    assert len(found) == ROWS
    for sample in found:
        meta = json.loads(sample["json"])
        row = TRUTH[meta["url"]]
        for name in ("flag", "big", "unsigned", "d", "tags", "boxes", "info", "kind"):
            assert meta[name] == row[name], name
        assert (
            meta["f"] is None
            if np.isnan(row["f"])
            else np.float32(meta["f"]) == np.float32(row["f"])
        )
        assert Decimal(meta["dec"]) == row["dec"]
        assert meta["day"] == row["day"].isoformat()
        assert meta["ts"] == row["ts"].isoformat()
        assert meta["nano"] == row["nano"].isoformat()
        assert meta["clock"] == row["clock"].isoformat()
        micro = row["dur"].microseconds
        assert meta["dur"] == f"PT93784.{micro:06d}".rstrip("0") + "S"
        assert meta["counts"] == [{"key": "k", "value": row["counts"][0][1]}]


def test_shortest_decimals_of_single_precision(packages: Path) -> None:
    text = b"".join(sample["json"] for sample in samples(packages / "wds")).decode()
    assert '"f":0.1,' in text
    assert "0.10000000149" not in text


def test_a_column_of_single_precision_has_the_decimals_of_each_value() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    values = np.concatenate([bits.view(np.float32), np.float32([0.1, -0.0, 1e-45, 3e38])])
    wanted = [float(str(v)) if np.isfinite(v) else None for v in values]
    column = pa.chunked_array([pa.array(values), pa.array([None], pa.float32())])
    assert list(map(repr, json_column(column))) == list(map(repr, [*wanted, None]))


def test_bytes_become_members_and_json_says_where_lists_and_structs_went(packages: Path) -> None:
    for sample in samples(packages / "wds"):
        meta = json.loads(sample["json"])
        row = TRUTH[meta["url"]]
        assert sample.get("mask.png") == row["mask"]
        assert sample["audio.wav"] == row["audio"]
        assert sample["scan.png"] == row["scan"]["bytes"]
        names = [f"frames.{i}.jpg" for i in range(len(row["frames"]))]
        assert [sample[n] for n in names] == row["frames"]
        assert meta["members"] == {
            "frames": names,
            "scan": {"bytes": "scan.png", "path": row["scan"]["path"]},
        }


def test_every_sample_has_a_text_empty_where_the_caption_is_null_or_empty(packages: Path) -> None:
    for sample in samples(packages / "wds"):
        row = TRUTH[json.loads(sample["json"])["url"]]
        assert sample["txt"].decode() == (row["text"] or "")
        assert json.loads(sample["json"])["caption"] == (row["text"] or None)


@pytest.mark.parametrize("kind", ["pairs", "talks", "table"])
def test_parquet_columns_keep_their_types_and_values(packages: Path, kind: str) -> None:
    found = pa.concat_tables(
        [pq.read_table(p) for p in sorted((packages / kind / "data").iterdir())]
    )
    assert found.num_rows == ROWS
    whole = table().schema
    same = [
        "flag",
        "big",
        "unsigned",
        "d",
        "dec",
        "day",
        "ts",
        "nano",
        "dur",
        "clock",
        "tags",
        "info",
    ]
    for name in same + (["mask", "frames", "scan"] if kind != "table" else []):
        assert found.schema.field(name).type == whole.field(name).type, name
    for row in found.to_pylist():
        truth = TRUTH[row["url"]]
        assert {n: row[n] for n in same} == {n: truth[n] for n in same}
        assert row["kind"] == truth["kind"]
        assert row["counts"] == [{"key": k, "value": v} for k, v in truth["counts"]]
        if kind != "table":
            assert (row["mask"], row["frames"], row["scan"]) == (
                truth["mask"],
                truth["frames"],
                truth["scan"],
            )


def test_interleaved_lists_of_other_bytes_are_parallel_to_the_items(packages: Path) -> None:
    for file in (packages / "documents/data").iterdir():
        for row in pq.read_table(file).to_pylist():
            at = next(i for i, image in enumerate(row["images"]) if image is not None)
            meta = json.loads(row["metadata"])[at]
            truth = TRUTH[meta["url"]]
            assert row["images"][at] == truth["image"]
            assert len(row["mask"]) == len(row["texts"])
            assert (row["mask"][at], row["frames"][at]) == (truth["mask"], truth["frames"])
            assert meta["big"] == truth["big"]
            assert meta["dec"] == str(truth["dec"])


def test_csv_and_json_lines_hold_the_same_values(packages: Path) -> None:
    lines = [
        json.loads(x)
        for p in sorted((packages / "jsonl/data").iterdir())
        for x in p.read_text().splitlines()
    ]
    cells = pl.concat(
        [pl.read_csv(p, infer_schema=False) for p in sorted((packages / "csv/data").iterdir())]
    )
    assert len(lines) == cells.height == ROWS
    for line, cell in zip(lines, cells.to_dicts(), strict=True):
        truth = TRUTH[line["url"]]
        assert line["big"] == int(cell["big"]) == truth["big"]
        assert int(line["unsigned"]) == int(cell["unsigned"]) == truth["unsigned"]
        assert line["d"] == float(cell["d"]) == truth["d"]
        assert line["dec"] == cell["dec"] == str(truth["dec"])
        assert line["ts"] == cell["ts"] == truth["ts"].isoformat()
        assert line["boxes"] == json.loads(cell["boxes"]) == truth["boxes"]
        assert line["text"] == truth["text"]
        assert cell["text"] == truth["text"]


def test_uids_are_sorted_halves_as_datacomp_reads_them(packages: Path) -> None:
    found = np.load(packages / "uids/uids.npy")
    assert found.dtype == np.dtype("u8,u8")
    assert found.tolist() == sorted(found.tolist())
    kept = pq.read_table(packages / "table/data", columns=["uid"]).column("uid").to_pylist()
    assert sorted(kept) == [f"{int(a):016x}{int(b):016x}" for a, b in found]


def test_card_names_what_was_left_out_and_what_was_altered(packages: Path) -> None:
    card = (packages / "wds/README.md").read_text()
    assert "Not in this package: vector." in card
    assert "1 number of 'f' is NaN or infinite: null in JSON" in card
    named = (packages / "table/README.md").read_text()
    assert "Not in this package: mask, audio, frames, scan, vector, image." in named


REFUSED = {
    "{type: table, format: csv, path: x, columns: [uid, mask]}": "cannot hold the column 'mask' (large_binary): csv has no bytes",
    "{type: messages, layout: jsonl, path: x, columns: [frames]}": "cannot hold the column 'frames'",
    "{type: messages, path: x, messages: tags}": "'tags' is list<",
    "{type: parquet, path: x, image: scan}": "not encoded images",
    "{type: uids, path: x, columns: [uid]}": "uids alone",
}  # fmt: skip


@pytest.mark.parametrize(("output", "message"), REFUSED.items())
def test_what_an_output_cannot_hold_is_refused_by_name(
    write: Write, tmp_path: Path, output: str, message: str
) -> None:
    pq.write_table(table(), tmp_path / "everything.parquet")
    file = write(
        f"name: x\nsource: {{type: parquet, path: everything.parquet}}\noutputs: [{output}]\n"
    )
    with pytest.raises(PipelineFileError, match=message.replace("(", r"\(").replace(")", r"\)")):
        Pipeline.from_yaml(file).plan()


def run(write: Write, folder: Path, columns: dict[str, Any], output: str, stages: str = "") -> Path:
    pq.write_table(pa.table(columns), folder / "in.parquet")
    text = f"name: x\nsource: {{type: parquet, path: in.parquet}}\n{stages}outputs: [{output}]\n"
    Pipeline.from_yaml(write(text)).run(local=True, progress=False)
    return folder / "out"


def test_perceptual_hashes_leave_as_hex(write: Write, tmp_path: Path) -> None:
    columns = {"image": [picture(9)], "text": ["a"]}
    out = run(
        write, tmp_path, columns, "{type: table, path: out}", "stages: [{stage: image_hash}]\n"
    )
    found = pq.read_table(out / "data").column("image_hash")
    assert found.type == pa.string()
    assert len(bytes.fromhex(found[0].as_py())) == 8


def test_a_uid_that_is_no_hash_is_told_by_the_uids_output(write: Write, tmp_path: Path) -> None:
    columns = {"image": [picture(9)], "text": ["a"], "uid": ["row 1"]}
    with pytest.raises(RunError, match="'row 1' is not 32 hex digits"):
        run(write, tmp_path, columns, "{type: uids, path: out}")


def test_conversations_of_a_column_come_in_each_trainer_s_form(
    write: Write, tmp_path: Path
) -> None:
    turns = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A square."},
        {"from": "human", "value": "Which colour?"},
        {"from": "gpt", "value": "Blue."},
    ]
    columns = {"image": [picture(9)], "text": ["a"], "turns": [turns]}
    common = [
        ("user", "What is it?"),
        ("assistant", "A square."),
        ("user", "Which colour?"),
        ("assistant", "Blue."),
    ]
    found = {}
    for layout in ("parquet", "jsonl", "llava"):
        output = f"{{type: messages, layout: {layout}, path: {layout}, messages: turns}}"
        run(write, tmp_path, columns, output)
    rows = pq.read_table(tmp_path / "parquet/data").to_pylist()
    found = [(m["role"], m["content"]) for m in rows[0]["messages"]]
    assert found == common
    assert rows[0]["images"][0]["bytes"] == columns["image"][0]
    (line,) = [json.loads(x) for x in (tmp_path / "jsonl/00000.jsonl").read_text().splitlines()]
    assert line["messages"][0] == {"role": "user", "content": "<image>What is it?"}
    assert sum(m["content"].count("<image>") for m in line["messages"]) == len(line["images"]) == 1
    assert (tmp_path / "jsonl" / line["images"][0]).read_bytes() == columns["image"][0]
    (talk,) = json.loads((tmp_path / "llava/00000.json").read_text())
    assert talk["conversations"] == turns
    assert (tmp_path / "llava/images" / talk["image"]).read_bytes() == columns["image"][0]


def test_a_caption_answers_the_prompt_where_there_is_no_conversation(packages: Path) -> None:
    (row, *_) = pq.read_table(packages / "talks/data").to_pylist()
    assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
    assert row["messages"][0]["content"] == "Describe the image."
    assert row["messages"][1]["content"] == (row["text"] or "")


def test_pictures_of_a_package_are_the_very_bytes_of_the_input(packages: Path) -> None:
    for row in pq.read_table(packages / "pairs/data").to_pylist():
        assert row["image"]["bytes"] == TRUTH[row["url"]]["image"]
        assert row["image"]["path"].endswith(".jpg")


@pytest.mark.parametrize(
    ("values", "dtype", "texts"),
    [
        ([10**7, -(10**7), None], pa.date32(), ["29349-01-26", "-25410-12-06", None]),
        ([254_402_300_799], pa.timestamp("s"), ["10031-09-09T01:46:39"]),
        ([2**60], pa.duration("s"), ["PT1152921504606846976S"]),
    ],
)
def test_dates_that_python_does_not_know_leave_as_text(
    values: list[int | None], dtype: pa.DataType, texts: list[str | None]
) -> None:
    ints = pa.int32() if dtype == pa.date32() else pa.int64()
    assert json_column(pa.chunked_array([pa.array(values, ints).cast(dtype)])) == texts
