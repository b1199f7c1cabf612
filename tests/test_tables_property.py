"""Tables with odd quoting, encodings, types and names, and damage in one row: every other row
arrives unchanged, and the damaged one is one unreadable row with file, line, column and reason.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import math
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairmill.sources.base import Unreadable
from pairmill.sources.tables import PairsConfig, TableSource

PACK = {
    "": lambda b: b,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
TRIES = settings(
    max_examples=120, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
ODD = st.sampled_from(
    ["", "NA", "null", "1e5", "007", "true", '"', '""', "a,b", "a\tb", "a\nb", "a\r\nb", " x ",
     "5\" nail", "{}", "[1]", "nan", "é", "日本", "\u2028", "-0", "+1", "1_000", "0x1f", "\\", "'"]
)  # fmt: skip
TEXTS = st.one_of(
    ODD, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
)


def source(path: Path, **options: Any) -> TableSource:
    return TableSource(PairsConfig(path=str(path), **options))


def read(path: Path, **options: Any) -> tuple[list[dict[str, Any]], list[Unreadable]]:
    reader = source(path, **options)
    schema = reader.schema()
    rows: list[dict[str, Any]] = []
    bad = []
    for part in reader.read():
        if isinstance(part, pa.Table):
            assert part.drop_columns(["source"]).schema.equals(schema)
            rows += part.to_pylist()
        elif isinstance(part, Unreadable):
            bad.append(part)
    return rows, bad


def as_it_stands(value: Any, spelled: str) -> bool:
    """Whether a value is what a text format spells."""
    if isinstance(value, float):
        return math.isnan(value) if "nan" in spelled.lower() else float(spelled) == value
    return str(value) == spelled if value is not None else spelled == ""


@st.composite
def separated_files(draw: st.DrawFn) -> dict[str, Any]:
    rows = draw(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=12))
    raw = draw(st.booleans())
    if raw:  # without quoting no value holds a delimiter or the end of a line
        rows = [tuple(v.translate(dict.fromkeys(map(ord, "\t\n\r"), " ")) for v in r) for r in rows]
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "latin-1", "utf-16"]))
    if encoding == "latin-1":
        rows = [tuple(v.encode("latin-1", "replace").decode("latin-1") for v in r) for r in rows]
    return {
        "rows": [(f"http://a.test/{i}", *row) for i, row in enumerate(rows)],
        "raw": raw,
        "encoding": encoding,
        "end": draw(st.sampled_from(["\n", "\r\n"])),
        "quote_all": draw(st.booleans()),
        "pack": draw(st.sampled_from(sorted(PACK))),
        "last_end": draw(st.booleans()),
        "damage": draw(st.sampled_from([None, "more", "fewer", "bytes", "quote"])),
        "at": draw(st.integers(0, len(rows))),
    }


def spelled(case: dict[str, Any]) -> tuple[bytes, int | None]:
    """The file, and the line at which the damaged row stands."""
    lines = [record(("url", "caption", "n", "note"), case)]
    lines += [record(row, case) for row in case["rows"]]
    broken = None
    bad = {
        "more": ("http://a.test/x", "a", "b", "c", "d"),
        "fewer": ("http://a.test/x", "a"),
        "bytes": ("http://a.test/x", "a", "b", "caf\udce9 \udcff"),
        "quote": None,
    }
    if case["damage"]:
        at = case["at"] + 1
        row = bad[case["damage"]]
        line = 'http://a.test/x,"a,b,c' + case["end"] if row is None else record(row, case)
        broken = 1 + sum(text.count("\n") for text in lines[:at])
        lines.insert(at, line)
    text = "".join(lines)
    if not case["last_end"]:
        text = text.removesuffix(case["end"])
    errors = "surrogateescape" if case["encoding"] == "utf-8" else "strict"
    return PACK[case["pack"]](text.encode(case["encoding"], errors)), broken


def record(row: tuple[str, ...], case: dict[str, Any]) -> str:
    if case["raw"]:
        return "\t".join(row) + case["end"]
    out = io.StringIO()
    quoting = csv.QUOTE_ALL if case["quote_all"] else csv.QUOTE_MINIMAL
    csv.writer(out, quoting=quoting, lineterminator=case["end"]).writerow(row)
    return out.getvalue()


@pytest.mark.slow
@TRIES
@given(separated_files())
def test_separated_files_lose_no_row_but_the_damaged_one(case: dict[str, Any]) -> None:
    if case["damage"] == "bytes" and case["encoding"] != "utf-8":
        case["damage"] = None  # every byte is a letter there
    if case["damage"] == "quote" and case["raw"]:
        case["damage"] = None  # a quote is a letter there
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (("in.tsv" if case["raw"] else "in.csv") + case["pack"])
        data, broken = spelled(case)
        path.write_bytes(data)
        rows, bad = read(path, encoding=case["encoding"])
    assert [b.location for b in bad] == ([f"{path.name} line {broken}"] if broken else [])
    assert [r["url"] for r in rows] == [r[0] for r in case["rows"]]
    for row, wanted in zip(rows, case["rows"], strict=True):
        quoted_empty = case["quote_all"] and not case["raw"]
        for name, text in zip(("text", "n", "note"), wanted[1:], strict=True):
            assert as_it_stands(row[name], text), (name, row[name], text)
            if text == "" and quoted_empty and name == "text":
                assert row[name] == ""


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), TEXTS,
    st.lists(st.one_of(st.integers(0, 9), TEXTS), max_size=3),
    st.dictionaries(TEXTS, st.integers(), max_size=2),
)  # fmt: skip
BROKEN_LINES = [
    b'{"url": ', b"[1]", b'{"url": "\xff"}', b'{"url": "\\ud800"}', b"{'url': 1}", b"null",
    b'{"url": "a"} {"url": "b"}', b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]  # fmt: skip


@pytest.mark.slow
@TRIES
@given(
    st.lists(st.tuples(TEXTS, VALUES, VALUES), min_size=1, max_size=10),
    st.booleans(), st.one_of(st.none(), st.sampled_from(BROKEN_LINES)), st.integers(0, 9),
    st.sampled_from(sorted(PACK)),
)  # fmt: skip
def test_json_lines_lose_no_row_but_the_damaged_one(
    rows: list[tuple[str, Any, Any]], ascii_only: bool, broken: bytes | None, at: int, pack: str
) -> None:
    objects = [{"url": f"u{i}", "text": t, "a": a, "b": b} for i, (t, a, b) in enumerate(rows)]
    lines = [json.dumps(o, ensure_ascii=ascii_only).encode() for o in objects]
    at = min(at, len(lines))
    if broken:
        lines.insert(at, broken)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"in.jsonl{pack}"
        path.write_bytes(PACK[pack](b"\n".join(lines) + b"\n"))
        found, bad = read(path)
    assert [b.location for b in bad] == ([f"{path.name} line {at + 1}"] if broken else [])
    assert len(found) == len(objects)
    for row, wanted in zip(found, objects, strict=True):
        assert (row["url"], row["text"]) == (wanted["url"], wanted["text"])
        for name in ("a", "b"):
            assert same_json(row.get(name), wanted[name]), (name, row.get(name), wanted[name])


def same_json(value: Any, wanted: Any) -> bool:
    """Whether a stored value is the JSON value, as itself or as text that spells it."""
    if value == wanted and type(value) is type(wanted):
        return True
    if isinstance(value, float) and isinstance(wanted, int) and not isinstance(wanted, bool):
        return value == wanted
    if isinstance(value, list) and isinstance(wanted, list) and len(value) == len(wanted):
        return all(v == w or v == json.dumps(w) for v, w in zip(value, wanted, strict=True))
    return isinstance(value, str) and json.loads(value) == wanted


@pytest.mark.slow
@TRIES
@given(
    st.lists(st.tuples(TEXTS, st.integers(0, 2**63 - 1), st.lists(TEXTS, max_size=3)), min_size=1),
    st.integers(0, 30), st.sampled_from([None, "text", "list"]), st.integers(1, 5),
    st.booleans(),
)  # fmt: skip
def test_parquet_loses_no_row_by_damaged_text(
    rows: list[tuple[str, int, list[str]]], at: int, damage: str | None, group: int, packed: bool
) -> None:
    at %= len(rows)
    texts = [t.encode() for t, _, _ in rows]
    lists = [[x.encode() for x in v] for _, _, v in rows]
    if damage == "text":
        texts[at] += b"\xff\xfe"
    if damage == "list":
        lists[at].append(b"\xc3\x28")
    flat = pa.array([x for v in lists for x in v], pa.binary())
    ends = pa.array([sum(map(len, lists[:i])) for i in range(len(lists) + 1)], pa.int32())
    unchecked = pa.Array.from_buffers(pa.string(), len(flat), flat.buffers())
    text = pa.array(texts, pa.binary())
    table = pa.table({
        "URL": [f"u{i}" for i in range(len(rows))],
        "TEXT": pa.Array.from_buffers(pa.string(), len(text), text.buffers()),
        "id": [n for _, n, _ in rows],
        "tags": pa.ListArray.from_arrays(ends, unchecked),
    })  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.parquet"
        pq.write_table(table, path, row_group_size=group, use_dictionary=packed)
        found, bad = read(path)
    assert not bad
    for i, row in enumerate(found):
        assert (row["url"], row["uid"]) == (f"u{i}", str(rows[i][1]))
        assert row["text"] == texts[i].decode("utf-8", "replace")
        assert row["tags"] == [tag.decode("utf-8", "replace") for tag in lists[i]]
    assert len(found) == len(rows)
