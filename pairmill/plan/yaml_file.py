"""A pipeline file as plain data, the place of each value, environment variables filled in."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import ScalarString

from pairmill.errors import PipelineFileError, Problem
from pairmill.plan.paths import choices, step_into
from pairmill.plan.yaml_limits import MOST_VALUES, check_text, fault_of
from pairmill.redaction import REDACTOR, SHORTEST, is_secret, redact

VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^}$]|\$(?!\{))*))?\}")

Path_ = tuple[str | int, ...]


@dataclass
class Secrets:
    """Values of secret environment variables; `marked`: names that the file marks as secret."""

    values: dict[str, str] = field(default_factory=dict)
    marked: frozenset[str] = frozenset()

    def add(self, name: str, value: str) -> None:
        """Notes a variable's value if it is a secret."""
        if (name in self.marked or is_secret(name, value)) and len(value) >= SHORTEST:
            self.values[value] = f"${{{name}}}"
            REDACTOR.add(value, f"${{{name}}}")

    def redact(self, text: str) -> str:
        """The text with `${NAME}` in place of each value, the longest first."""
        for value, name in sorted(self.values.items(), key=lambda item: -len(item[0])):
            text = text.replace(value, name)
        return text

    def redact_data(self, value: Any) -> Any:
        """Nested lists and maps with all their texts redacted; keys stay."""
        match value:
            case str():
                return self.redact(value)
            case Mapping():
                return {k: self.redact_data(v) for k, v in value.items()}
            case list() | tuple():
                return [self.redact_data(v) for v in value]
        return value


@dataclass
class Document:
    """Plain data, each path's place, faults so far; `overridden`: path → `--set KEY=VALUE`."""

    file: str
    text: str
    data: Any
    places: dict[Path_, tuple[int, int]]
    secrets: Secrets
    problems: list[Problem]
    values: int = 0
    overridden: dict[Path_, str] = field(default_factory=dict)
    unset: set[Path_] = field(default_factory=set)
    """Places of variables that are not set, and of keys that are empty."""

    def problem(self, path: Path_, message: str) -> None:
        """Notes a fault at `path`, or at the nearest place above it that stands in the file."""
        given = next(
            (
                self.overridden[path[:n]]
                for n in range(len(path), 0, -1)
                if path[:n] in self.overridden
            ),
            None,
        )
        if given is not None:
            self.note(0, 0, f"{given}: {message}", "command line")
            return
        if path in self.unset and "is not set" not in message:
            return  # what is wrong with the empty value that it has for that
        place = next(
            (self.places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.places),
            (0, 0),
        )
        self.note(*place, message, self.file)

    def note(self, line: int, column: int, message: str, file: str) -> None:
        """Notes a fault once, without secrets; line and column from 1, 0 for none."""
        found = Problem(line, column, redact(message), file)
        if found not in self.problems:
            self.problems.append(found)


def read_document(path: str | Path, overrides: Mapping[str, str] | None = None) -> Document:
    """Reads YAML 1.2; raises PipelineFileError where the text is no YAML or no map."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        first = "; `pairmill init` writes a first one" * isinstance(error, FileNotFoundError)
        what = f"cannot be read: {error.strerror}{first}"
        raise PipelineFileError([Problem(0, 0, what, str(path))]) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        byte = error.object[error.start]
        what = f"the byte 0x{byte:02x} is no UTF-8; is this a pipeline file, and no data?"
        raise PipelineFileError([Problem(line, column, what, str(path))]) from None
    return parse_document(text, str(path), overrides or {})


def parse_document(text: str, file: str, overrides: Mapping[str, str]) -> Document:
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
    REDACTOR.from_environment(os.environ, document.secrets.marked)
    document.data = plain(root, (), document)
    document.places[()] = (1, 1)
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
            document.places[(*path, key_text(key))] = (line + 1, column + 1)
            if node[key] is None and (*path, key_text(key)) not in MAY_BE_EMPTY:
                note_empty(node, key, (*path, key_text(key)), document)
        return {
            key_text(key): plain(value, (*path, key_text(key)), document)
            for key, value in node.items()
        }
    if isinstance(node, CommentedSeq):
        for i in range(len(node)):
            line, column = node.lc.item(i)
            document.places[(*path, i)] = (line + 1, column + 1)
        return [plain(value, (*path, i), document) for i, value in enumerate(node)]
    if isinstance(node, str):
        return fill(node, path, document)
    if isinstance(node, bool) or node is None:
        return node
    kind = int if isinstance(node, int) else float if isinstance(node, float) else str
    return kind(node)


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


def key_text(key: Any) -> str:
    """A key as text; what YAML 1.1 made of `on:` and wrote back is `on` again."""
    return "on" if key is True else str(key)


def fill(scalar: str, path: Path_, document: Document) -> Any:
    """Puts in `${NAME}`, `${NAME:-default}`; `$${` is `${`.  An unquoted whole value is typed."""

    def value_of(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if name is None:
            return "${"
        value = os.environ.get(name, default)
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


def typed(text: str) -> Any:
    """A scalar as unquoted YAML 1.2 reads it."""
    try:
        value = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float | str | list) or value is None else text


def override(document: Document, target: str, value: str) -> None:
    """Applies `stages.clip.keep=…`; stages are addressed by name or type, other lists by number."""
    node: Any = document.data
    path: Path_ = ()

    def refuse(message: str) -> None:
        document.note(0, 0, f"--set {target}={value}: {message}", "command line")

    *parents, last = target.split(".")
    if not value.strip():
        refuse(f"{last} is empty; write a value behind the =, or null")
        return
    for step in parents:
        found = step_into(node, step)
        if found is None and isinstance(node, dict) and path:
            # a map that the file leaves out, such as `resources`: it is checked with all others
            node[step] = {}
            found = step
            document.overridden[(*path, step)] = f"--set {target}={value}"
        if found is None:
            refuse(f"there is no {step!r} here{choices(node)}")
            return
        node, path = node[found], (*path, found)
    if isinstance(node, list):
        index = step_into(node, last)
        if index is None:
            refuse(f"there is no {last!r} here{choices(node)}")
            return
        path = (*path, index)
        node[int(index)] = typed(value)
    elif isinstance(node, dict):
        path = (*path, last)
        node[last] = typed(value)
    else:
        refuse(f"{'.'.join(parents)} holds no keys")
        return
    document.overridden[path] = f"--set {target}={value}"
