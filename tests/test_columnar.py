"""What a look at rows' fates reads, and what is committed of an answer for all rows."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pairmill import Pipeline
from pairmill.errors import CorruptWorkspace
from pairmill.fates.ledger import coded
from pairmill.schemas.arrow import LEDGER
from pairmill.workspace.shards import read_rows, store_shard, stored_file, without_nulls
from pairmill.workspace.storage import Storage

ROWS = 300


def pipeline(folder: Path, stage: str, texts: list[str | None]) -> Pipeline:
    """Pairs with these texts through one stage."""
    urls = [f"http://pictures.test/{i}.jpg" for i in range(len(texts))]
    table = pa.table({"url": urls, "text": pa.array(texts, pa.string())})
    pq.write_table(table, folder / "pairs.parquet")
    source = "{type: pairs, path: pairs.parquet, rows_per_shard: 64}"
    (folder / "p.yaml").write_text(
        f"name: p\nworkspace: w\nsource: {source}\nstages:\n  - {stage}\noutputs: []\n"
    )
    return Pipeline.from_yaml(folder / "p.yaml")


def damage(file: Path, column: str) -> None:
    """Flips a bit of a column's values."""
    meta = pq.read_metadata(file).row_group(0)
    chunk = next(
        c for i in range(meta.num_columns) if (c := meta.column(i)).path_in_schema == column
    )
    data = bytearray(file.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    file.write_bytes(data)


def test_fates_of_stored_rows_are_told_without_a_look_at_texts_that_nobody_compares(
    tmp_path: Path,
) -> None:
    texts = [f"caption number {i}" for i in range(ROWS)]
    job = pipeline(tmp_path, "{stage: text_rules, keep: text_words > 2}", texts)
    first = job.run(local=True, progress=False, processes=0, write_report=False)
    shards = sorted((tmp_path / "w/shards").glob("*.parquet"))
    for file in shards:
        damage(file, "text")
    with pytest.raises(CorruptWorkspace):
        read_rows(Storage(str(tmp_path / "w")), f"shards/{shards[0].name}", ["text"])
    again = job.run(local=True, progress=False, processes=0, write_report=False)
    assert again.funnel.to_json() == first.funnel.to_json()
    assert again.funnel.kept == ROWS


def test_rows_without_a_text_are_told_apart_where_only_some_shards_have_any(tmp_path: Path) -> None:
    texts = [None if i in (70, 200) else f"caption number {i}" for i in range(ROWS)]
    job = pipeline(tmp_path, "{stage: text_rules, keep: text_words > 2}", texts)
    found = job.run(local=True, progress=False, processes=0, write_report=False)
    ledger = pq.read_table(next((tmp_path / "w/runs").glob("*/ledger")))
    missing = ledger.filter(pc.equal(ledger["fate"], "missing"))
    assert missing["reason"].to_pylist() == ["text", "text"]
    assert found.funnel.kept == ROWS - 2


def test_a_number_that_is_none_is_missing_though_no_value_is_null(tmp_path: Path) -> None:
    score = pa.array([float("nan") if i in (3, 80) else i / ROWS for i in range(ROWS)])
    table = pa.table({"url": [f"http://p.test/{i}.jpg" for i in range(ROWS)], "score": score})
    pq.write_table(table, tmp_path / "pairs.parquet")
    (tmp_path / "p.yaml").write_text(
        "name: p\nworkspace: w\nsource: {type: pairs, path: pairs.parquet}\n"
        "stages: [{stage: select, by: score, fraction: 0.5}]\noutputs: []\n"
    )
    job = Pipeline.from_yaml(tmp_path / "p.yaml")
    found = job.run(local=True, progress=False, processes=0, write_report=False)
    assert [(s.stage, s.missing) for s in found.funnel.steps][1:] == [("select", 2)]


@pytest.mark.parametrize("values", [[1, None, 3], [1, 2, 3], []])
def test_presence_is_read_off_the_footer_where_it_says_so(
    tmp_path: Path, values: list[int | None]
) -> None:
    storage = Storage(str(tmp_path))
    table = pa.table({"uid": [str(v) for v in values], "x": pa.array(values, pa.int64())})
    storage.write_table("shards/a.b.parquet", table)
    found = read_rows(storage, "shards/a.b.parquet", ["uid", "x"], present={"x"})
    assert found["uid"].to_pylist() == table["uid"].to_pylist()
    assert found["x"].is_valid().to_pylist() == [v is not None for v in values]


def test_presence_of_texts_is_told_by_a_shards_file_without_reading_them(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    columns = {"uid": ["a", "b"], "url": ["http://p.test/1", None], "text": ["one", "other"]}
    facts = store_shard(storage, pa.table(columns))
    name = stored_file(facts.name, facts.content)
    assert without_nulls(storage.footer(name), ["url", "text", "uid"]) == {"text", "uid"}
    found = read_rows(storage, name, ["url", "text"], present={"url", "text"})
    assert found["url"].to_pylist() == columns["url"]
    assert found["text"].to_pylist() == [True, True]


def test_duplicates_of_all_shards_are_committed_row_by_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [f"caption number {i}" for i in rng.integers(0, 120, ROWS)]
    job = pipeline(tmp_path, '{stage: dedup, "on": [text], keep: dup_of IS NULL}', texts)
    found = job.run(local=True, progress=False, processes=0, write_report=False)
    rows = found.table(["text", "dup_of", "cluster_id", "cluster_size"])
    heads = dict(rows.select("uid", "text").iter_rows())
    assert found.funnel.kept == len(set(texts))
    for row in rows.iter_rows(named=True):
        assert heads[row["cluster_id"]] == row["text"]
        assert row["cluster_size"] == texts.count(row["text"])
        alone = row["uid"] == row["cluster_id"]
        assert row["dup_of"] == (None if alone else row["cluster_id"])


def test_a_worker_process_loads_no_parser_of_expressions() -> None:
    check = "import pairmill.work.crew_member, sys; print('sqlglot' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_a_small_table_of_light_stages_is_done_before_ray_would_have_started(
    tmp_path: Path,
) -> None:
    texts = [f"caption number {i}" for i in range(ROWS)]
    pipeline(tmp_path, "{stage: text_rules, keep: text_words > 2}", texts)
    check = (
        "import sys; from pairmill import Pipeline; run = Pipeline.from_yaml('p.yaml').run; "
        "found = run(ray=True, progress=False, write_report=False); "
        "print(found.funnel.kept, 'ray' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert told.stdout.strip() == f"{ROWS} False"


def test_dictionaries_are_read_as_the_texts_they_stand_for(tmp_path: Path) -> None:
    at = np.array([0, 2, 1, 0], np.int8)
    texts = ["dropped", None, "a > 1", "dropped"]
    columns = {"shard": [0] * 4, "row": range(4), "uid": ["a", "bb", "", "c"]}
    lines = pa.table(
        {
            **{n: pa.array(v, LEDGER.field(n).type) for n, v in columns.items()},
            **dict.fromkeys(LEDGER.names[3:], coded(["dropped", "a > 1", None], at)),
        }
    )
    storage = Storage(str(tmp_path))
    storage.write_table("x.parquet", lines, distinct=("row", "uid"), seen_as=LEDGER)
    found = storage.read_table("x.parquet")
    assert found.schema.equals(LEDGER, check_metadata=True)
    rest = dict.fromkeys(LEDGER.names[3:], texts)
    assert found.to_pydict() == columns | {"row": [0, 1, 2, 3]} | rest
    assert pl.read_parquet(tmp_path / "x.parquet").to_dict(as_series=False) == found.to_pydict()
    of = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0)
    said = {of.column(i).path_in_schema: of.column(i).encodings for i in range(of.num_columns)}
    assert "DELTA_LENGTH_BYTE_ARRAY" in said["uid"]
    assert "DELTA_BINARY_PACKED" in said["row"]
    assert "RLE_DICTIONARY" in said["fate"]


def test_texts_that_no_row_has_leave_no_trace_in_a_dictionary() -> None:
    at = np.array([0, 3, 0], np.int32)
    told = coded(["dropped", "once asked", None, "a > 1"], at)
    assert told.dictionary.to_pylist() == ["dropped", "a > 1"]
    assert told.to_pylist() == ["dropped", "a > 1", "dropped"]
