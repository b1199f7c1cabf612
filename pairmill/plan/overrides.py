"""`--set key=value`: single values of a pipeline file, given on the command line."""

from typing import Any

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
        node[int(index)] = typed(value)
    elif isinstance(node, dict):
        path = (*path, last)
        node[last] = typed(value)
    else:
        refuse(f"{'.'.join(parents)} holds no keys")
        return
    document.overridden[path] = f"--set {target}={value}"
