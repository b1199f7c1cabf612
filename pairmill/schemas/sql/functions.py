"""The functions of expressions: the whole list, with which the documentation is made."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from pairmill.schemas.sql import conditions, dates, lists, numbers, texts
from pairmill.schemas.sql.casts import typed_null
from pairmill.schemas.sql.values import (
    DATE,
    DURATION,
    FLAG,
    LIST,
    NULL,
    NUMBER,
    TEXT,
    TIMESTAMP,
    VARIABLE,
    BadExpression,
    Steps,
    Value,
    named,
    null,
)

ANY = "any"
WHOLE = "whole number"
MOMENT = "date or timestamp"
ACCEPTS = {
    TEXT: (TEXT,), NUMBER: (NUMBER,), WHOLE: (NUMBER,), FLAG: (FLAG,), LIST: (LIST,),
    MOMENT: (DATE, TIMESTAMP), "date, timestamp or duration": (DATE, TIMESTAMP, DURATION),
    "text, date or timestamp": (TEXT, DATE, TIMESTAMP),
}  # fmt: skip
NULLS = {TEXT: TEXT, NUMBER: "float64", WHOLE: "int64", FLAG: FLAG, MOMENT: TIMESTAMP}
"""What a NULL is taken for."""


@dataclass(frozen=True)
class Function:
    """`takes`: kinds of the arguments; one in brackets may be left out, `…` repeats the one before;
    `'…'` is a text in quotes.
    """

    names: str
    takes: str
    gives: str
    meaning: str
    example: str
    """A gate that is true."""
    build: Callable[..., Value]

    @property
    def name(self) -> str:
        """The first of its names, the one that is documented."""
        return self.names.split()[0]

    def kinds(self, count: int) -> list[str] | None:
        """What each of `count` arguments has to be; None where there may not be so many."""
        kinds: list[str] = []
        least = 0
        for part in [p.strip() for p in self.takes.split(";") if p.strip()]:
            if part == "…":
                return None if count < least else (kinds + [kinds[-1]] * count)[:count]
            kinds.append(part.strip("[]"))
            least += not part.startswith("[")
        return kinds[:count] if least <= count <= len(kinds) else None


F = Function
FUNCTIONS: tuple[Function, ...] = (
    F("COALESCE IFNULL", "any; …", "as its arguments",
      "the first that is not null", "COALESCE(NULL, 2) = 2", conditions.coalesce),
    F("NULLIF", "any; any", "as the first",
      "null where both are equal", "NULLIF(2, 2) IS NULL", conditions.nullif),
    F("IF IIF", "true/false; any; any", "as the last two",
      "the second where the first is true, else the third", "IF(1 < 2, 'a', 'b') = 'a'",
      conditions.if_),
    F("GREATEST", "any; …", "as its arguments",
      "the largest that is not null", "GREATEST(1, NULL, 3) = 3", conditions.greatest),
    F("LEAST", "any; …", "as its arguments",
      "the smallest that is not null", "LEAST(1, NULL, 3) = 1", conditions.least),
    F("ABS", "number", "number", "without its sign", "ABS(-3) = 3", numbers.absolute),
    F("SIGN", "number", "number", "-1, 0 or 1", "SIGN(-3.5) = -1", numbers.sign),
    F("CEIL CEILING", "number", "number", "rounded up", "CEIL(1.2) = 2", numbers.ceil),
    F("FLOOR", "number", "number", "rounded down", "FLOOR(-1.2) = -2", numbers.floor),
    F("TRUNC TRUNCATE", "number", "number",
      "rounded towards zero", "TRUNC(-1.8) = -1", numbers.trunc),
    F("ROUND", "number; [whole number]", "number",
      "rounded, a half to the even neighbour; to so many digits behind the point",
      "ROUND(2.345, 1) = 2.3", numbers.rounded),
    F("MOD", "number; number", "number",
      "`a % b`: what is left of a division, with the sign of `a`", "MOD(-7, 3) = -1",
      numbers.modulo),
    F("DIV", "number; number", "number",
      "a division without its fraction", "DIV(-7, 2) = -3", numbers.div),
    F("POWER POW", "number; number", "float", "`a ^ b`", "POWER(2, 10) = 1024", numbers.power),
    F("SQRT", "number", "float", "square root; null below zero", "SQRT(9) = 3", numbers.sqrt),
    F("CBRT", "number", "float", "cube root", "CBRT(27) = 3", numbers.cbrt),
    F("EXP", "number", "float", "e to this power", "EXP(0) = 1", numbers.exponential),
    F("LN", "number", "float",
      "natural logarithm; null at zero and below", "LN(1) = 0", numbers.ln),
    F("LOG", "number; [number]", "float",
      "logarithm to the base in second place, or to base 10", "LOG(8, 2) = 3", numbers.log),
    F("LOG2", "number", "float", "logarithm to base 2", "LOG2(8) = 3", numbers.log2),
    F("LOG10", "number", "float", "logarithm to base 10", "LOG10(1000) > 2.99", numbers.log10),
    F("LOG1P", "number", "float", "ln(1 + x)", "LOG1P(0) = 0", numbers.log1p),
    F("PI", "", "float", "3.14159…", "PI() > 3.14", numbers.pi),
    F("DEGREES", "number", "float",
      "radians as degrees", "ROUND(DEGREES(PI())) = 180", numbers.degrees),
    F("RADIANS", "number", "float", "degrees as radians", "RADIANS(0) = 0", numbers.radians),
    F("SIN", "number", "float", "sine", "SIN(0) = 0", numbers.sin),
    F("COS", "number", "float", "cosine", "COS(0) = 1", numbers.cos),
    F("TAN", "number", "float", "tangent", "TAN(0) = 0", numbers.tan),
    F("ASIN", "number", "float", "arc sine", "ASIN(0) = 0", numbers.asin),
    F("ACOS", "number", "float", "arc cosine", "ACOS(1) = 0", numbers.acos),
    F("ATAN", "number", "float", "arc tangent", "ATAN(0) = 0", numbers.atan),
    F("ATAN2", "number; number", "float",
      "angle of (x, y), given as y, x", "ATAN2(0, 1) = 0", numbers.atan2),
    F("BIT_COUNT", "whole number", "whole number",
      "bits that are set, of 64", "BIT_COUNT(7) = 3", numbers.bit_count),
    F("LENGTH CHAR_LENGTH CHARACTER_LENGTH", "text", "whole number",
      "characters", "LENGTH('añb') = 3", texts.length),
    F("OCTET_LENGTH", "text", "whole number",
      "bytes in UTF-8", "OCTET_LENGTH('añb') = 4", texts.octet_length),
    F("BIT_LENGTH", "text", "whole number",
      "bits in UTF-8", "BIT_LENGTH('ab') = 16", texts.bit_length),
    F("LOWER LCASE", "text", "text", "in small letters", "LOWER('Ab') = 'ab'", texts.lower),
    F("UPPER UCASE", "text", "text", "in capital letters", "UPPER('Ab') = 'AB'", texts.upper),
    F("INITCAP", "text", "text",
      "each word begins with a capital letter", "INITCAP('a dog') = 'A Dog'", texts.initcap),
    F("TRIM BTRIM", "text; ['…']", "text",
      "without white space, or these characters, at both ends", "TRIM('  a ') = 'a'", texts.trim),
    F("LTRIM", "text; ['…']", "text",
      "the same at the beginning", "LTRIM('xxa', 'x') = 'a'", texts.ltrim),
    F("RTRIM", "text; ['…']", "text", "the same at the end", "RTRIM('a ') = 'a'", texts.rtrim),
    F("LEFT", "text; whole number", "text",
      "the first characters; a negative number leaves out the last", "LEFT('abc', 2) = 'ab'",
      texts.left),
    F("RIGHT", "text; whole number", "text",
      "the last characters; a negative number leaves out the first", "RIGHT('abc', 2) = 'bc'",
      texts.right),
    F("SUBSTR SUBSTRING", "text; whole number; [whole number]", "text",
      "from a place, counted from 1, and so many characters", "SUBSTR('abcd', 2, 2) = 'bc'",
      texts.substr),
    F("STRPOS POSITION", "text; text", "whole number",
      "place of the second text in the first in characters, from 1; 0 where it is not there",
      "STRPOS('éab', 'b') = 3", texts.strpos),
    F("STARTS_WITH", "text; text", "true/false",
      "the first text begins with the second", "STARTS_WITH('abc', 'ab')", texts.starts_with),
    F("ENDS_WITH", "text; text", "true/false",
      "the first text ends with the second", "ENDS_WITH('abc', 'bc')", texts.ends_with),
    F("CONTAINS", "text; text", "true/false",
      "the second text stands in the first", "CONTAINS('abc', 'b')", texts.contains),
    F("REPLACE", "text; '…'; '…'", "text",
      "every occurrence of the second replaced by the third", "REPLACE('a-b', '-', ' ') = 'a b'",
      texts.replace),
    F("REVERSE", "text", "text", "backwards", "REVERSE('abc') = 'cba'", texts.reverse),
    F("SPLIT_PART", "text; '…'; whole number", "text",
      "a part between separators, counted from 1, or from the end if negative; empty where "
      "there is none", "SPLIT_PART('a/b/c', '/', 2) = 'b'", texts.split_part),
    F("CONCAT", "any; …", "text",
      "all of them, nulls left out (`a || b` is null where one is)", "CONCAT('a', NULL, 1) = 'a1'",
      texts.concat),
    F("CONCAT_WS", "'…'; any; …", "text",
      "all of them with a separator, nulls left out", "CONCAT_WS('-', 'a', NULL, 'b') = 'a-b'",
      texts.concat_ws),
    F("||", "any; any", "text",
      "one after the other, written between them; null where one is", "'a' || 1 = 'a1'",
      texts.joined),
    F("REGEXP_LIKE", "text; '…'; ['…']", "true/false",
      "a regular expression (Rust's) is found (`~`, and `~*` ignoring case); flags such as 'i'",
      "REGEXP_LIKE('abc', '^A', 'i')", texts.regexp_like),
    F("REGEXP_REPLACE", "text; '…'; '…'", "text",
      "what a regular expression finds replaced; `$1` is the first group",
      "REGEXP_REPLACE('a1b2', '[0-9]', '') = 'ab'", texts.regexp_replace),
    F("NORMALIZE", "text; ['…']", "text",
      "Unicode form: NFC, NFD, NFKC or NFKD", "NORMALIZE('ﬁ', NFKC) = 'fi'", texts.normalize),
    F("DATE_PART", "'…'; date, timestamp or duration", "number",
      "`EXTRACT(year FROM d)`: year, month, day, hour, minute, second, week, quarter, dow "
      "(Sunday is 0), isodow, doy, epoch (seconds)", "EXTRACT(year FROM DATE '2024-03-01') = 2024",
      dates.date_part),
    F("STRFTIME", "date or timestamp; '…'", "text",
      "written by a format such as '%Y-%m'", "STRFTIME(DATE '2024-03-01', '%Y-%m') = '2024-03'",
      dates.strftime),
    F("STRPTIME", "text; '…'", "timestamp",
      "read by a format; null where the text does not fit",
      "STRPTIME('01.03.2024', '%d.%m.%Y') = TIMESTAMP '2024-03-01 00:00:00'", dates.strptime),
    F("DATE", "text, date or timestamp; ['…']", "date",
      "the day; of a text as 2024-03-01, or read by a format", "DATE('2024-03-01') > '2024-02-29'",
      dates.date),
    F("ARRAY_LENGTH", "list", "whole number",
      "elements", "COALESCE(ARRAY_LENGTH(NULL), 0) = 0", lists.length),
    F("ARRAY_CONTAINS", "list; any", "true/false",
      "one element is equal", "ARRAY_CONTAINS(NULL, 'a') IS NULL", lists.contains),
    F("ARRAY_GET", "list; whole number", "as the elements",
      "an element, counted from 1 (`tags[1]`), or from the end if negative; null where there "
      "is none", "ARRAY_GET(NULL, 1) IS NULL", lists.get),
    F("ARRAY_MIN", "list", "as the elements",
      "the smallest element", "ARRAY_MIN(NULL) IS NULL", lists.smallest),
    F("ARRAY_MAX", "list", "as the elements",
      "the largest element", "ARRAY_MAX(NULL) IS NULL", lists.largest),
    F("ARRAY_SUM", "list", "number", "sum of the elements", "ARRAY_SUM(NULL) IS NULL", lists.total),
    F("ARRAY_MEAN", "list", "float",
      "mean of the elements", "ARRAY_MEAN(NULL) IS NULL", lists.mean),
    F("ARRAY_TO_STRING", "list; '…'", "text",
      "the elements with a separator", "ARRAY_TO_STRING(NULL, '-') IS NULL", lists.joined),
)  # fmt: skip
BY_NAME = {name: f for f in FUNCTIONS for name in f.names.split()}


def call(steps: Steps, name: str, values: Sequence[Value], shown: str) -> Value:
    """A function's answer; raises BadExpression where it is none of ours, or takes others."""
    function = BY_NAME.get(name.upper())
    if function is None:
        raise BadExpression(unknown_function(name.upper(), shown))
    kinds = function.kinds(len(values))
    usage = f"{function.name}({function.takes.replace(';', ',')})"
    if kinds is None:
        raise BadExpression(f"{shown} gives {function.name} {len(values)} arguments; it is {usage}")
    values = [
        typed_null(NULLS[k]) if v.kind == NULL and k in NULLS else v
        for k, v in zip(kinds, values, strict=True)
    ]
    for place, (kind, value) in enumerate(zip(kinds, values, strict=True), 1):
        if kind == "'…'":
            if value.kind != TEXT or not value.is_constant:
                raise BadExpression(
                    f"{shown}: argument {place} has to be a text in quotes; {usage}"
                )
            continue
        if kind != ANY and value.kind not in (*ACCEPTS[kind], NULL):
            raise BadExpression(f"{shown}: argument {place} is {named(value)}; it is {usage}")
        if kind == WHOLE and value.kind == NUMBER and not value.whole:
            raise BadExpression(f"{shown}: argument {place} is no whole number; it is {usage}")
    if any(kind == LIST and value.kind == NULL for kind, value in zip(kinds, values, strict=True)):
        return null()
    if kinds[:1] == [TEXT] and values[0].is_constant and not all_constant(values):
        # one text beside a column: some of Polars' functions answer null for rows that have one
        values[0] = replace(values[0], expr=steps.column(values[0].expr), constant=VARIABLE)
    return function.build(steps, *values)


def all_constant(values: Sequence[Value]) -> bool:
    """Whether all values stand in the expression itself, and none comes from a column."""
    return all(v.is_constant for v in values)


def unknown_function(name: str, shown: str) -> str:
    """The message for a function that is not on the list: it looks at other rows, or the nearest
    name that is on it.
    """
    kind = exp.FUNCTION_BY_NAME.get(name)
    if (kind is not None and issubclass(kind, exp.AggFunc)) or name in WINDOWS:
        return f"{shown} looks at other rows; a gate sees one row at a time"
    if name in ELSEWHERE:
        return f"there is no function {name}; write {ELSEWHERE[name]}"
    near = difflib.get_close_matches(name, BY_NAME, 1)
    return f"there is no function {name}; " + (
        f"did you mean {near[0]}?" if near else "docs/expressions.md lists those there are"
    )


ELSEWHERE = {
    "LEN": "LENGTH(text)",
    "SIZE": "LENGTH(text), or ARRAY_LENGTH(list)",
    "ISNULL": "x IS NULL",
    "ISNAN": "x IS NULL: what is no number is null",
    "CONTAINS": "text LIKE '%part%'",
    "REGEXP_MATCHES": "text ~ 'pattern'",
    "RAND": "`- stage: sample` before it, and compare its column `sample`",
    "RANDOM": "`- stage: sample` before it, and compare its column `sample`",
    "NOW": "a date in quotes: a gate gives the same on any day",
    "CURRENT_DATE": "a date in quotes: a gate gives the same on any day",
}
"""Functions that people know from elsewhere, and what does the same here."""
WINDOWS = {
    "ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE", "LAG", "LEAD",
    "FIRST", "LAST", "FIRST_VALUE", "LAST_VALUE", "NTH_VALUE", "QUANTILE_CONT", "QUANTILE_DISC",
    "UNNEST",
    "EXPLODE", "CORR", "COVAR", "COVAR_SAMP", "STDDEV", "VARIANCE", "MEDIAN", "QUANTILE", "MODE",
}  # fmt: skip
"""Names that mean other rows elsewhere; they only choose the message: nothing unlisted passes."""
