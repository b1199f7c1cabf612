"""Large text files that are read in ranges: the same rows, faults and places as in one piece."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pairmill.sources.base import Remark, Unreadable
from pairmill.sources.input_file import Input
from pairmill.sources.quoted import Dialect
from pairmill.sources.rows import Rows
from pairmill.sources.table_config import PairsConfig
from pairmill.sources.text_files import json_rows, separated_rows
from pairmill.sources.text_ranges import text_ranges
from pairmill.sources.text_stream import TextRange

CONFIG = PairsConfig(path="")
VALUES = [
    "plain", '"in quotes"', '"two\nlines"', '"a "" quote"', '"a, comma"', '"\n\n"', "ü – ß", "", '""',
    "\ufeffmark", "1", '"http://x.test/1\nhttp://x.test/2"',
]  # fmt: skip
FAULTS = [
    "one,two,three,four",
    'stray " quote,b',
    '"open,b',
    'a,"b" behind',
    "\udcff,b",
    '"x"y"z",b',
]


def item_of(file: Path) -> Input:
    return Input(file.name, f"file://{file}", file.stat().st_size, "1")


def told(parts: Iterator[Any]) -> list[Any]:
    """Rows with their lines, and faults, in the order of the file; first, how many marks there
    were.
    """
    found: list[Any] = []
    marks = 0
    for part in parts:
        if isinstance(part, Rows):
            found += zip(part.places.tolist(), part.table.to_pylist(), strict=True)
        elif isinstance(part, Remark):
            marks += part.count
        else:
            assert isinstance(part, Unreadable)
            found.append((int(part.location.rpartition(" ")[2]), part.reason))
    return [marks, *sorted(found, key=lambda one: one[0])]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("faults", [0, 1])
def test_ranges_of_a_csv_give_what_the_whole_gives(tmp_path: Path, seed: int, faults: int) -> None:
    chance = random.Random(seed)
    end = chance.choice(["\n", "\r\n"])
    lines = [f"{chance.choice(VALUES)},{chance.choice(VALUES)}" for _ in range(400)]
    for _ in range(faults):
        lines[chance.randrange(200, 400)] = chance.choice(FAULTS)
    file = tmp_path / "rows.csv"
    text = end.join(["a,b", *lines]) + chance.choice(["", end])
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    item, dialect = item_of(file), Dialect(("a", "b"), ",", True)
    ranges = text_ranges(item, "utf-8", dialect, 600)
    assert ranges is not None
    assert len(ranges) > (4 if faults else 9)
    pieces = (separated_rows(item, dialect, CONFIG, within=r) for r in ranges)
    whole = told(separated_rows(item, dialect, CONFIG))
    assert told(part for piece in pieces for part in piece) == whole
    assert len(whole) > 150


@pytest.mark.parametrize("seed", range(10))
def test_ranges_of_json_lines_give_what_the_whole_gives(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    texts = [chance.choice(VALUES) for _ in range(400)]
    lines = [json.dumps({"a": text}, ensure_ascii=False) for text in texts]
    for fault in ("no object", '{"a": ', '{"a": "\udcff"}', "\ufeff{}", ""):
        lines[chance.randrange(400)] = fault
    file = tmp_path / "rows.jsonl"
    file.write_bytes(("\ufeff" + "\n".join(lines)).encode("utf-8", "surrogateescape"))
    item, schema = item_of(file), pa.schema([("a", pa.string())])
    ranges = text_ranges(item, "utf-8", None, 500)
    assert ranges is not None
    assert len(ranges) > 9
    pieces = (json_rows(item, schema, set(), "utf-8", r) for r in ranges)
    whole = told(json_rows(item, schema, set(), "utf-8"))
    assert told(part for piece in pieces for part in piece) == whole
    assert len(whole) - 1 == 399 - sum(text == "" for text in lines) + 1


def test_a_file_that_cannot_be_cut_stays_whole(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    dialect = Dialect(("a", "b"), ",", True)
    file.write_text("a,b\n" + 'x," stray " quote\n' * 200)
    assert text_ranges(item_of(file), "utf-8", dialect, 500) is None
    assert text_ranges(item_of(file), "latin-1", dialect, 500) is None
    file.write_text("a,b\n" + "x,y\n" * 200, "utf-16")
    assert text_ranges(item_of(file), "utf-8", Dialect(("a",), ",", False), 500) is None
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(b"x" * 2000)
    assert text_ranges(item_of(packed), "utf-8", None, 500) is None


def test_lines_within_quotes_are_never_cut(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n" + ('"' + "line\n" * 30 + '",b\n') * 40)
    ranges = text_ranges(item_of(file), "utf-8", Dialect(("a", "b"), ",", True), 700)
    data = file.read_bytes()
    assert ranges == [
        TextRange(r.start, r.stop, 1 + data.count(b"\n", 0, r.start)) for r in ranges or ()
    ]
    assert len(ranges) > 4
    assert all(data[: r.start].count(b'"') % 2 == 0 for r in ranges)
