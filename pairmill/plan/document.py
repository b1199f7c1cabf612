"""A pipeline file as plain data, with the place of each value and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pairmill.errors import Problem
from pairmill.redaction import REDACTOR, SHORTEST, is_secret, redact

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
    variables: Mapping[str, str] = field(default_factory=dict)
    """What stands for environment variables, before the environment itself."""

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


def typed(text: str) -> Any:
    """A scalar as unquoted YAML 1.2 reads it."""
    try:
        value = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float | str | list) or value is None else text
