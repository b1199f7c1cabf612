"""docs/expressions.md: what an expression may hold, made of the lists that decide it."""

from pairmill.schemas.sql.casts import NAMES
from pairmill.schemas.sql.dates import PARTS
from pairmill.schemas.sql.functions import FUNCTIONS
from pairmill.schemas.sql.parsing import LONGEST

HEAD = """# Expressions

Generated from the lists of `pairmill/schemas/sql` by `python -m pairmill.plan.expression_page`.

`keep`, `when`, an output's `where` and `caption`, `derive`, and the report's `blur` are SQL expressions over the columns of
one row. They are checked before anything runs, compiled to Polars, and evaluated on whole columns.

```yaml
keep: clip_score >= 0.28 AND lang IN ('en', 'de') AND GREATEST(width, height) / LEAST(width, height) <= 3
```

Names stand bare, or in double quotes where they are no plain words; texts stand in single quotes.

## What has no answer is null

- NaN is null wherever it comes from: a column, a list's element, a text that is cast, a function. Infinity of a column is a
  value.
- `a / b`, `a % b` and `DIV(a, b)` are null where `b` is zero. `/` gives a float, of integers too.
- Integers count in 64 bits, whatever the width of their columns, and in 128 beside an unsigned 64-bit column: nothing wraps.
  What is larger is null. A float result that overflows, or a root of a negative number, is null.
- There are no decimals: `0.1` is a float, and so is a decimal column. A 32-bit float column stays one beside literals and
  its like, so that `score >= 0.3` means the 0.3 that is stored.
- `CAST` and `TRY_CAST` are the same: what cannot be converted is null. No value ends a run.
- Dates, times and durations are reckoned in microseconds and UTC; outside of the years 1 to 9999 they are null.
- A comparison with null is null, `AND`, `OR`, `NOT` and `IN` follow SQL's three values. A gate lets a row through where it is
  true; a row for which it is null is `missing`, and told apart from one that was `dropped`.
- `when:` and `on_missing: keep` let rows pass a stage by; its `keep` is not asked of them.

## One row at a time

Only what stands on this page is accepted; aggregates, windows, subqueries and anything unknown are refused before the run.
Patterns, formats and separators (`'…'` below) stand in the expression, so that they are checked beforehand. An expression
has at most {longest:,} characters, and is nested about fifty levels at most; chains of `AND` and `OR` may be as long as one likes.

## Operators

| | |
| --- | --- |
| `AND` `OR` `NOT` `(…)` | of true and false |
| `=` `<>` `!=` `<` `<=` `>` `>=` | of two numbers, texts, dates, …; a text in quotes beside a date is read as one |
| `BETWEEN … AND …` `IN (…)` `NOT IN (…)` | the same, of several |
| `IS NULL` `IS NOT NULL` `IS TRUE` `IS FALSE` `IS NOT TRUE` | never null |
| `IS DISTINCT FROM` `IS NOT DISTINCT FROM` | comparison in which two nulls are equal |
| `+` `-` `*` `/` `%` `^` | of numbers; `+` and `-` of dates, timestamps and `INTERVAL '3 days'` |
| `&` `\\|` `#` `~a` | bits of whole numbers: and, or, exclusive or, not |
| `a \\|\\| b` | texts, one after the other |
| `LIKE` `ILIKE` (`ESCAPE '!'`) | `%` is any text, `_` any character; `ILIKE` ignores case |
| `a ~ '…'` `a ~* '…'` `a !~ '…'` | a regular expression (Rust's) is found; `*` ignores case |
| `CASE WHEN … THEN … ELSE … END` | also `CASE a WHEN … THEN …` |
| `CAST(a AS type)` `TRY_CAST` `a::type` | types below |
| `list[1]` `struct.field` | an element, counted from 1; a field |
| `DATE '2024-01-31'` `TIMESTAMP '2024-01-31 12:00:00'` | a date, a time in UTC |
| `EXTRACT(year FROM d)` | parts: {parts}, epoch |

Types: {types}.

## Functions

| function | gives | meaning | true |
| --- | --- | --- | --- |
"""


def expression_page() -> str:
    """The page of expressions in Markdown: syntax, types, and a row for each function with its
    example.
    """
    types = ", ".join(f"`{name}`" for name in NAMES)
    head = HEAD.format(longest=LONGEST, parts=", ".join(PARTS), types=types)
    rows = []
    for function in FUNCTIONS:
        if not function.name.isidentifier():
            continue  # an operator
        takes = function.takes.replace("; …", ", …").replace(";", ",")
        names = [f"`{function.name}({takes})`", *(f"`{n}`" for n in function.names.split()[1:])]
        example = function.example.replace("|", "\\|")
        meaning = function.meaning.replace("|", "\\|")
        rows.append(f"| {', '.join(names)} | {function.gives} | {meaning} | `{example}` |")
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(expression_page())
