"""Which rows of a run a package holds, in words, off its manifest."""

from collections.abc import Mapping
from typing import Any

WITHOUT = "without "
"""What is told of samples that lack something begins so."""
MANY = 0.2
"""Share of a package's samples from which on what they lack says that something is wrong."""


def chosen(manifest: dict[str, Any]) -> list[str]:
    """Which rows of the run the package holds, and in which order, in words; nothing where it holds
    what the last stage kept.
    """
    facts = manifest.get("selection") or {}
    found = [f"after {facts['after']}: later gates do not count"] if facts.get("after") else []
    if where := facts.get("where"):
        null = f", {facts['left_out_null']:,} of them null" if facts["left_out_null"] else ""
        found.append(
            f"where {where}: {facts['left_out']:,} of {facts['rows']:,} rows stay out{null}"
        )
    if mixture := facts.get("mixture"):
        shares = [
            f"{name or '(none)'} {group['achieved']:.1%} of {group['requested']:.1%}"
            for name, group in mixture["groups"].items()
        ]
        told = f", achieved of requested: {', '.join(shares)}" if shares else ""
        found.append(f"each sample as often as {mixture['repeats']} says{told}")
    if facts.get("order"):
        found.append(f"ordered by {', '.join(facts['order'])}")
    return found


def lacking(packages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What many samples of a package lack, a sentence each; `packages`: manifests by path."""
    return [
        f"{path}: {count:,} of {manifest['samples']:,} samples are {what}"
        for path, manifest in packages.items()
        for what, count in manifest["told"].items()
        if what.startswith(WITHOUT) and count >= MANY * manifest["samples"]
    ]
