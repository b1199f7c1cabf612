"""Options of tables: header, names, delimiter, quoting, encoding, nulls; paths and lists of
captions; and what `validate` says where they do not fit the file.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.sources.base import Input, Unreadable
from pairmill.sources.parquet_files import parquet_rows
from pairmill.sources.rows import Rows
from pairmill.sources.tables import PairsConfig, TableSource
from tests.test_input_files import fault, read


def test_headerless_files_take_names(tmp_path: Path) -> None:
    (tmp_path / "cc12m.tsv").write_text("http://a.test/1\ta cat\nhttp://a.test/2\ta dog\n")
    frame, _, _ = read(tmp_path, names=["url", "caption"])
    assert frame.select("url", "text").rows() == [
        ("http://a.test/1", "a cat"), ("http://a.test/2", "a dog")
    ]  # fmt: skip
    frame, _, _ = read(tmp_path, header=False, columns={"url": "column_1", "text": "column_2"})
    assert frame["text"].to_list() == ["a cat", "a dog"]
    assert "seems to have no header" in fault(tmp_path)
    (tmp_path / "cc12m.tsv").write_text("a\tb\nhttp://a.test/1\ta cat\n")
    frame, _, _ = read(tmp_path, header=True, names=["url", "caption"])
    assert frame["url"].to_list() == ["http://a.test/1"]


@pytest.mark.parametrize(
    ("content", "options", "rows"),
    [
        ("url;text\na;b,c\n", {"delimiter": ";"}, [("a", "b,c")]),
        ('url\ttext\n"a"\t"b\n""c"""\n', {"quoting": True, "delimiter": "\t"}, [("a", 'b\n"c"')]),
        ('url,text\na,"b\n', {"quoting": False}, [("a", '"b')]),
        ("url,text\na,NA\nb,\nc,'NA'\n", {"null_values": ["", "NA"]}, [("a", None), ("b", None), ("c", "'NA'")]),
        ('url,text\na,""\nb,\n', {}, [("a", ""), ("b", None)]),
        ("\ufeffurl,text\r\na,b\r\n\r\n", {}, [("a", "b")]),
    ],
)  # fmt: skip
def test_dialects(
    tmp_path: Path, content: str, options: dict[str, Any], rows: list[tuple[str | None, ...]]
) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode())
    frame, bad, _ = read(tmp_path, **options)
    assert (frame.select("url", "text").rows(), bad) == (rows, [])


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "cp1252", "shift_jis"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_encodings(tmp_path: Path, encoding: str, name: str) -> None:
    text = "日本" if encoding.startswith(("utf", "shift")) else "café"
    line = f'{{"url": "a", "text": "{text}"}}' if name == "a.jsonl" else f"url,text\na,{text}"
    (tmp_path / name).write_bytes(f"{line}\n".encode(encoding))
    frame, bad, _ = read(tmp_path, encoding=encoding)
    assert (frame["text"].to_list(), bad) == ([text], [])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "url;text\na;b\nc;d\n", "say `delimiter: \";\"`"),
        ("a.tsv", "url,text\na,b\nc,d\n", "say `delimiter: \",\"`"),
        ("a.csv", "url,text,text\na,b,c\n", "the header names 'text' more than once (columns 2, 3)"),
        ("a.tsv", 'url\ttext\n"a"\t"b"\n"c"\t"d"\n', "say `quoting: true`"),
        ("a.csv", "url,text\n" + "a,caf\xe9\n" * 5, "say its `encoding:`, such as cp1252"),
        ("a.csv", "url,text\n" + 'a,"5" nail\n' * 20, "say `quoting: false`"),
        ("a.jsonl", "url,text\na,b\n", "no JSON object"),
        ("a.csv", "sep=,\nurl,text\na,b\nc,d\n", "a line for Excel, 'sep=,', and no header"),
        ("a.csv", '"sep=;"\r\nurl;text\r\na;b\r\n', "and say `delimiter: \";\"`"),
        ("a.csv", ",".join(f"c{i}" for i in range(20_000)) + "\n", "20,000 columns; at most 10,000"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_file_is_a_fault(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    assert said in fault(tmp_path / name)


def test_stray_quotes_cost_their_own_line_in_a_csv(tmp_path: Path) -> None:
    lines = [f"http://a.test/{i},caption {i}" for i in range(3_000)]
    lines[10] = 'http://a.test/10,"half quoted'
    lines[2_000] = 'http://a.test/2000,quoted at its end"'
    lines[2_500] = 'http://a.test/2500,"two\nlines, and a comma"'
    (tmp_path / "a.csv").write_text("\n".join(["url,text", *lines]) + "\n")
    frame, bad, _ = read(tmp_path)
    assert frame.height == 2_999
    assert [(b.location, b.column) for b in bad] == [("a.csv line 12", "text")]
    assert frame["text"][1_999] == 'quoted at its end"'
    assert frame["text"][2_499] == "two\nlines, and a comma"


def test_paths_lead_into_nested_values(tmp_path: Path) -> None:
    item = {"url": "http://a.test/1", "alt": {"en": "a cat"}}
    pq.write_table(pa.table({"item": [item], "n": [1]}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text(
        '{"item": {"url": "http://a.test/2", "alt": {"en": "a dog"}}, "n": 2}\n{"n": 3}\n'
    )
    for name in ("a.parquet", "b.jsonl"):
        frame, _, _ = read(tmp_path / name, columns={"url": "item.url", "text": "item.alt.en"})
        assert frame["url"][0].startswith("http://a.test/")
        assert frame["text"][0] in ("a cat", "a dog")
        assert "item" in frame.columns
    assert "such as `columns: {url: item.…}`" in fault(
        tmp_path / "a.parquet", columns={"url": "item"}
    )


def test_of_several_texts_all_are_kept_and_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("url,alt,title\na,x,1\nb,,2\nc,,\n")
    frame, _, _ = read(tmp_path, columns={"text": ["alt", "title"]})
    assert frame.select("text", "alt", "title").rows() == [
        ("x", "x", 1), ("2", None, 2), (None, None, None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("captions", "rows"),
    [
        ("first", [("a", "x"), ("b", None), ("c", None), ("d", "z")]),
        ("join", [("a", "x\ny"), ("b", None), ("c", None), ("d", "z")]),
        ("rows", [("a", "x"), ("a", "y"), ("b", None), ("c", None), ("d", "z")]),
    ],
)
@pytest.mark.parametrize("name", ["in.parquet", "in.jsonl"])
def test_lists_of_captions(
    tmp_path: Path, captions: str, rows: list[tuple[str, str | None]], name: str
) -> None:
    table = pa.table({"url": list("abcd"), "caption": [["x", "y"], [], None, ["z", None]]})
    if name == "in.parquet":
        pq.write_table(table, tmp_path / name)
    else:
        import polars as pl

        pl.DataFrame(pl.from_arrow(table)).write_ndjson(tmp_path / name)
    said = fault(tmp_path)
    assert f"{name}: text is taken from 'caption', a list of captions" in said
    assert "`captions: first`" in said
    frame, _, _ = read(tmp_path, captions=captions)
    assert frame.select("url", "text").rows() == rows
    assert frame["caption"][0].to_list() == ["x", "y"]


def test_hostile_json_costs_its_line_and_never_the_process(tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    many = b"{" + b",".join(b'"k%d":1' % i for i in range(100_000)) + b"}"
    lines = [
        b'{"url": "a"}', b"null", b'{"url": "b"} null', b'{"url": ' + deep + b"}",
        b"\n" * 100_001 + b'{"url": "c"}', many, b'{"url": "d", "n": ' + b"9" * 5_000 + b"}",
        b'{"url": "e", "n": 1}',
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    frame, bad, _ = read(tmp_path)
    assert frame["url"].to_list() == ["a", "c", "e"]
    assert [b.location.rpartition(" ")[2] for b in bad] == ["2", "3", "4", "100007", "100008"]
    assert "100,000 keys; at most 10,000 are read" in bad[3].reason


def test_parquet_that_stands_for_terabytes_is_not_read_further(tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(
        pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 4_000_000])
    )
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": texts}), path, dictionary_pagesize_limit=10**8, compression="zstd",
        store_schema=False,
    )  # fmt: skip
    item = Input("a.parquet", f"file://{path}", path.stat().st_size, "")
    *parts, last = parquet_rows(item, unpacked_bytes=2**25)
    assert isinstance(last, Unreadable)
    assert sum(len(p.places) for p in parts if isinstance(p, Rows)) + last.rows == 100_000
    assert "such a file is not read further" in last.reason


def test_missing_address_is_told_with_the_line_that_would_do(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image_link,caption\nhttp://a.test/1,x\n")
    said = TableSource(PairsConfig(path=str(tmp_path))).advice("url")
    assert "columns: image_link, caption" in said
    assert "`columns: {url: image_link}`" in said


def test_mapping_is_told_for_each_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("url,WIDTH\nx,1\n")
    (tmp_path / "b.csv").write_text("URL,TEXT\nx,1\n")
    (tmp_path / "c.csv").write_text("url,doc_id,position\nx,1,7\n")
    assert TableSource(PairsConfig(path=str(tmp_path))).mapping() == [
        "a.csv: url ← url; as they are: WIDTH → declared_width",
        "b.csv: url ← URL, text ← TEXT",
        "c.csv: url ← url; as they are: doc_id; documents in the order of position, numbered anew "
        "from 0",
    ]


def test_header_among_the_rows_is_told_and_is_a_row(tmp_path: Path) -> None:
    header, rows = "url,text,n\n", "http://a.test/1.jpg,t,1\n" * 3
    (tmp_path / "a.csv").write_text(header + rows + header + rows + header)
    (tmp_path / "b.csv").write_text(header + "url,text,2\n")
    for whole_bytes in (2**20, 0):
        frame, bad, remarks = read(tmp_path, whole_bytes)
        assert (frame.height, bad) == (9, [])
        told = [(r.location, r.count) for r in remarks if r.kind == "headers among rows"]
        assert told == [("a.csv line 5", 2)]


@pytest.mark.parametrize("quoting", [None, False])
def test_marks_of_files_put_behind_one_another_are_taken_off_and_told(
    tmp_path: Path, quoting: bool | None
) -> None:
    """Quotes behind a mark are quotes; a mark within a line stays."""
    (tmp_path / "a.csv").write_text(
        "\ufeffurl,text\nhttp://a.test/1.jpg,t\n\ufeffurl,text\n"
        '\ufeff"http://a.test/2.jpg",\ufefft\n'
    )
    frame, bad, remarks = read(tmp_path, 2**20, quoting=quoting)
    mark = '"' if quoting is False else ""
    assert (frame["url"].to_list(), bad) == (
        ["http://a.test/1.jpg", "url", f"{mark}http://a.test/2.jpg{mark}"], [],
    )  # fmt: skip
    assert frame["text"].to_list() == ["t", "text", "\ufefft"]
    told = [(r.location, r.count) for r in remarks if r.kind == "repaired values"]
    assert told == [("a.csv line 3", 2)]
