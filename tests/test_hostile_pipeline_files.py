"""Pipeline files that attack or are none: one message with its place, and no long work."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from pairmill.errors import PipelineFileError
from pairmill.plan.yaml_file import parse_document, read_document
from pairmill.schemas.expressions import BadExpression, compile_gate
from tests.conftest import typed

Write = Callable[[str], Path]


def bomb(levels: int) -> str:
    lines = [f"a0: &a0 [{', '.join('x' * 10)}]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("name: a\nx: " + "[" * 20_000 + "]" * 20_000, "2:4", "deeper than 60 levels"),
        ("x: " + "{a: " * 20_000 + "}" * 20_000, "1:240", "deeper than 60 levels"),
        ("x:\n " + "- " * 20_000 + "y", "2:120", "deeper than 60 levels"),
        ("x: " + "[\n" * 20_000, "1:4", "deeper than 60 levels"),
        (bomb(9), "5:1", "aliases (*x) make more than"),
        ("a: &a [" + "x, " * 5_000 + "]\nb: [*a, *a, *a, *a]\n", "2:1", "aliases (*x)"),
        ("k: [" + "x, " * 30_000 + "]", "1:", "more than 20,000 values"),
        ("k: " + "x" * 1_000_001, "", "at most 1,000,000"),
        ("a: 1\nb: !!python/object/apply:os.system ['true']\n", "2:4", "'!!python/object/apply:os.system'"),
        ("!!python/name:os.system\n", "1:1", "!!python/name"),
        ("a: !mine {b: 1}\n", "1:4", "the tag '!mine'"),
        ("a: !!omap [b: 1]\n", "1:4", "!!omap"),
        ("a: 1\nb: \x00\n", "2:4", "character 0"),
        ('a: 1\nb: [x, "\\uD800"]\n', "2:8", "\\uD800 is half of a surrogate pair"),
        ('a: 1\n"\\uDC00": 2\n', "2:1", "\\uDC00 is half of a surrogate pair"),
        ('workspace: "a\\0b"\n', "1:1", "a path cannot hold the character"),
        ("a: " + "9" * 5_000, "1:1", "cannot be read as YAML"),
        ("a: &a\n  <<: *a\n", "1:1", "cannot be read as YAML"),
        ("a:\n\tb: 1\n", "2:1", "a tab stands here"),
        ("a: %b\n", "1:4", "double quotes"),
        ("a: @b\n", "1:4", "double quotes"),
        ("a: 1\na: 2\n", "2:1", "the key a stands here a second time"),
        ("a: b: c\n", "1:5", "a colon within a value"),
        ("name: x\nsource\n  path: a\n", "2:1", "write `source:`, with a colon"),
        ("a:\n  b: 1\n  type # of it\n  c: 2\n", "3:3", "write `type:`, with a colon"),
        ("x: 1\na: 'b\nc: d\n", "2:4", "the quote that begins here is not closed"),
        ("a: [b\n", "2:1", "a bracket is not closed"),
        ("a: *b\n", "1:4", "*b means a value that is marked &b"),
        ("a:\n  - b: 1\n - c: 2\n", "3:2", "not indented like those before"),
        ("a: 1\n---\nb: 1\n", "2:1", "a second document"),
        ("- stage: clip\n", "1:1", "holds a list"),
        ("", "1:1", "is empty"),
    ],
)  # fmt: skip
def test_hostile_text_gives_one_message_with_its_place(text: str, place: str, message: str) -> None:
    with pytest.raises(PipelineFileError) as caught:
        parse_document(text, "p.yaml", {})
    (fault,) = map(str, caught.value.problems)
    assert message in fault
    assert fault.startswith(f"p.yaml:{place}")
    assert len(fault) < 400


def test_dates_and_odd_words_are_read_as_they_stand() -> None:
    data = parse_document("a: 2024-99-99\nb: 2024-01-31\nc: no\n", "p.yaml", {}).data
    assert data == {"a": "2024-99-99", "b": "2024-01-31", "c": "no"}


def test_file_that_is_no_text_says_where(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"name: x\nab\x89PNG\r\n\x1a\n")
    with pytest.raises(PipelineFileError, match=r"p.yaml:2:3: the byte 0x89 is no UTF-8"):
        read_document(tmp_path / "p.yaml")


@pytest.mark.slow
def test_command_line_shows_a_message_for_a_file_that_is_none(tmp_path: Path) -> None:
    for name, content in (
        ("picture.yaml", b"\x89PNG\r\n\x1a\n" * 100),
        ("tag.yaml", b"name: x\nstages: !!python/object/apply:os.system ['true']\n"),
    ):
        (tmp_path / name).write_bytes(content)
        result = typed("validate", str(tmp_path / name))
        assert result.returncode == 2
        assert "Traceback" not in result.stderr
        assert f"{name}:" in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "NOT " * 3_000 + "ok",
        "(" * 3_000 + "ok" + ")" * 3_000,
        "ABS(" * 3_000 + "n" + ")" * 3_000 + " > 1",
        "CASE WHEN ok THEN " * 3_000 + "ok" + " END" * 3_000,
        "n > " + " + ".join(["n"] * 3_000),
        "- " * 3_000 + "n > 1",
        "ok AND (" * 2_000 + "ok" + ")" * 2_000,
        "n::INT" * 3_000,
        "x" * 200_000,
    ],
)
def test_hostile_expression_gives_a_message(text: str) -> None:
    with pytest.raises(BadExpression) as caught:
        compile_gate(text, pa.schema([("ok", pa.bool_()), ("n", pa.int64())]))
    assert len(str(caught.value)) < 500


def test_long_flat_expressions_are_fine() -> None:
    schema = pa.schema([("n", pa.int64()), ("t", pa.string())])
    rows = pa.table({"n": [5, 1_501], "t": ["w7", None]}, schema=schema)
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    for text, expected in (
        (" OR ".join(f"n = {i}" for i in range(1_500)), [True, False]),
        (" AND ".join(f"n <> {i + 6}" for i in range(1_000)), [True, True]),
        ("t IN ('w" + "', 'w".join(map(str, range(5_000))) + "')", [True, None]),
    ):
        assert compile_gate(text, schema).evaluate(frame).to_list() == expected
