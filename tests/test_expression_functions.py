"""The list of functions: what the documentation says of each is true, and no value ends a run."""

import datetime
import itertools
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from pairmill.schemas.expressions import BadExpression, compile_expression, compile_gate
from pairmill.schemas.sql.functions import BY_NAME, FUNCTIONS

NAN, INF = float("nan"), float("inf")
HOSTILE: dict[str, tuple[pl.DataType, list[object]]] = {
    "number": (pl.Float64(), [None, NAN, INF, -INF, 0.0, -0.0, 1e308, -1e308, 5e-324, -1.5]),
    "single": (pl.Float32(), [None, NAN, INF, -INF, 0.0, 3.4e38, -3.4e38, 1e-45, 1.0, -2.5]),
    "decimal": (pl.Decimal(38, 10), [None, *map(Decimal, (0, 1, -1, 10**27, -(10**27), 3, 4, 5, 6))]),
    "whole": (pl.Int64(), [None, -(2**63), 2**63 - 1, 0, 1, -1, 2**31, -(2**31), 64, 2**40]),
    "tiny": (pl.Int8(), [None, -128, 127, 0, 1, -1, 2, 3, 4, 5]),
    "large": (pl.UInt64(), [None, 0, 2**64 - 1, 2**63, 1, 2, 3, 4, 5, 6]),
    "text": (
        pl.String(),
        [None, "", "a", "NaN", "inf", "12", "9" * 40, "2024-13-45", "é\0\U0001f469\u200d\U0001f467", "(["],
    ),
    "yes": (pl.Boolean(), [None, True, False] * 3 + [True]),
    "day": (pl.Date(), [None, *map(datetime.date.fromordinal, (1, 3652059, 719163))] * 2 + [None] * 2),
    "when_ms": (pl.Datetime("ms"), [None, 0, 2**63 - 1, -(2**63) + 1, 2**53, 1, -1, 2, 3, 4]),
    "when_ns": (pl.Datetime("ns", "Europe/Paris"), [None, 0, 2**63 - 1, -(2**63) + 1, 1, 2, 3, 4, 5, 6]),
    "span": (pl.Duration("ms"), [None, 0, 2**63 - 1, -(2**63) + 1, 1, 2, 3, 4, 5, 6]),
    "numbers": (pl.List(pl.Float64()), [None, [], [NAN], [INF, -INF], [1e308, 1e308], [None], [1.0], [0.0], [2.0], [3.0]]),
    "words": (pl.List(pl.String()), [None, [], [None], ["a", None], ["b"], ["a"], [""], ["x"], ["y"], ["z"]]),
}  # fmt: skip
KINDS = {
    "number": ["number", "single", "decimal", "whole", "tiny", "large"],
    "whole number": ["whole", "tiny", "large", "2", "-1"],
    "text": ["text"],
    "true/false": ["yes"],
    "list": ["numbers", "words"],
    "date or timestamp": ["day", "when_ms", "when_ns"],
    "text, date or timestamp": ["text", "day", "when_ms"],
    "date, timestamp or duration": ["day", "when_ms", "when_ns", "span"],
    "any": ["number", "single", "whole", "large", "text", "yes", "when_ms", "NULL", "day"],
    "'…'": ["'a'", "''", "'%Y'", "'year'", "'epoch'", "'(.)'", "'i'"],
}


def hostile() -> pl.DataFrame:
    columns = {}
    for name, (dtype, values) in HOSTILE.items():
        temporal = isinstance(dtype, pl.Datetime | pl.Duration)
        series = pl.Series(values, dtype=pl.Int64() if temporal else dtype)
        columns[name] = series.cast(dtype) if temporal else series
    far = pl.Series([2**31 - 1, -(2**31)] * 5, dtype=pl.Int32).cast(pl.Date)
    return pl.DataFrame(columns).with_columns(far.alias("far_day"))


FRAME = hostile()
SCHEMA = FRAME.to_arrow().schema


def calls(takes: str) -> list[list[str]]:
    """Arguments of every accepted kind, and the least and the largest number of them."""
    parts = [p.strip() for p in takes.split(";") if p.strip() and p.strip() != "…"]
    needed = [p for p in parts if not p.startswith("[")]
    choices = [KINDS[p.strip("[]")] for p in parts]
    every = [list(c) for c in itertools.product(*choices)] if choices else [[]]
    return every + ([c[: len(needed)] for c in every] if len(needed) < len(parts) else [])


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_example_of_the_documentation_is_true(function: object) -> None:
    example = function.example  # type: ignore[attr-defined]
    assert compile_gate(example, SCHEMA).evaluate(FRAME).to_list() == [True] * FRAME.height


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in BY_NAME if n != "||"])
def test_function_over_hostile_values_ends_no_run_and_answers_every_row_by_itself(
    name: str,
) -> None:
    accepted = 0
    for arguments in calls(BY_NAME[name].takes):
        text = f"{name}({', '.join(arguments)})"
        try:
            expression, dtype = compile_expression(text, SCHEMA)
        except BadExpression:
            continue  # kinds that do not go together, told before the run
        accepted += 1
        whole = expression.evaluate(FRAME)
        assert whole.len() == FRAME.height, text
        alone = [expression.evaluate(FRAME[i : i + 1])[0] for i in range(FRAME.height)]
        assert [str(v) for v in whole] == [str(v) for v in alone], text
        if dtype.is_float():
            assert not whole.is_nan().any(), text
        assert expression.evaluate(FRAME.clear()).len() == 0
    assert accepted


@pytest.mark.parametrize("target", ["TINYINT", "INTEGER", "BIGINT", "REAL", "DOUBLE", "VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP"])  # fmt: skip
@pytest.mark.parametrize("word", ["CAST", "TRY_CAST"])
def test_cast_of_what_cannot_be_converted_is_null(word: str, target: str) -> None:
    tried = 0
    for name in [*HOSTILE, "far_day"]:
        try:
            expression, dtype = compile_expression(f"{word}({name} AS {target})", SCHEMA)
        except BadExpression:
            continue  # a kind that is never cast to this one, told before the run
        tried += 1
        found = expression.evaluate(FRAME)
        assert found.len() == FRAME.height
        assert not (dtype.is_float() and found.is_nan().any())
    assert tried


def test_bad_text_is_null_and_good_text_beside_it_is_read() -> None:
    frame = pl.DataFrame({"t": ["12", "twelve", "1e3", "", "2024-02-30", "2024-02-29", "true"]})
    for text, good in (
        ("CAST(t AS INTEGER)", {0: 12}),
        ("t::DOUBLE", {0: 12.0, 2: 1000.0}),
        ("CAST(t AS DATE)", {5: datetime.date(2024, 2, 29)}),
        ("CAST(t AS BOOLEAN)", {6: True}),
    ):
        found = compile_expression(text, frame.to_arrow().schema)[0].evaluate(frame).to_list()
        assert found == [good.get(i) for i in range(7)], text


@pytest.mark.parametrize(
    "text",
    [
        "day > '2024-01-31' AND when_ms <= TIMESTAMP '2024-01-31 00:00:00'",
        "when_ms - when_ns > INTERVAL '1 day'",
        "far_day + INTERVAL '999999 weeks' > day",
        "span + span < INTERVAL '1 hour'",
        "numbers[1] > 0 AND words[2] = 'a'",
        "whole & tiny = 1 OR ~whole = 3",
        "text LIKE '([%' OR text ~ '\\(' OR text ILIKE '%!_' ESCAPE '!'",
        "CASE text WHEN 'a' THEN 1 ELSE large END = 2",
        "text || whole || number || yes::VARCHAR || day > ''",
    ],
)
def test_operators_over_hostile_values_end_no_run(text: str) -> None:
    assert compile_gate(text, SCHEMA).evaluate(FRAME).len() == FRAME.height


def test_struct_fields_and_lists_are_read_as_columns_are() -> None:
    frame = pl.DataFrame(
        {"m": [{"x": NAN, "n": 1}, {"x": 2.0, "n": None}, None], "tags": [["a", "b"], [], None]}
    )
    schema = frame.to_arrow().schema
    for text, expected in (
        ("m.x > 1", [None, True, None]),
        ("m.n = 1", [True, None, None]),
        ("tags[1] = 'a'", [True, None, None]),
        ("tags[2] = 'b' AND ARRAY_CONTAINS(tags, 'a')", [True, False, None]),
        ("ARRAY_LENGTH(tags) = 0", [False, True, None]),
    ):
        assert compile_gate(text, schema).evaluate(frame).to_list() == expected, text


def test_type_that_no_expression_reads_can_be_asked_for_null() -> None:
    frame = pl.DataFrame({"at": [datetime.time(1, 2), None]})
    schema = frame.to_arrow().schema
    assert compile_gate("at IS NULL", schema).evaluate(frame).to_list() == [False, True]
    with pytest.raises(BadExpression, match="cannot be compared"):
        compile_gate("at = 3", pa.schema(schema))
