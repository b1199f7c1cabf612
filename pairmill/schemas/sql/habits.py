"""What people write by habit from elsewhere, and what to write instead."""

import re
from collections.abc import Sequence

from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

HABITS = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (r"&&", "write AND in place of &&"),
        (r"(?<!&)&(?!&)", "write AND in place of &"),
        (r"\|\|", "write OR in place of ||"),
        (r"(?<!\|)\|(?!\|)", "write OR in place of |"),
        (r"\bXOR\b", "for true/false write a <> b in place of a XOR b"),
        (r"//", "write DIV(a, b) in place of a // b"),
        (r"=>", "write >= in place of =>"),
        (r"=<", "write <= in place of =<"),
        (r"=~|!~(?!~)", "write text ~ 'pattern', or NOT text ~ 'pattern'"),
        (r"===", "write = in place of ==="),
        (r"\s(?:gt|lt|gte|lte|ge|le|eq|ne)\s", "write >, <, >=, <=, = or <>"),
        (r"\s(?:contains|matches|startswith|endswith)\s", "write LIKE '%part%', or ~ 'pattern'"),
        (r"[‘’“”]", "texts stand in straight single quotes: 'en'"),
        (r"`", "names of columns stand without quotes"),
        (r"[${]\s*\w", "names of columns stand without signs around them"),
        (r"\bNOT\s+IS\b", "write IS NOT"),
        (r"\.\w+\s*\(", "write FUNCTION(column) in place of column.function()"),
        (r"\d_\d", "numbers have no underscores: 1000"),
        (r"\d,\d", "numbers have a decimal point: 2.5"),
        (r"\slambda\s|^lambda\s", "an expression is SQL; rules in Python are a stage of your own"),
        (r"\sif\s", "write CASE WHEN a THEN b ELSE c END"),
        (r"\s#|^#", "an expression has no comments; YAML's begin with # after a space"),
        (r"\bBETWEEN\b(?!.*\bAND\b)", "write BETWEEN 2 AND 4"),
        (r"\bI?LIKE\s+[^'\s(]*%", "a pattern stands in single quotes: LIKE '%part%'"),
        (r"''\s+''", "two texts stand side by side; put a comma or || between them"),
        (
            r"@\w|(?<![:\w]):[A-Za-z]",
            "there are no parameters: write the value, or ${NAME} of a variable",
        ),
    )
)


def hint(text: str) -> str:
    """What to write instead, where the text shows a habit of other languages."""
    bare = re.sub(r"'[^']*'", "''", text)
    return "".join(f"; {advice}" for pattern, advice in HABITS if pattern.search(bare))


def reason(error: SqlglotError, text: str) -> str:
    """Why a text cannot be read as an expression, in the words of people."""
    if not isinstance(error, ParseError) or not error.errors:
        return "a quote is not closed (YAML ends a value without quotes at a # after a space)"
    found = error.errors[0]
    what, place = str(found.get("description") or ""), str(found.get("highlight") or "")
    if what.startswith("Expecting )"):
        return "a parenthesis is not closed"
    if what.startswith("Expecting"):
        return f"{what.split('.')[0].replace('Expecting', 'it lacks')} at {place!r}"
    if what.startswith("Required keyword"):
        return f"something is missing beside {place!r}"
    return f"{place!r} (character {found.get('col') or len(text)}) is not expected there"


NO_VALUE = ("nan", "none", "nil")
"""What no value is called elsewhere; here it is NULL, also that of a number that is none."""
INFINITE = ("inf", "infinity")


def nothing_between(node: exp.Expr) -> str:
    """`size > two hundred`: a name behind a value, which SQL takes for another name of it."""
    if not isinstance(node, exp.Alias):
        return ""
    return (
        f"; nothing stands before {node.alias!r}: join comparisons by AND or OR, and put texts in "
        "single quotes"
    )


def quoting(node: exp.Expr) -> str:
    """`lang IN (en, de)` and `lang = en` mean texts, `score = NaN` no value."""
    if curly := set(node.name) & set("‘’“”"):
        return f"; texts stand in straight single quotes, not in {min(curly)}"
    number = node.name.replace(".", "", 1).isdecimal()
    if number and node.this.quoted:
        return f"; double quotes mean a column; if a number is meant, take them away: {node.name}"
    tests = (exp.In, exp.EQ, exp.NEQ, exp.Like, exp.ILike)
    order = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)
    parent = node.parent
    if isinstance(parent, tests + order) and node is not parent.this and not node.this.quoted:
        if node.name.lower() in NO_VALUE:
            left = parent.this.sql()
            return f"; no value is NULL here, NaN too: write {left} IS NULL, or IS NOT NULL"
        if isinstance(parent, order) and node.name.lower() not in INFINITE:
            return f"; if a text is meant, put it in single quotes: '{node.name}'"
    if isinstance(parent, tests) and (node is not parent.this or node.this.quoted):
        return f"; if a text is meant, put it in single quotes: '{node.name}'"
    return ""


def unlike(sides: Sequence[tuple[exp.Expr, str]], text: str) -> str:
    """What to write where two kinds are compared: a number in quotes, a column of texts beside a
    number, true and false as texts.  `sides`: what is compared, and its kind.
    """
    if said := hint(text):
        return said
    for (node, kind), (other, other_kind) in (sides, (*reversed(sides),)):
        quoted = isinstance(node, exp.Literal) and node.is_string
        if quoted and other_kind == "number":
            if node.name.strip().removeprefix("-").replace(".", "", 1).isdecimal():
                return f"; take the quotes of {node.sql()} away"
            return f"; write a number in place of {node.sql()}"
        if quoted and other_kind == "true/false":
            return f"; write {other.sql()}, or NOT {other.sql()}"
        if kind == "text" and isinstance(node, exp.Column) and other_kind == "number":
            name = node.sql()
            return f"; write CAST({name} AS DOUBLE), LENGTH({name}), or '{other.sql()}'"
    return ""
