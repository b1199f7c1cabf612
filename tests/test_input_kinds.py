"""Inputs that are another thing than their name says, in encodings and shapes that programs write:
every row is there with its values, or the message names the remedy.
"""

import gzip
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.sources.tables import PairsConfig, TableSource
from tests.test_input_files import fault, read

ROWS = [(f"http://a.test/{i}.jpg", f"café 中文 {i} \U0001f600") for i in range(30)]
CSV = "url,text\n" + "".join(f"{url},{text}\n" for url, text in ROWS)


def as_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.csv", CSV)
    return out.getvalue()


def as_parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"url": ["u"], "text": ["t"]}), out)
    return out.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", as_zip(), "a zip archive .*unpack it"),
        ("a.csv", as_parquet(), "Parquet; say `format: parquet`"),
        ("a.jsonl", gzip.compress(CSV.encode()), "packed with gzip"),
        ("a.csv.gz", gzip.compress(gzip.compress(CSV.encode())), "packed twice; unpack it once"),
        ("a.parquet", LFS, "a pointer of Git LFS.*git lfs pull"),
        ("a.csv.gz", LFS, "a pointer of Git LFS"),
        ("a.tsv", b"\n<!DOCTYPE html><html><body>404</body></html>\n", "a web page"),
        ("a.csv", b'{"url": "http://a.test/1", "text": "a"}\n', "say `format: jsonl`"),
        ("a.jsonl", json.dumps([{"url": "u"}, {"url": "v"}], indent=1).encode(), "`format: json`"),
        ("a.csv", CSV.encode("utf-16-le"), "say `encoding: utf-16-le`"),
        ("a.csv", CSV.encode("utf-16-be"), "say `encoding: utf-16-be`"),
        ("a.parquet", b"PARE" + bytes(40) + b"PARE", "encrypted"),
    ],
)
def test_file_of_another_kind_is_named_with_the_remedy(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    assert re.search(words, fault(tmp_path / name))


def test_parquet_with_encrypted_columns_is_refused(tmp_path: Path) -> None:
    """Arrow ends the process where one asks for such a column."""
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Keys(encryption.KmsClient):  # type: ignore[misc, name-defined]
        def wrap_key(self, key: bytes, name: str) -> bytes:
            return key

    file, schema = tmp_path / "a.parquet", pa.schema([("url", pa.string()), ("text", pa.string())])
    properties = encryption.CryptoFactory(lambda _: Keys()).file_encryption_properties(
        encryption.KmsConnectionConfig(),
        encryption.EncryptionConfiguration(
            footer_key="f", column_keys={"c": ["text"]}, plaintext_footer=True
        ),
    )
    with pq.ParquetWriter(file, schema, encryption_properties=properties) as writer:
        writer.write_table(pa.table({"url": ["u"], "text": ["t"]}, schema))
    assert "columns of it are encrypted" in fault(file)


@pytest.mark.parametrize("whole_bytes", [2**20, 0])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_tell_the_encoding(
    tmp_path: Path, encoding: str, whole_bytes: int
) -> None:
    (tmp_path / "a.csv").write_bytes(CSV.encode(encoding))
    frame, bad, _ = read(tmp_path / "a.csv", whole_bytes)
    assert (frame.select("url", "text").rows(), bad) == (ROWS, [])


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_carriage_returns_alone_end_lines(tmp_path: Path, name: str) -> None:
    lines = "".join(json.dumps({"url": u, "text": t}) + "\n" for u, t in ROWS)
    text = CSV if name == "a.csv" else lines
    (tmp_path / name).write_bytes(text.replace("\n", "\r").encode())
    frame, bad, remarks = read(tmp_path / name)
    assert (frame.select("url", "text").rows(), bad) == (ROWS, [])
    assert [r.kind for r in remarks] == ["line ends"]


def test_quoted_lists_of_many_lines_are_one_value_beside_an_address(tmp_path: Path) -> None:
    text = "".join(f"name {i}, first\n" for i in range(50))
    (tmp_path / "a.csv").write_text(f'url,text\nhttp://a.test/1,"{text}"\nhttp://a.test/2,b\n')
    for whole_bytes in (2**20, 0):
        frame, bad, _ = read(tmp_path / "a.csv", whole_bytes)
        assert (frame["text"].to_list(), bad) == ([text, "b"], [])


def test_half_a_surrogate_pair_in_a_key_costs_its_row_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"url": "u", "text": "a", "\\ud800": 1}\n{"url": "v", "text": "\\ud83d\\ude00"}\n'
    )
    frame, bad, _ = read(tmp_path / "a.jsonl")
    assert frame.select("url", "text").rows() == [("v", "\U0001f600")]
    assert "a key with half of a surrogate pair" in bad[0].reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_documents_as_python_writes_them(tmp_path: Path, encoding: str) -> None:
    rows: list[dict[str, Any]] = [
        {"url": "u", "text": 'NaN "Infinity\\', "score": float("nan"), "n": 10**30},
        {"url": "v", "text": "é", "score": float("-inf"), "n": 1},
        {"url": "w", "text": "", "score": 0.5, "n": 2},
    ]
    text = json.dumps(rows, ensure_ascii=False)
    (tmp_path / "a.json").write_bytes(text.encode(encoding))
    source_rows, bad, _ = read(tmp_path / "a.json")
    assert source_rows["text"].to_list() == ['NaN "Infinity\\', "é", ""]
    assert source_rows["score"].to_list() == [None, None, 0.5]
    assert source_rows["n"].to_list() == [str(10**30), "1", "2"]
    assert bad == []


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (pa.RunEndEncodedArray.from_arrays([1, 2], ["a", "b"]), pa.string()),
        (pa.array([[1, 2], None], pa.list_view(pa.int64())), pa.list_(pa.int64())),
        (pa.array([["a"], None], pa.list_(pa.string_view())), pa.list_(pa.string())),
        (
            pa.StructArray.from_arrays([pa.array(["a", "b"]).dictionary_encode()], ["x"]),
            pa.struct([("x", pa.string())]),
        ),
    ],
)
def test_types_that_no_parquet_holds_are_read_as_plain_ones(
    tmp_path: Path, values: pa.Array, stored: pa.DataType
) -> None:
    table = pa.table({"url": ["u", "v"], "text": ["a", "b"], "x": values})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    frame, bad, _ = read(tmp_path / "a.arrow")
    assert (frame["x"].to_list(), bad) == (values.to_pylist(), [])
    assert TableSource(PairsConfig(path=str(tmp_path))).schema().field("x").type == stored


def test_feather_of_version_1_and_base64_say_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.feather").write_bytes(b"FEA1" + bytes(40) + b"FEA1")
    assert "Feather of version 1; write it anew" in fault(tmp_path / "a.feather")
    (tmp_path / "b.csv").write_text(f"picture,text\n/9j/{'A' * 201},a\n")
    _, bad, _ = read(tmp_path / "b.csv", image="picture")
    assert bad[0].reason.startswith("damaged base64: ")


def test_links_to_nowhere_and_names_that_are_no_utf_8_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.csv").symlink_to(tmp_path / "nowhere")
    with open(os.fsencode(tmp_path) + b"/\xff.csv", "wb") as stream:
        stream.write(CSV.encode())
    frame, bad, remarks = read(tmp_path)
    assert (frame.height, bad) == (30, [])
    assert {(r.location, r.what) for r in remarks} == {
        ("b.csv", "a link that leads nowhere"), ("?.csv", "its name is no UTF-8; rename it")
    }  # fmt: skip


def test_objects_and_lists_that_a_column_holds_as_json_are_told_and_counted(tmp_path: Path) -> None:
    lines = [
        {"url": "http://a.test/1.jpg", "text": "one two", "meta": {"a": 1}, "tags": ["a"]},
        {"url": "http://a.test/2.jpg", "text": {"en": "three"}, "meta": {"a": 2}, "tags": ["b"]},
        {"url": "http://a.test/3.jpg", "text": ["four", "five"], "meta": None, "tags": []},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (tmp_path / "in.json").write_text(json.dumps(lines))
    for file in ("in.jsonl", "in.json"):
        folder = tmp_path / file.replace(".", "-")
        pipeline = Pipeline.build(
            name="n",
            source=PairsConfig(path=str(tmp_path / file)),
            workspace=str(folder),
        )
        result = pipeline.run(local=True, processes=0, progress=False)
        (warned,) = result.warnings
        assert warned.startswith("objects and lists among texts: 2 (")
        assert "column 'text': kept as JSON" in warned
        (noted,) = (n for n in result.notes if n.startswith("objects and lists as JSON text"))
        assert noted.startswith("objects and lists as JSON text: 2 (")
        assert "column 'meta'" in noted
        assert result.rows(["text"])["text"][1] == '{"en": "three"}'


def test_pipes_and_links_in_circles_are_told_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    os.mkfifo(tmp_path / "b.csv")
    os.mkfifo(tmp_path / "names.list")
    (tmp_path / "c.csv").symlink_to(tmp_path / "c.csv")
    for given in (tmp_path, tmp_path / "*.csv"):
        frame, bad, remarks = read(given)
        assert (frame.height, bad) == (30, [])
        told = {r.location: r.what for r in remarks if r.location.endswith(".csv")}
        assert told.keys() == {"b.csv", "c.csv"}
        assert told["b.csv"].startswith("a pipe, a socket or a device")
        assert told["c.csv"] == "a link that leads nowhere"
    for named in ("b.csv", "names.list"):
        assert "a pipe, a socket or a device" in fault(tmp_path / named)


NOT_TO_BE_LOOKED_AT = "not to be looked at: Permission denied"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="rights are others there")
def test_what_this_user_may_not_read_is_told_with_its_rights() -> None:
    """Where root runs the tests, another user looks, into a folder that is open to all."""
    script = (
        "import os, sys\n"
        "from pairmill.sources.table_config import PairsConfig\n"
        "from pairmill.sources.tables import TableSource\n"
        "from pairmill.workspace.fingerprints import table_id\n"
        "from pairmill.workspace.storage import Storage\n"
        "TableSource(PairsConfig(path=sys.argv[1])).remarks()\n"  # which imports what it needs
        "os.getegid() or os.setegid(65534); os.geteuid() or os.seteuid(65534)\n"
        "source = TableSource(PairsConfig(path=sys.argv[1]))\n"
        "print([r.what for r in source.remarks()])\n"
        "for glob in ('**/*.csv', '*/c.csv', 'c*/c*', 'b*/c.csv', '*.csv'):\n"
        "    path = f'{sys.argv[1]}/{glob}'\n"
        "    try: told = [(r.location, r.what) for r in TableSource(PairsConfig(path=path)).remarks()]\n"
        "    except Exception as error: told = str(error).replace(sys.argv[1], '')\n"
        "    print(glob, told)\n"
        "try: table_id(Storage(sys.argv[1]), source)\n"
        "except Exception as error: print(error)\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for shut in ("closed", "listed"):
            (folder / shut).mkdir()
        for file in ("a.csv", "b.csv", "closed/c.csv", "listed/d.csv"):
            (folder / file).write_text(CSV)
        (folder / "closed").chmod(0)
        (folder / "listed").chmod(0o744)
        (folder / "b.csv").chmod(0)
        command = [sys.executable, "-c", script, name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        for shut in ("closed", "listed"):
            (folder / shut).chmod(0o755)
    remarks, *globs, error = done.stdout.splitlines()
    closed = "a folder that cannot be looked into: Permission denied"
    nothing = "source path /{} matches no file"
    left_out = f"{nothing} that can be read; left out: closed ({closed})"
    assert globs == [
        f"**/*.csv [('closed', '{closed}'), ('listed/d.csv', '{NOT_TO_BE_LOOKED_AT}')]",
        f"*/c.csv {left_out.format('*/c.csv')}, listed ({closed})",
        f"c*/c* {left_out.format('c*/c*')}",
        f"b*/c.csv {nothing.format('b*/c.csv')}",
        "*.csv []",
    ]
    assert remarks == f"['{closed}', '{NOT_TO_BE_LOOKED_AT}']"
    assert error.startswith("b.csv cannot be read by this user: [Errno 13] Permission denied")
