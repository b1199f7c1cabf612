"""Gates: what is accepted, what is refused before a run, and how nulls and zeroes count."""

import polars as pl
import pyarrow as pa
import pytest

from pairmill.schemas.expressions import BadExpression, compile_gate

SCHEMA = pa.schema(
    [
        ("clip_score", pa.float32()),
        ("lang", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("ok", pa.bool_()),
    ]
)
FRAME = pl.DataFrame(
    {
        "clip_score": [0.1, 0.3, None],
        "lang": ["en", "de", None],
        "width": [100, 200, 3],
        "height": [50, 0, 2],
        "ok": [True, False, None],
    },
    schema={
        "clip_score": pl.Float32,
        "lang": pl.String,
        "width": pl.Int32,
        "height": pl.Int32,
        "ok": pl.Boolean,
    },
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clip_score >= 0.28 AND lang IN ('en', 'de')", [False, True, None]),
        ("lang IS NULL", [False, False, True]),
        ("width / height >= 2", [True, None, False]),
        ("GREATEST(width, height) / LEAST(width, height) <= 3.0", [True, None, True]),
        ("COALESCE(lang, 'x') = 'x'", [False, False, True]),
        ("lang LIKE 'e%' OR clip_score > 0.2", [True, True, None]),
        ("NOT ok", [False, True, None]),
    ],
)
def test_gate_over_rows_gives_true_false_or_null(text: str, expected: list[bool | None]) -> None:
    assert compile_gate(text, SCHEMA).evaluate(FRAME).to_list() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip_scor > 1", "did you mean 'clip_score'"),
        ("lang >= 0.3", "compares lang (text) with 0.3 (number)"),
        ("clip_score >= '0.3'", "compares clip_score (number) with '0.3' (text)"),
        ("lang IN ('en', 3)", "compares lang (text) with 3 (number)"),
        ("clip_score BETWEEN 0.1 AND 'x'", "with 'x' (text)"),
        ("clip_score > AVG(clip_score)", "looks at other rows"),
        ("ROW_NUMBER() OVER (ORDER BY lang) > 1", "looks at other rows"),
        ("clip_score", "gives Float32, not true or false"),
        ("clip_score = NULL", "IS NULL"),
        ("clip_score > ", "no SQL expression"),
    ],
)
def test_gate_that_cannot_mean_what_it_says_is_refused_with_a_reason(
    text: str, message: str
) -> None:
    with pytest.raises(BadExpression, match=".") as caught:
        compile_gate(text, SCHEMA)
    assert message in str(caught.value)
