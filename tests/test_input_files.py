"""Which files a path, folder, glob or list gives, and what their columns become over all of them."""

import bz2
import lzma
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill import Pipeline
from pairmill.sources.base import NoInput, Remark, Unreadable
from pairmill.sources.rows import for_arrow
from pairmill.sources.tables import PairsConfig, TableSource


def read(
    path: Path | list[str], whole_bytes: int = 2**20, **options: Any
) -> tuple[pl.DataFrame, list[Unreadable], list[Remark]]:
    where = [str(p) for p in path] if isinstance(path, list) else str(path)
    source = TableSource(PairsConfig(path=where, **options))
    source.whole_bytes = whole_bytes
    parts = [source.schema().empty_table().append_column("source", pa.array([], pa.string()))]
    bad, remarks = [], source.remarks()
    for part in source.read():
        if isinstance(part, pa.Table):
            parts.append(part)
        elif isinstance(part, Unreadable):
            bad.append(part)
        else:
            remarks.append(part)
    frame = pl.from_arrow(pa.concat_tables(parts))
    assert isinstance(frame, pl.DataFrame)
    return frame, bad, remarks


def fault(path: Path | list[str], **options: Any) -> str:
    """What `validate` says of the source."""
    with pytest.raises(NoInput) as error:
        read(path, **options)
    return str(error.value)


def table(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_folder_is_read_once_whole_without_hidden_and_side_files(tmp_path: Path) -> None:
    for name in ("a/part", "b/part", "b/c/part", "_tmp/part", ".cache/part", "b/_part", "d"):
        table(tmp_path / f"{name}.parquet", url=[name], text=["t"])
    for name in ("README.md", "b/manifest.json", "00_stats.json", "e.npz", "f.tar", "_SUCCESS"):
        (tmp_path / name).write_text("{}")
    frame, bad, remarks = read(tmp_path)
    assert frame["url"].to_list() == ["a/part", "b/c/part", "b/part", "d"]
    assert frame["source"].to_list()[1] == "b/c/part.parquet"
    assert bad == []
    told = {r.location: r.what for r in remarks if r.kind == "skipped files"}
    assert told["README.md"] == told["b/manifest.json"] == told["e.npz"] == "side file"
    assert told["f.tar"] == "another format"
    assert told["b/_part.parquet"] == "hidden: _part.parquet"
    assert len(told) == 9


def test_file_matched_twice_is_read_once_and_a_list_names_files(tmp_path: Path) -> None:
    table(tmp_path / "x/a.parquet", url=["a"], text=["t"])
    table(tmp_path / "y/a.parquet", url=["b"], text=["t"])
    (tmp_path / "link.parquet").symlink_to(tmp_path / "x/a.parquet")
    (tmp_path / "files.txt").write_text(f"# mine\nx/a.parquet\n\n{tmp_path}/y/*.parquet\n")
    frame, _, _ = read([tmp_path / "files.txt", tmp_path / "x", tmp_path / "link.parquet"])
    assert frame["url"].to_list() == ["a", "b"]
    assert frame["source"].to_list() == ["x/a.parquet", "y/a.parquet"]
    (tmp_path / "urls.txt").write_text("http://a.test/1.jpg\nhttp://a.test/2.jpg\n")
    assert "is read as a list of input files" in fault(tmp_path / "urls.txt")
    frame, _, _ = read(tmp_path / "urls.txt", format="csv", names=["url"])
    assert frame["url"].to_list() == ["http://a.test/1.jpg", "http://a.test/2.jpg"]


def test_partitions_of_a_path_become_columns(tmp_path: Path) -> None:
    for lang, year in (("en", 2020), ("de%20x", 2021), ("__HIVE_DEFAULT_PARTITION__", 2022)):
        table(tmp_path / f"lang={lang}/year={year}/p.parquet", url=["u"], text=["t"])
    frame, _, _ = read(tmp_path)
    assert sorted(frame.select("lang", "year").rows(), key=str) == [
        ("de x", 2021), ("en", 2020), (None, 2022)
    ]  # fmt: skip


def test_columns_are_matched_in_every_file_and_united(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", url=["1"], text=["a"], extra=[1])
    table(tmp_path / "b.parquet", TEXT=["b"], URL=["2"], Score=[0.5])
    (tmp_path / "c.csv").write_text("score,alt,image_url\n7,c,3\n")
    (tmp_path / "d.jsonl").write_text('{"picture": "4", "caption": "d", "extra": 2.5}\n')
    frame, _, remarks = read(tmp_path, columns={"url": "picture"})
    assert frame.sort("url").select("url", "text", "extra", "score").rows() == [
        ("1", "a", 1.0, None), ("2", "b", None, 0.5), ("3", "c", None, 7.0), ("4", "d", 2.5, None)
    ]  # fmt: skip
    assert {r.location for r in remarks} == {"a.parquet", "b.parquet", "c.csv"}
    assert "no input" not in fault(tmp_path, columns={"url": "nowhere"})
    assert "has no column 'nowhere' for 'url' (columns: url, text" in fault(
        tmp_path, columns={"url": "nowhere"}
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (pa.array([1], pa.int32()), pa.array([2**40], pa.int64()), pa.int64()),
        (pa.array([1], pa.int64()), pa.array([0.5], pa.float64()), pa.float64()),
        (pa.array([1], pa.uint32()), pa.array([-1], pa.int8()), pa.int64()),
        (pa.array(["a"]), pa.array(["b"], pa.large_string()), pa.string()),
        (pa.array(["a"]).dictionary_encode(), pa.array(["b"]), pa.string()),
        (pa.array([None], pa.null()), pa.array([1.5]), pa.float64()),
        (pa.array([[1]]), pa.array([[0.5]]), pa.list_(pa.float64())),
        (
            pa.array([{"a": 1}]),
            pa.array([{"b": "x"}]),
            pa.struct([("a", pa.int64()), ("b", pa.string())]),
        ),
        (
            pa.array([1], pa.timestamp("s")),
            pa.array([1], pa.timestamp("ms")),
            pa.timestamp("ms"),
        ),
    ],
)
def test_types_widen_over_files_where_nothing_is_lost(
    tmp_path: Path, first: pa.Array, second: pa.Array, expected: pa.DataType
) -> None:
    table(tmp_path / "a.parquet", url=["1"], x=first)
    table(tmp_path / "b.parquet", url=["2"], x=second)
    source = TableSource(PairsConfig(path=str(tmp_path)))
    assert source.schema().field("x").type == expected
    rows = [r for part in source.read() if isinstance(part, pa.Table) for r in part.to_pylist()]
    for row, values in zip(rows, (first, second), strict=True):
        value = values[0].as_py()
        got = (
            {k: v for k, v in row["x"].items() if v is not None}
            if isinstance(value, dict)
            else row["x"]
        )
        assert got == value


def test_types_that_have_none_in_common_are_one_error_with_both_files(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", url=["1"], x=[1])
    table(tmp_path / "b.parquet", url=["2"], x=["one"])
    said = fault(tmp_path)
    assert all(word in said for word in ("'x'", "int64 in a.parquet", "string in b.parquet"))
    frame, _, _ = read(tmp_path, types={"x": "text"})
    assert frame["x"].to_list() == ["1", "one"]


def test_address_text_and_uid_stand_as_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,url,text,n\n0012,1e5,NA,1\n0013,007,null,2\n0014,x,,3\n")
    (tmp_path / "b.jsonl").write_text('{"id": 1e5, "url": 1.50, "text": 2000}\n')
    frame, _, _ = read(tmp_path)
    assert frame.select("uid", "url", "text").rows() == [
        ("0012", "1e5", "NA"), ("0013", "007", "null"), ("0014", "x", None), ("1e5", "1.50", "2000")
    ]  # fmt: skip


def test_text_formats_keep_what_no_number_holds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "url,zip,big,huge,mixed,precise\n"
        "a,01234,9223372036854775808,18446744073709551616,1,3.14159265358979323846\n"
        "b,99999,1,2,0.5,1\n"
    )
    frame, _, _ = read(tmp_path)
    assert frame["zip"].to_list() == ["01234", "99999"]
    assert frame["big"].to_list() == [2**63, 1]
    assert frame["huge"].to_list() == ["18446744073709551616", "2"]
    assert frame["mixed"].to_list() == [1.0, 0.5]
    assert frame["precise"].to_list() == ["3.14159265358979323846", "1"]


def test_value_that_a_look_did_not_see_costs_its_row_alone(tmp_path: Path) -> None:
    rows = [f"http://a.test/{i},caption {i},{i}" for i in range(60_000)]
    rows[41_000] = "http://a.test/41000,caption,0041"
    (tmp_path / "a.csv").write_text("\n".join(["url,text,photo", *rows]) + "\n")
    frame, bad, _ = read(tmp_path / "a.csv", whole_bytes=0)
    assert frame.height == 59_999
    assert [(b.location, b.column) for b in bad] == [("a.csv line 41002", "photo")]
    assert "'0041' is no int64" in bad[0].reason
    frame, bad, _ = read(tmp_path / "a.csv", whole_bytes=0, types={"photo": "text"})
    assert (frame["photo"][41_000], len(bad)) == ("0041", 0)


def test_packed_files_that_break_off_give_what_stands_before(tmp_path: Path) -> None:
    text = b"url,text\n" + b"".join(b"http://a.test/%d,%d\n" % (i, i * 7919) for i in range(20_000))
    for suffix, pack in ((".bz2", bz2.compress), (".xz", lzma.compress)):
        data = pack(text[:100_000]) + pack(text[100_000:])  # two streams, as `cat` makes them
        (tmp_path / f"a.csv{suffix}").write_bytes(data)
        frame, bad, _ = read(tmp_path / f"a.csv{suffix}")
        assert (frame.height, bad) == (20_000, [])
        (tmp_path / f"b.csv{suffix}").write_bytes(data[:-20])
        frame, bad, _ = read(tmp_path / f"b.csv{suffix}")
        assert frame.height > 3_000
        assert frame["url"].to_list() == [f"http://a.test/{i}" for i in range(frame.height)]
        assert [b.location for b in bad] == [f"b.csv{suffix}"]


def test_damaged_row_group_costs_its_rows_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"url": [f"u{i}" for i in range(300)], "text": [str(i) * 9 for i in range(300)]}
    pq.write_table(pa.table(columns), path, row_group_size=100, compression="zstd")
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start + 20 : start + 60] = bytes(40)
    path.write_bytes(data)
    frame, bad, _ = read(path)
    assert frame["url"].to_list() == [f"u{i}" for i in (*range(100), *range(200, 300))]
    assert sum(b.rows for b in bad) == 100
    assert bad[0].location == "a.parquet row 100 to 199"


def test_file_that_is_no_parquet_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", url=["a"], text=["t"])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    frame, bad, _ = read(tmp_path)
    assert frame["url"].to_list() == ["a"]
    assert bad[0].location == "b.parquet"


def test_blocks_that_arrow_parses_are_no_objects_of_pythons() -> None:
    """Else a thread of Arrow's that lets go of one while Python ends aborts the process."""
    block = b"a,b\n" * 1000
    before = sys.getrefcount(block)
    reader = for_arrow(block)
    assert sys.getrefcount(block) == before
    assert reader.read() == block


def test_what_a_pipeline_writes_into_its_input_folder_is_no_input(tmp_path: Path) -> None:
    """The second run reads what the first did, and leaves others' files of like names alone."""
    rows = pl.DataFrame({"url": ["http://a.test/1", "http://a.test/2"], "text": ["a", "b"]})
    for name in ("one.csv", "other/pkg/two.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        rows.with_columns(pl.col("url") + name).write_csv(tmp_path / name)
    pipeline = "name: own\nworkspace: ws\nsource: {type: pairs, path: PATH}\n"
    pipeline += "stages: [{stage: text_rules}]\noutputs: [{type: table, path: pkg}]\n"
    for path, count in ((".", 4), ("'**/*'", 4), ("'*'", 4)):
        (tmp_path / "p.yaml").write_text(pipeline.replace("PATH", path))
        for _ in ("first", "second"):
            found = Pipeline.from_yaml(tmp_path / "p.yaml")
            ended = found.run(local=True, processes=0, progress=False, replace=True)
            assert ended.funnel.rows == count
        skipped = {r.location for r in found.checked.source.remarks() if "this pipe" in r.what}
        assert skipped == {"pkg/", "ws/"}


GARBAGE = {
    "b.csv": (b"\x80\x93,\x12,x,y\n" + b"\x80\x81\n" * 7, 7),
    "c.jsonl": (b"<garbage>\n\n" * 40, 40),
    "d.tsv": (b"url\ttext\n" + b"one value alone\n" * 12, 12),
    "e.jsonl": (b"\0" * 500, 1),
}


@pytest.mark.parametrize("whole_bytes", [2**20, 0])
def test_text_file_of_which_no_row_can_be_read_is_damaged_and_costs_its_rows(
    tmp_path: Path, whole_bytes: int
) -> None:
    (tmp_path / "a.csv").write_text("url,text\n" + "".join(f"http://a.test/{i},t\n" for i in "12"))
    for name, (content, _) in GARBAGE.items():
        (tmp_path / name).write_bytes(content)
    frame, bad, _ = read(tmp_path, whole_bytes)
    assert frame.columns == ["url", "text", "source"]
    assert frame["source"].to_list() == ["a.csv"] * 2
    assert [(one.location, one.rows) for one in bad] == [(n, c) for n, (_, c) in GARBAGE.items()]
    assert all("rows looked at can be read" in one.reason for one in bad)
    (tmp_path / "a.csv").unlink()
    said = fault(tmp_path)
    assert said.startswith("no input file can be read: ")
    assert "d.tsv: not one of 12 rows looked at can be read: line 2: 1 field where the" in said


def test_rows_of_a_file_that_is_mostly_damaged_are_lost_where_other_files_are_sound(
    tmp_path: Path,
) -> None:
    (tmp_path / "b.jsonl").write_text('{"url": "u", "text": "t"}\n' * 9 + "garbage\n" * 20)
    assert "b.jsonl: 20 of 29 rows looked at cannot be read: line 10: no JSON" in fault(tmp_path)
    table(tmp_path / "a.parquet", url=["u"] * 11, text=["t"] * 11)
    assert "b.jsonl: 20 of 29 rows" in fault(tmp_path)
    table(tmp_path / "a.parquet", url=["u"] * 12, text=["t"] * 12)
    frame, bad, _ = read(tmp_path)
    assert (len(frame), len(bad), bad[0].location) == (21, 20, "b.jsonl line 10")


@pytest.mark.parametrize("end", ["\n", ""])
def test_small_files_of_a_large_source_are_not_taken_for_their_header(
    tmp_path: Path, end: str
) -> None:
    (tmp_path / "a.csv").write_text("url,text,n\nhttp://a.test/1,t,1\nhttp://a.test/2,t,2" + end)
    (tmp_path / "b.jsonl").write_text('{"url": "http://a.test/3", "text": "t", "n": 3}' + end)
    frame, bad, remarks = read(tmp_path, whole_bytes=0)
    assert frame["n"].to_list() == [1, 2, 3]
    assert (bad, remarks) == ([], [])
