"""What README and docs tell to type: commands and options that exist, keys that stages take."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from typer.main import get_command

from pairmill.cli import app
from pairmill.outputs.catalogue import OUTPUTS
from pairmill.sources.catalogue import SOURCES
from pairmill.stages.catalogue import known_stages, stage_class

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(pairmill [a-z][^`]*)`")
AT_ONCE = {"each"}
"""Blocks of stages, whose keys are those of other stages."""


def commands(text: str) -> Iterator[str]:
    """Every `pairmill …` of a page, in blocks and in sentences."""
    for _, block in BLOCK.findall(text):
        joined = block.replace("\\\n", " ")
        yield from (line for line in joined.splitlines() if line.startswith("pairmill "))
    yield from INLINE.findall(BLOCK.sub("", text))


def mistake(line: str) -> str | None:
    """What is wrong with a command: its name, or an option that it has not."""
    root = get_command(app)
    context = typer.Context(root, info_name="pairmill")
    words = shlex.split(line, comments=True)[1:]
    if not words or words[0].startswith(("-", "…")):
        return None
    command = root.get_command(context, words[0])  # type: ignore[attr-defined]
    if command is None:
        return f"no command {words[0]!r}"
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
    unknown = [w for w in words[1:] if w.startswith("-") and w.split("=")[0] not in known]
    return f"no option {unknown[0]} of {words[0]}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_on_a_page_exist_with_their_options(page: Path) -> None:
    wrong = {line: said for line in commands(page.read_text()) if (said := mistake(line))}
    assert wrong == {}


def maps(node: Any) -> Iterator[dict[str, Any]]:
    """Every map of a YAML value."""
    if isinstance(node, dict):
        yield node
    for inner in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from maps(inner)


def unknown_keys(found: dict[str, Any]) -> list[str]:
    """Keys of a stage, a source or an output that it does not take."""
    stage, kind = found.get("stage"), found.get("type")
    if isinstance(stage, str) and stage in known_stages() and stage not in AT_ONCE:
        fields = stage_class(stage).Config.model_fields
        return [f"{stage}.{key}" for key in found if str(key) not in fields and key is not True]
    if isinstance(kind, str):
        kinds = [c[kind] for c in (SOURCES, OUTPUTS) if kind in c]
        every = {name for config in kinds for name in config.model_fields}
        return [f"{kind}.{key}" for key in found if kinds and str(key) not in every]
    return []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_yaml_on_a_page_is_yaml_with_keys_that_stages_take(page: Path) -> None:
    wrong = []
    for language, block in BLOCK.findall(page.read_text()):
        if language not in ("yaml", "yml"):
            continue
        try:
            value = YAML(typ="safe").load(block)
        except YAMLError as error:
            wrong.append(f"{block[:60]!r}: {error}")
            continue
        wrong += [key for found in maps(value) for key in unknown_keys(found)]
    assert wrong == []


def test_a_wrong_command_and_a_wrong_key_are_seen() -> None:
    assert mistake("pairmill inspekt x") == "no command 'inspekt'"
    assert mistake("pairmill run p.yaml --limits 3") == "no option --limits of run"
    assert unknown_keys({"stage": "language", "kep": "x"}) == ["language.kep"]
    assert unknown_keys({"type": "folder", "pth": "x"}) == ["folder.pth"]
