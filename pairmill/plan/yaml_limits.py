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
        raise fault_of(error, text, file) from None


TOO_DEEP = f"lists and maps lie deeper than {DEEPEST} levels; a pipeline file needs fewer than ten"


def tag_of(value: object) -> str:
    """A tag as it is written: `!!python/name:x`."""
    if isinstance(value, tuple):
        return "".join(part or "" for part in value)
    return str(value)


def fault_of(error: YAMLError, text: str, file: str) -> PipelineFileError:
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
        if "unexpected end of stream" in what and error.context_mark:
            line, column = error.context_mark.line + 1, error.context_mark.column + 1
        lines = text.splitlines()
        if variable := BRACED.search("".join(lines[line - 1 : line])):
            what = f"{variable[0]} between brackets is read as a map; {QUOTE}"
            return at(line, variable.start() + 1, what, file)
        start = error.context_mark
        if "expected ':'" in what and start and KEY.fullmatch(lines[start.line].split(" #")[0]):
            key = lines[start.line].split(" #")[0].strip()
            return at(start.line + 1, start.column + 1, f"write `{key}:`, with a colon", file)
        if what.startswith(UNCLEAR) and (cause := layout_fault(lines, line)):
            return at(*cause, file)
        return at(line, column, in_words(what), file)
    return at(1, 1, " ".join(str(error).split()) or "no YAML", file)


BRACED = re.compile(r"(?<=[\s,:\[{])\$\{\w+(:-[^}]*)?\}")
"""A variable that begins a value without quotes."""
UNCLEAR = ("mapping values are not", "expected <block end>", "could not find", "did not find")
"""How YAML parsers call a line's fault that lies before it, or in how far in it stands."""
KEY = re.compile(r"\s*[a-z_]+\s*")
ITEM = re.compile(r"^( *)- ")
BARE = re.compile(r"^ *(- +)?[a-z_]+(:\S| [a-z_]+$)")


def layout_fault(lines: list[str], line: int) -> tuple[int, int, str] | None:
    """(line, column, what is wrong) of the line that a parser names, or the last one before it that
    holds anything: a key without a colon, or without the space behind it; a dash that does not
    stand below those before it.
    """
    near = [n for n in range(min(line, len(lines)), 0, -1) if lines[n - 1].strip()][:2]
    for n in near:
        bare = lines[n - 1].split(" #")[0].rstrip()
        if match := BARE.match(bare):
            key, _, value = bare.strip().removeprefix("- ").replace(":", " ", 1).partition(" ")
            return (
                n,
                match.start(2) + 1,
                f"write `{key}: {value.strip()}`, with a colon and a space",
            )
        item = ITEM.match(bare)
        dashes = [len(m[1]) for one in lines[: n - 1] if (m := ITEM.match(one))]
        if item and dashes and len(item[1]) not in dashes:
            where = f"write it {dashes[-1]} spaces in, not {len(item[1])}"
            return n, len(item[1]) + 1, f"this dash is not indented like those before it: {where}"
    return None


QUOTE = "put the whole value in double quotes"
WORDS = (
    (r"character '\\t'", "a tab stands here; YAML is indented with spaces"),
    (r"character '([%@`])'", rf"a value cannot begin with \1; {QUOTE}"),
    (r"mapping values are not allowed", f"a colon within a value, or a line too far in; {QUOTE}, "
     "or put a space behind the key's colon"),
    (r"expected alphabetic or numeric", rf"a value cannot begin with * or &; {QUOTE}"),
    (r"undefined alias '(.*)'", rf"*\1 means a value that is marked &\1, and none is; {QUOTE}"),
    (r"unexpected end of stream", "the quote that begins here is not closed"),
    (r"duplicate key \"(.*?)\"", r"the key \1 stands here a second time; take one of them away"),
    (r"expected <block end>|did not find expected", "this line is not indented like those before "
     "it; keys of one map, and dashes of one list, begin in one column"),
    (r"expected ',' or '([\]}])'", r"a bracket is not closed: \1 is missing"),
    (r"another document", "a second document begins (---); a pipeline file holds one"),
    (r"expected '<document start>'", "this is no key with a colon; is it a pipeline file?"),
    (r"comment or a line break", f"text behind a closed bracket or quote; {QUOTE}"),
)  # fmt: skip
"""What ruamel.yaml says, and what is wrong."""


def in_words(problem: str) -> str:
    """A fault of YAML in words that say what to do."""
    for pattern, words in WORDS:
        if match := re.search(pattern, problem):
            return match.expand(words)
    return problem


def place_of(text: str, position: int) -> tuple[int, int]:
    """(line, column) from 1 of a character."""
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


def at(line: int, column: int, message: str, file: str) -> PipelineFileError:
    """The error of one fault at a line and column, both from 1, 0 for none."""
    return PipelineFileError([Problem(line, column, message, file)])
