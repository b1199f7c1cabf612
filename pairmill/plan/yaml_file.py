"""A pipeline file as plain data, the place of each value, environment variables filled in."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import ScalarString

from pairmill.errors import PipelineFileError, Problem
from pairmill.plan.document import Document, Path_, Secrets, typed
from pairmill.plan.overrides import override
from pairmill.plan.yaml_limits import MOST_VALUES, check_text, fault_of
from pairmill.redaction import REDACTOR

VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^}$]|\$(?!\{))*))?\}")


def read_document(
    path: str | Path,
    overrides: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Document:
    """Reads YAML 1.2; raises PipelineFileError where the text is no YAML or no map.  `variables`
    stand before those of the environment.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        if isinstance(error, FileNotFoundError):
            near = spelled_like(path)
            what += f"; did you mean {near}?" if near else "; `pairmill init` writes a first one"
        raise PipelineFileError([Problem(0, 0, what, str(path))]) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        byte = error.object[error.start]
        what = f"the byte 0x{byte:02x} is no UTF-8; is this a pipeline file, and no data?"
        raise PipelineFileError([Problem(line, column, what, str(path))]) from None
    return parse_document(text, str(path), overrides or {}, variables or {})


def spelled_like(path: Path) -> str | None:
    """The YAML file beside a path that is not there whose name is nearest to it."""
    there = {file.stem: file.name for file in path.parent.glob("*.y*ml")}
    return next((there[stem] for stem in difflib.get_close_matches(path.stem, there, 1)), None)


def parse_document(
    text: str, file: str, overrides: Mapping[str, str], variables: Mapping[str, str] | None = None
) -> Document:
    """Raises PipelineFileError, with the place, for whatever text."""
    check_text(text, file)
    try:
        root = yaml_parser().load(text)
    except YAMLError as error:
        raise fault_of(error, text, file) from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        # a number of 5,000 digits, an alias to itself: ruamel.yaml trips over them
        what = f"cannot be read as YAML: {type(error).__name__}: {error}"
        raise PipelineFileError([Problem(1, 1, what, file)]) from None
    if not isinstance(root, Mapping):
        kinds = {"CommentedSeq": "a list", "str": "one text"}
        kind = type(root).__name__
        found = "is empty" if root is None else f"holds {kinds.get(kind, f'one {kind}')}"
        what = f"{found}; a pipeline file is a map with name, source, stages, outputs"
        if not file.endswith((".yaml", ".yml")) and root is not None:
            what += f"; if these are data: pairmill init --from {file}"
        raise PipelineFileError([Problem(1, 1, what, file)])
    document = Document(file, text, None, {}, Secrets(marked=marked_names(root)), [])
    document.variables = variables or {}
    REDACTOR.from_environment(os.environ, document.secrets.marked)
    document.places[()] = (1, 1)
    document.data = plain(root, (), document)
    for target, value in overrides.items():
        override(document, target, value)
    return document


def marked_names(root: Mapping[str, Any]) -> frozenset[str]:
    """Variables that `secrets:` names; its shape is checked with that of all other keys."""
    names = root.get("secrets")
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def yaml_parser() -> YAML:
    """Parser that keeps places and quotes, and leaves dates as texts."""
    parser = YAML(typ="rt")
    parser.preserve_quotes = True
    parser.Constructor = WithoutDates
    return parser


class WithoutDates(RoundTripConstructor):
    """Leaves dates as the texts they are written as."""


WithoutDates.add_constructor(
    "tag:yaml.org,2002:timestamp", lambda self, node: self.construct_scalar(node)
)


def plain(node: Any, path: Path_, document: Document) -> Any:
    """The node without what ruamel.yaml adds, its places noted; aliases are copies."""
    document.values += 1
    if document.values > MOST_VALUES:
        line, column = document.places.get(path[:1], (1, 1))
        what = f"aliases (*x) make more than {MOST_VALUES:,} values of it"
        raise PipelineFileError([Problem(line, column, what, document.file)])
    if isinstance(node, CommentedMap):
        for key in node:
            try:
                line, column = node.lc.key(key)
            except KeyError:
                continue  # came in by a merge key (`<<: *x`): the place above it stands for it
            document.places[(*path, key_text(key, path))] = (line + 1, column + 1)
            check_characters(key_text(key, path), (*path, key_text(key, path)), document)
            if node[key] is None and (*path, key_text(key, path)) not in MAY_BE_EMPTY:
                note_empty(node, key, (*path, key_text(key, path)), document)
        return {
            key_text(key, path): plain(value, (*path, key_text(key, path)), document)
            for key, value in node.items()
        }
    if isinstance(node, CommentedSeq):
        for i in range(len(node)):
            line, column = node.lc.item(i)
            document.places[(*path, i)] = (line + 1, column + 1)
        return [plain(value, (*path, i), document) for i, value in enumerate(node)]
    if isinstance(node, str):
        check_characters(node, path, document)
        return fill(node, path, document)
    if isinstance(node, bool) or node is None:
        return node
    kind = int if isinstance(node, int) else float if isinstance(node, float) else str
    return kind(node)


def check_characters(text: str, path: Path_, document: Document) -> None:
    """Raises PipelineFileError for what an escape (`"\\uD800"`, `"\\0"`) may write and no file
    or path can hold: nothing else could be checked with it.
    """
    what = ""
    if half := HALF.search(text):
        what = f"\\u{ord(half[0]):04X} is half of a surrogate pair; write the character itself"
    elif "\0" in text and path[-1] in ENDS_A_PATH:
        what = "a path cannot hold the character \\0"
    if what:
        place = next(p for n in range(len(path), -1, -1) if (p := document.places.get(path[:n])))
        raise PipelineFileError([Problem(*place, what, document.file)])


HALF = re.compile("[\ud800-\udfff]")
ENDS_A_PATH = ("path", "workspace", "images", "embeddings")
"""Keys of paths."""

MAY_BE_EMPTY = {("stages",), ("outputs",)}
"""Lists of which all items may be commented out."""


def note_empty(node: CommentedMap, key: Any, path: Path_, document: Document) -> None:
    """Notes a key with nothing behind it: a gate that was to be filled in later would drop nothing
    without a word.  A null that is written is one.
    """
    line, column = node.lc.value(key)
    lines = document.text.splitlines()
    written = lines[line][column:] if line < len(lines) else ""
    if not written.startswith(("null", "Null", "NULL", "~", "*")):
        document.problem(path, f"{path[-1]} is empty; {FILL_IN}")
        document.unset.add(path)


FILL_IN = "write a value behind it, or take the key away"


def key_text(key: Any, path: Path_) -> str:
    """A key of the map at `path` as text; of a stage, what YAML 1.1 made of `on:` and wrote back as
    `true:` is `on` again.
    """
    if key is None or isinstance(key, bool):
        of_stage = path[-2:-1] == ("stages",)
        return "on" if key is True and of_stage else "null" if key is None else str(key).lower()
    return str(key)


def fill(scalar: str, path: Path_, document: Document) -> Any:
    """Puts in `${NAME}`, `${NAME:-default}`; `$${` is `${`.  An unquoted whole value is typed."""

    def value_of(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if name is None:
            return "${"
        value = document.variables.get(name, os.environ.get(name, default))
        if value is None:
            document.unset.add(path)
            document.problem(
                path,
                f"the environment variable {name} is not set; set it, or write ${{{name}:-x}}",
            )
            return ""
        document.secrets.add(name, value)
        return value

    text = VARIABLE.sub(value_of, str(scalar))
    if (
        text != str(scalar)
        and not isinstance(scalar, ScalarString)
        and VARIABLE.fullmatch(str(scalar))
    ):
        return typed(text)
    return text
