"""`--set key=value`: single values of a pipeline file, given on the command line."""

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pairmill.plan.document import Document, Path_, typed
from pairmill.plan.paths import choices, step_into


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
        node[int(index)] = given(value)
    elif isinstance(node, dict):
        path = (*path, last)
        node[last] = given(value)
    else:
        refuse(f"{'.'.join(parents)} holds no keys")
        return
    document.overridden[path] = f"--set {target}={value}"


def given(text: str) -> Any:
    """A value as YAML reads it; a map where each of its keys has a value, so that a prompt such as
    `{text}` stays text.
    """
    if text.lstrip().startswith("{"):
        try:
            found = YAML(typ="safe").load(text)
        except (YAMLError, ValueError, RecursionError):
            return text
        if isinstance(found, dict) and found and None not in found.values():
            return found
    return typed(text)
