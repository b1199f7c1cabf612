"""What a person has to know of a finished run, and what to do about it: told at the run's end and
in its report, and turned into exit code 1 by `--strict`.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pairmill.fates.ledger import SOURCE, Funnel, Step
from pairmill.packages.manifest import chosen
from pairmill.plan.chain import PlannedStage
from pairmill.texts.amounts import amount, commonest, counted

LARGE_SHARE = 0.2
"""Of the rows that came to a step; from there on what is lost says more of the step than of the
rows.
"""
ENOUGH_ROWS = 20
"""Fewer rows say nothing of a gate that lets all of them pass."""
REPEATS = re.compile(r"\w*dup_of IS NULL", re.IGNORECASE)
"""The gate of deduplication: that it drops nothing is good news."""
MISSING_INPUT = "missing_input"
"""A failure that no `--retry` mends: it needs another input."""


def findings(funnel: Funnel, of_input: Sequence[str] = ()) -> list[str]:
    """One sentence each, the gravest first.  `of_input`: what reading the source had to say."""
    kept = [nothing_kept(funnel)] if funnel.kept == 0 else []
    return [*kept, *of_input, *(text for _, step in funnel.lines() for text in step_findings(step))]


def trusted_code(stages: Iterable[PlannedStage]) -> list[str]:
    """Stages whose checkpoint may run code of its own, whether in this run or when the values that
    it found stored were computed.
    """
    return [
        f"stage {stage.name!r}: `trust_remote_code: true` lets {stage.config.model!r} run code of "
        "its own"
        for stage in stages
        if getattr(stage.config, "trust_remote_code", False) and loads_here(stage)
    ]


def loads_here(stage: PlannedStage) -> bool:
    """Whether the stage's workers load a model: neither stored embeddings nor a server serve it."""
    engine = getattr(stage.config, "engine", None)
    return getattr(stage.config, "model", None) is not None and engine != "openai"


def nothing_kept(funnel: Funnel) -> str:
    """Where the rows went if none was kept."""
    stopped = next((step for step in funnel.steps if step.rows and step.kept == 0), None)
    if stopped is None:
        return "no row was kept: the source gave none"
    return (
        f"no row was kept: nothing came through {stopped.stage!r}, to which "
        f"{amount(stopped.rows, 'row')} came ({commonest(stopped.reasons, 3)})"
    )


def step_findings(step: Step) -> list[str]:
    """What is worth a word of one step."""
    found = []
    if step.stage != SOURCE and step.rows and step.failed > LARGE_SHARE * step.rows:
        found.append(
            f"{step.stage}: {share(step.failed, step)} failed ({commonest(step.failures, 3)})"
        )
    if step.rows and step.missing > LARGE_SHARE * step.rows:
        found.append(
            f"{step.stage}: {share(step.missing, step)} lack a value that the step or its gate "
            "needs; if such rows should pass, set `on_missing: keep`, or write the gate with "
            "`IS NULL OR`"
        )
    if step.gate and step.rows and step.dropped == step.rows:
        found.append(
            f"{step.stage}: the gate {step.gate} dropped every row; a looser one needs nothing "
            "computed again"
        )
    idle = step.rows >= ENOUGH_ROWS and step.gate and not step.dropped + step.missing
    if idle and not REPEATS.fullmatch(str(step.gate)):
        found.append(f"{step.stage}: the gate {step.gate} dropped nothing")
    return found


def retry_hint(funnel: Funnel) -> str | None:
    """How to try failed rows again, which a rerun by itself does not; None where none failed."""
    classes: Counter[str] = Counter()
    for _, step in funnel.lines():
        classes.update(step.failures)
    classes.pop(MISSING_INPUT, None)
    if not classes:
        return None
    names = [name for name, _ in classes.most_common()]
    return (
        f"{sum(classes.values()):,} failures are stored, and the same command does not try them "
        f"again; `--retry {','.join(names)}` does"
    )


def lost_rows(funnel: Funnel, folder: str) -> list[str]:
    """Commands that tell of each row why it failed, or could not be read."""
    look = f"pairmill inspect {shlex.quote(folder)} --fate"
    unreadable = bool(funnel.steps) and funnel.steps[0].failed
    failed = any(step.failures for step in funnel.steps)
    return [
        *([f"unreadable: {look} unreadable"] if unreadable else []),
        *([f"failed:  {look} failed --columns message"] if failed else []),
    ]


def package_notes(manifest: dict[str, Any]) -> list[str]:
    """Which rows a package takes, what was done to them on the way, and which columns did not go
    along.
    """
    notes = chosen(manifest)
    notes += [counted(count, what) for what, count in manifest["told"].items()]
    if left_out := manifest["left_out"]:
        notes.append(f"without {', '.join(left_out)} (`columns:` names what should go along)")
    return notes


def share(rows: int, step: Step) -> str:
    """A share of the rows that came to a step, in words."""
    return f"{100 * rows / step.rows:.0f}% of the rows that came"
