"""What a pipeline file may hold, looked at before it is built: tags, depth, size.

The text is a stranger's as well as one's own: none costs more than a moment.
"""

import re

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from pairmill.errors import PipelineFileError, Problem

LONGEST = 1_000_000
"""Characters of a pipeline file."""
DEEPEST = 60
"""Levels of lists and maps."""
MOST_VALUES = 20_000
"""Keys and values of a file, after aliases are put in, too."""

BRACKETS = re.compile(rf"(?:[\[{{][ \n]?){{{DEEPEST + 1}}}")
"""Told at once, because YAML's own scanner looks far ahead after each of them."""
PLAIN_TAGS = {"!!str", "!!map", "!!seq", "!"}
OPENS = {
    "BlockSequenceStartToken", "BlockMappingStartToken", "FlowSequenceStartToken",
    "FlowMappingStartToken",
}  # fmt: skip
CLOSES = {"BlockEndToken", "FlowSequenceEndToken", "FlowMappingEndToken"}


def check_text(text: str, file: str) -> None:
    """Raises PipelineFileError, with the place, for what no pipeline file holds."""
    if len(text) > LONGEST:
        raise at(
            0, 0, f"has {len(text):,} characters; a pipeline file has at most {LONGEST:,}", file
        )
    if run := BRACKETS.search(text):
        raise at(*place_of(text, run.start()), TOO_DEEP, file)
    depth = values = 0
    try:
        for token in YAML(typ="rt").scan(text):
            kind = type(token).__name__
            depth += (kind in OPENS) - (kind in CLOSES)
            values += kind == "ScalarToken"
            mark = token.start_mark
            if values > MOST_VALUES:
                raise at(
                    mark.line + 1, mark.column + 1, f"has more than {MOST_VALUES:,} values", file
                )
            if depth > DEEPEST:
                raise at(mark.line + 1, mark.column + 1, TOO_DEEP, file)
            if kind == "TagToken" and (tag := tag_of(token.value)) not in PLAIN_TAGS:
                message = (
                    f"the tag {tag!r} means nothing here; a pipeline file holds texts, numbers, "
                    "lists and maps: take it away"
                )
                raise at(mark.line + 1, mark.column + 1, message, file)
    except YAMLError as error:
        raise told(error, text, file) from None


TOO_DEEP = f"lists and maps lie deeper than {DEEPEST} levels; a pipeline file needs fewer than ten"


def tag_of(value: object) -> str:
    """A tag as it is written: `!!python/name:x`."""
    if isinstance(value, tuple):
        return "".join(part or "" for part in value)
    return str(value)


def told(error: YAMLError, text: str, file: str) -> PipelineFileError:
    """A fault of ruamel.yaml with its place."""
    if isinstance(error, ReaderError):
        what = (
            f"holds the character {error.character!r}, which no text has; is this a pipeline file?"
        )
        return at(*place_of(text, error.position), what, file)
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = " ".join(str(error.problem or error.context or "no YAML").split())
        return at(line, column, what, file)
    return at(1, 1, " ".join(str(error).split()) or "no YAML", file)


def place_of(text: str, position: int) -> tuple[int, int]:
    """(line, column) from 1 of a character."""
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


def at(line: int, column: int, message: str, file: str) -> PipelineFileError:
    """The error of one fault at a line and column, both from 1, 0 for none."""
    return PipelineFileError([Problem(line, column, message, file)])
