"""Random gates, each in two spellings: ours, and DuckDB's with our rules written out.

Our rules: NaN is null from the column on; integers are 64 bits wide, and 128 beside a UInt64
column; what overflows, is not finite or divides by zero is null; Float32 stays Float32 beside
Float32 and literals.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

INT, WIDE, SINGLE, DOUBLE, TEXT, FLAG = "int", "wide", "single", "double", "text", "flag"
NUMBERS = (INT, WIDE, SINGLE, DOUBLE)

NAN, INF = float("nan"), float("inf")
VALUES: dict[str, tuple[pl.DataType, list[object]]] = {
    "i8": (pl.Int8(), [None, -128, 127, 0, 1, -1, 5, -7]),
    "u8": (pl.UInt8(), [None, 0, 255, 1, 3, 10]),
    "i32": (pl.Int32(), [None, -(2**31), 2**31 - 1, 0, 3, -3, 640, 480]),
    "u32": (pl.UInt32(), [None, 0, 2**32 - 1, 1, 12]),
    "i64": (pl.Int64(), [None, -(2**63), 2**63 - 1, 0, 1, -1, 2**53 + 1, 17, -4]),
    "u64": (pl.UInt64(), [None, 0, 2**64 - 1, 2**63, 1, 6]),
    "f32": (pl.Float32(), [None, NAN, INF, -INF, 0.0, 0.3, -1.5, 3.4e38, 1e-30, 2.0]),
    "f64": (pl.Float64(), [None, NAN, INF, -INF, 0.0, -0.0, 0.3, 1e308, -1e308, 5e-324, 2.5, -7.0]),
    "t": (pl.String(), [None, "", "a", "abc", "añb", "12", "-7", "99999999999999999999", "x%y", "A_b"]),
    "s": (pl.String(), [None, "", "b", "abc", "é", "a", "nan", "inf", "0.5"]),
    "b": (pl.Boolean(), [None, True, False]),
}  # fmt: skip
KINDS = {
    **dict.fromkeys(("i8", "u8", "i32", "u32", "i64"), INT), "u64": WIDE, "f32": SINGLE,
    "f64": DOUBLE, "t": TEXT, "s": TEXT, "b": FLAG,
}  # fmt: skip


def rows(chance: random.Random, count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {n: pl.Series(chance.choices(v, k=count), dtype=d) for n, (d, v) in VALUES.items()}
    )


@dataclass
class Both:
    """One expression in our spelling and in DuckDB's."""

    ours: str
    duck: str
    kind: str
    literal: bool = False

    def as_(self, kind: str) -> str:
        types = {INT: "BIGINT", WIDE: "HUGEINT", SINGLE: "REAL", DOUBLE: "DOUBLE"}
        return f"CAST({self.duck} AS {types[kind]})"


def joint(a: Both, b: Both) -> str:
    """The kind in which two numbers meet."""
    kinds = {a.kind, b.kind}
    if kinds <= {INT, WIDE}:
        return WIDE if WIDE in kinds else INT
    single = all(x.kind == SINGLE or x.literal for x in (a, b)) and SINGLE in kinds
    return SINGLE if single else DOUBLE


def finite(result: str, *operands: str) -> str:
    endless = " OR ".join(f"isinf({o})" for o in operands)
    return f"(CASE WHEN isnan({result}) OR (isinf({result}) AND NOT ({endless})) THEN NULL ELSE {result} END)"


class Gates:
    """Draws expressions of a kind from a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def of(self, kind: str, depth: int) -> Both:
        return {FLAG: self.flag, TEXT: self.text}.get(kind, self.number)(depth)

    def column(self, *kinds: str) -> Both:
        name = self.chance.choice([n for n, k in KINDS.items() if k in kinds])
        duck = f"(CASE WHEN isnan({name}) THEN NULL ELSE {name} END)" if name[0] == "f" else name
        return Both(name, duck, KINDS[name])

    def number(self, depth: int) -> Both:
        if depth <= 0:
            if self.chance.random() < 0.6:
                return self.column(*NUMBERS)
            if self.chance.random() < 0.5:
                n = self.chance.choice([0, 1, 2, 3, 10, 100, 2**31, 2**62, 2**63 - 1])
                # an integer that a Float32 cannot hold makes the comparison one of doubles
                return Both(str(n), f"CAST({n} AS BIGINT)", INT, n <= 2**24)
            x = self.chance.choice(["0.3", "0.0", "1.5", "2.0", "0.1"])
            return Both(x, f"CAST({x} AS DOUBLE)", DOUBLE, True)
        draw = self.chance.choice(
            [self.sum, self.sum, self.division, self.modulo, self.function, self.choice, self.cast]
        )
        return draw(depth - 1)

    def sum(self, depth: int) -> Both:
        a, b, op = self.number(depth), self.number(depth), self.chance.choice("+-*")
        kind = joint(a, b)
        ours = f"({a.ours} {op} {b.ours})"
        if kind in (INT, WIDE):
            exact = f"TRY({a.as_(WIDE)} {op} {b.as_(WIDE)})"
            return Both(ours, exact if kind == WIDE else f"TRY_CAST({exact} AS BIGINT)", kind)
        left, right = a.as_(kind), b.as_(kind)
        return Both(ours, finite(f"({left} {op} {right})", left, right), kind)

    def division(self, depth: int) -> Both:
        a, b = self.number(depth), self.number(depth)
        kind = DOUBLE if joint(a, b) != SINGLE else SINGLE
        left, right = a.as_(kind), f"NULLIF({b.as_(kind)}, 0)"
        return Both(f"({a.ours} / {b.ours})", finite(f"({left} / {right})", left, right), kind)

    def modulo(self, depth: int) -> Both:
        a, b, op = self.number(depth), self.number(depth), self.chance.choice(["%", "MOD", "DIV"])
        kind = joint(a, b)
        ours = f"({a.ours} % {b.ours})" if op == "%" else f"{op}({a.ours}, {b.ours})"
        if kind in (INT, WIDE):
            sign = "//" if op == "DIV" else "%"
            exact = f"TRY({a.as_(WIDE)} {sign} NULLIF({b.as_(WIDE)}, 0))"
            return Both(ours, exact if kind == WIDE else f"TRY_CAST({exact} AS BIGINT)", kind)
        if op == "DIV":
            left, right = a.as_(kind), f"NULLIF({b.as_(kind)}, 0)"
            return Both(ours, f"trunc({finite(f'({left} / {right})', left, right)})", kind)
        left, right = a.as_(DOUBLE), f"NULLIF({b.as_(DOUBLE)}, 0)"
        return Both(ours, finite(f"({left} % {right})", left), DOUBLE)

    def function(self, depth: int) -> Both:
        name = self.chance.choice(
            ["ABS", "SIGN", "FLOOR", "CEIL", "TRUNC", "SQRT", "LENGTH", "STRPOS", "-", "POWER"]
        )
        if name == "LENGTH":
            t = self.text(depth)
            return Both(f"LENGTH({t.ours})", f"CAST(length({t.duck}) AS BIGINT)", INT)
        if name == "STRPOS":
            t, s = self.text(depth), self.text(depth)
            return Both(
                f"STRPOS({t.ours}, {s.ours})", f"CAST(strpos({t.duck}, {s.duck}) AS BIGINT)", INT
            )
        a = self.number(depth)
        if name == "POWER":
            duck = f"TRY(pow({a.as_(DOUBLE)}, 2.0::DOUBLE))"
            return Both(f"POWER({a.ours}, 2)", finite(duck, a.as_(DOUBLE)), DOUBLE)
        if name == "-":
            if a.kind in (INT, WIDE):
                exact = f"TRY(CAST(0 AS HUGEINT) - {a.as_(WIDE)})"
                return Both(
                    f"(- {a.ours})",
                    exact if a.kind == WIDE else f"TRY_CAST({exact} AS BIGINT)",
                    a.kind,
                )
            return Both(f"(- {a.ours})", f"(- {a.duck})", a.kind)
        if name == "SQRT":
            x = a.as_(DOUBLE)
            return Both(f"SQRT({a.ours})", f"(CASE WHEN {x} >= 0 THEN sqrt({x}) END)", DOUBLE)
        if name == "SIGN":
            return Both(
                f"SIGN({a.ours})",
                f"CAST(sign({a.duck}) AS BIGINT)",
                INT if a.kind in (INT, WIDE) else DOUBLE,
            )
        if a.kind in (INT, WIDE):
            if name != "ABS":
                return Both(f"{name}({a.ours})", a.duck, a.kind)
            exact = f"abs({a.as_(WIDE)})"
            return Both(
                f"ABS({a.ours})",
                exact if a.kind == WIDE else f"TRY_CAST({exact} AS BIGINT)",
                a.kind,
            )
        return Both(f"{name}({a.ours})", f"{name.lower()}({a.duck})", a.kind)

    def choice(self, depth: int) -> Both:
        a, b = self.number(depth), self.number(depth)
        kind = joint(a, b)
        left, right = a.as_(kind), b.as_(kind)
        name = self.chance.choice(["COALESCE", "NULLIF", "GREATEST", "LEAST", "IF", "CASE"])
        if name == "NULLIF":
            back = a.kind
            return Both(
                f"NULLIF({a.ours}, {b.ours})",
                f"(CASE WHEN {left} = {right} THEN NULL ELSE {a.as_(back)} END)",
                back,
            )
        if name in ("IF", "CASE"):
            c = self.flag(depth)
            ours = (
                f"IF({c.ours}, {a.ours}, {b.ours})"
                if name == "IF"
                else f"CASE WHEN {c.ours} THEN {a.ours} ELSE {b.ours} END"
            )
            return Both(ours, f"(CASE WHEN {c.duck} THEN {left} ELSE {right} END)", kind)
        return Both(f"{name}({a.ours}, {b.ours})", f"{name.lower()}({left}, {right})", kind)

    def cast(self, depth: int) -> Both:
        if self.chance.random() < 0.3:
            t = self.text(depth)
            digits = (
                f"(CASE WHEN regexp_full_match(trim({t.duck}), '[-+]?[0-9]+') THEN {t.duck} END)"
            )
            return Both(f"CAST({t.ours} AS BIGINT)", f"TRY_CAST({digits} AS BIGINT)", INT)
        a = self.number(depth)
        name = self.chance.choice(["TINYINT", "INTEGER", "BIGINT", "DOUBLE"])
        word = self.chance.choice(["CAST", "TRY_CAST"])
        if name == "DOUBLE":
            return Both(f"{word}({a.ours} AS DOUBLE)", a.as_(DOUBLE), DOUBLE)
        source = a.duck if a.kind in (INT, WIDE) else f"trunc({a.as_(DOUBLE)})"
        return Both(
            f"{word}({a.ours} AS {name})", f"CAST(TRY_CAST({source} AS {name}) AS BIGINT)", INT
        )

    def text(self, depth: int) -> Both:
        if depth <= 0:
            if self.chance.random() < 0.7:
                return self.column(TEXT)
            word = self.chance.choice(["", "a", "b", "abc", "é"])
            return Both(f"'{word}'", f"'{word}'", TEXT)
        a, b, n = self.text(depth - 1), self.text(depth - 1), self.chance.randint(0, 4)
        spellings: list[Callable[[], tuple[str, str]]] = [
            lambda: (f"UPPER({a.ours})", f"upper({a.duck})"),
            lambda: (f"REVERSE({a.ours})", f"reverse({a.duck})"),
            lambda: (f"LEFT({a.ours}, {n})", f"left({a.duck}, {n})"),
            lambda: (f"RIGHT({a.ours}, {n})", f"right({a.duck}, {n})"),
            lambda: (f"SUBSTR({a.ours}, {n + 1}, 2)", f"substr({a.duck}, {n + 1}, 2)"),
            lambda: (f"({a.ours} || {b.ours})", f"({a.duck} || {b.duck})"),
            lambda: (f"CONCAT({a.ours}, {b.ours})", f"concat({a.duck}, {b.duck})"),
            lambda: (f"COALESCE({a.ours}, {b.ours})", f"coalesce({a.duck}, {b.duck})"),
            lambda: (f"NULLIF({a.ours}, {b.ours})", f"nullif({a.duck}, {b.duck})"),
            lambda: (f"REPLACE({a.ours}, 'a', 'bb')", f"replace({a.duck}, 'a', 'bb')"),
            lambda: (f"SPLIT_PART({a.ours}, 'b', 2)", f"split_part({a.duck}, 'b', 2)"),
            lambda: (f"GREATEST({a.ours}, {b.ours})", f"greatest({a.duck}, {b.duck})"),
        ]  # fmt: skip
        ours, duck = self.chance.choice(spellings)()
        return Both(ours, duck, TEXT)

    def flag(self, depth: int) -> Both:
        if depth <= 0:
            return self.column(FLAG) if self.chance.random() < 0.3 else self.comparison(0)
        draw = self.chance.random()
        if draw < 0.3:
            a, b = self.flag(depth - 1), self.flag(depth - 1)
            op = self.chance.choice(["AND", "OR"])
            return Both(f"({a.ours} {op} {b.ours})", f"({a.duck} {op} {b.duck})", FLAG)
        if draw < 0.4:
            a = self.flag(depth - 1)
            return Both(f"NOT ({a.ours})", f"(NOT ({a.duck}))", FLAG)
        if draw < 0.5:
            a, what = (
                self.flag(depth - 1),
                self.chance.choice(["TRUE", "FALSE", "NULL", "NOT TRUE"]),
            )
            return Both(f"(({a.ours}) IS {what})", f"(({a.duck}) IS {what})", FLAG)
        if draw < 0.55:
            a, b = self.flag(depth - 1), self.flag(depth - 1)
            return Both(f"COALESCE({a.ours}, {b.ours})", f"coalesce({a.duck}, {b.duck})", FLAG)
        if draw < 0.75:
            return self.test_of_text(depth - 1)
        return self.comparison(depth - 1)

    def test_of_text(self, depth: int) -> Both:
        a, b = self.text(depth), self.text(depth)
        pattern = self.chance.choice(["a%", "%b", "_", "%\\%%", "%a_%", "ABC", "%"])
        spellings = [
            (f"{a.ours} LIKE '{pattern}'", f"{a.duck} LIKE '{pattern}'"),
            (f"{a.ours} NOT ILIKE '{pattern}'", f"{a.duck} NOT ILIKE '{pattern}'"),
            (f"STARTS_WITH({a.ours}, {b.ours})", f"starts_with({a.duck}, {b.duck})"),
            (f"CONTAINS({a.ours}, {b.ours})", f"contains({a.duck}, {b.duck})"),
            (f"{a.ours} IN ('a', 'abc', NULL)", f"{a.duck} IN ('a', 'abc', NULL)"),
            (f"{a.ours} NOT IN ('a', {b.ours})", f"{a.duck} NOT IN ('a', {b.duck})"),
            (f"{a.ours} ~ '^[a-c]+$'", f"regexp_matches({a.duck}, '^[a-c]+$')"),
            (f"{a.ours} < {b.ours}", f"{a.duck} < {b.duck}"),
            (f"{a.ours} IS NULL", f"{a.duck} IS NULL"),
        ]  # fmt: skip
        ours, duck = self.chance.choice(spellings)
        return Both(f"({ours})", f"({duck})", FLAG)

    def comparison(self, depth: int) -> Both:
        a, b = self.number(depth), self.number(depth)
        draw = self.chance.random()
        if draw < 0.1:
            return Both(f"({a.ours} IS NULL)", f"({a.duck} IS NULL)", FLAG)
        kind = joint(a, b)
        left, right = a.as_(kind), b.as_(kind)
        if draw < 0.2:
            c = self.number(0)
            other = joint(a, c)
            duck = f"({left} >= {right} AND {a.as_(other)} <= {c.as_(other)})"
            return Both(f"({a.ours} BETWEEN {b.ours} AND {c.ours})", duck, FLAG)
        if draw < 0.3:
            word = self.chance.choice(["IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
            return Both(f"({a.ours} {word} {b.ours})", f"({left} {word} {right})", FLAG)
        op = self.chance.choice(["<", "<=", ">", ">=", "=", "<>"])
        return Both(f"({a.ours} {op} {b.ours})", f"({left} {op} {right})", FLAG)
