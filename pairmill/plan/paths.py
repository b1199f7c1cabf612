"""Steps of a path through a pipeline file, as `--set` writes it: `stages.clip.keep`."""

from typing import Any


def step_into(node: Any, step: str) -> str | int | None:
    """Key or index by which a step of a path leads on; None where it leads nowhere."""
    if isinstance(node, dict):
        return step if step in node else None
    if isinstance(node, list):
        for i, item in enumerate(node):
            if isinstance(item, dict) and step in names_of(item):
                return i
        if step.isdigit() and int(step) < len(node):
            return int(step)
    return None


def choices(node: Any) -> str:
    """Keys or items of a node in words, for a refusal; empty for a scalar."""
    if isinstance(node, dict):
        return f" (keys: {', '.join(node)})"
    if isinstance(node, list):
        items = [(i, item) for i, item in enumerate(node) if isinstance(item, dict)]
        named = [names_of(item)[0] if is_named(item) else str(i) for i, item in items]
        return f" (items: {', '.join(named)})"
    return ""


def is_named(item: dict[str, Any]) -> bool:
    """Whether an item of a list has a name, as stages have; others go by their number."""
    return any(key in item for key in ("name", "each", "stage"))


def names_of(item: dict[str, Any]) -> list[str]:
    """What an item of a list is called; a block of stages also as its funnel has it."""
    name = str(item.get("name") or item.get("each") or item.get("stage"))
    return [f"each {name}", name] if "each" in item else [name]
