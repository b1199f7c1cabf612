"""docs/expressions.md: what an expression may hold, made of the lists that decide it."""

from importlib.resources import files

from pairmill.schemas.sql.casts import NAMES
from pairmill.schemas.sql.dates import PARTS
from pairmill.schemas.sql.functions import FUNCTIONS
from pairmill.schemas.sql.parsing import LONGEST

HEAD = files(__package__).joinpath("expressions.md")
"""What stands above the table of functions."""


def expression_page() -> str:
    """The page of expressions in Markdown: syntax, types, and a row for each function with its
    example.
    """
    types = ", ".join(f"`{name}`" for name in NAMES)
    head = HEAD.read_text("utf-8").format(longest=LONGEST, parts=", ".join(PARTS), types=types)
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
