"""Packages that a run would write over though other settings made them, found before any work.

The settings are those that stand in the pipeline file: stages, gates, seed, the output's own keys.
The input is none of them (it grows), nor what only changes speed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pairmill.errors import PairmillError
from pairmill.packages.manifest import MANIFEST, read_manifest
from pairmill.pipeline.started import HIDDEN
from pairmill.plan.load import SET_LINE
from pairmill.plan.paths import names_of
from pairmill.plan.plan import Plan
from pairmill.plan.planned import every_stage
from pairmill.plan.yaml_file import parse_document
from pairmill.redaction import GONE, redact, shown
from pairmill.schemas.config import SPEED, marks_of
from pairmill.schemas.pipeline import OutputConfig
from pairmill.workspace.storage import Storage

LOGIC = ("stage", "keep", "when", "on_missing")
"""Keys of a stage that decide which rows a package has, though no stored value."""
PLACE = ("path", "overwrite")
"""Keys of an output that say where, not what."""
Settings = dict[str, Any]


def replaced_packages(
    plan: Plan, text: str, limit: int | None, passed: dict[str, Any] | None = None
) -> list[str]:
    """For each package that this run would replace by one of other settings, or of fewer rows
    because of `limit`: where it lies and what differs, in a line.  `text`: the pipeline's.
    `passed`: manifests that were looked at before and may be replaced, by place; those that are
    looked at here are added.
    """
    lines = []
    text, passed = redact(text), {} if passed is None else passed
    for number, writer in enumerate(plan.writers):
        storage = Storage(writer.config.path)
        if writer.config.overwrite or not storage.exists(MANIFEST):
            continue
        manifest = read_manifest(storage)
        if manifest.get("samples") == 0 or manifest == passed.get(storage.root):
            continue  # nothing is lost, or it was accepted
        written = manifest.get("pipeline", "")
        then: Settings | None = {}
        now: Settings | None = {}
        if written != text:  # the same text has the same settings, which need not be read
            then = settings(plan, written, number, written=True)
            now = settings(plan, text, number)
        if then is not None and now is not None:
            # the text may have a variable where the gate has its value
            steps = manifest.get("funnel", {}).get("steps", ())
            then |= {f"stages.{s['stage']}.keep": s.get("gate") or None for s in steps}
            now |= {f"stages.{s.name}.keep": s.gate and s.gate.text for s in plan.stages}
        if why := [*differences(then, now), *fewer(manifest, limit)]:
            more = f"; and {len(why) - 3} more" if len(why) > 3 else ""
            lines.append(
                f"{storage.root} holds a package of {manifest.get('samples', 0):,} samples that "
                f"was made with other settings ({'; '.join(why[:3])}{more})"
            )
        else:
            passed[storage.root] = manifest
    return lines


def differences(then: Settings | None, now: Settings | None) -> Iterator[str]:
    """The settings that differ, each with both values; None: a text that cannot be read."""
    if then is None or now is None:
        yield f"its {MANIFEST} has no pipeline that can be read"
        return
    for key in dict.fromkeys((*then, *now)):
        if (key in then) != (key in now):
            continue  # of a stage that only one of them has, which `stages` tells
        if plainly(then[key]) != plainly(now[key]):
            yield f"{key}: {brief(then[key])}, now {brief(now[key])}"


def plainly(value: Any) -> Any:
    """A value as it is compared: spaces and line ends within a text say nothing."""
    return " ".join(value.split()) if isinstance(value, str) else value


def brief(value: Any) -> str:
    """A setting in a few words."""
    return shown(redact(value), 60) if isinstance(value, str) else shown(value, 60)


def fewer(manifest: Mapping[str, Any], limit: int | None) -> Iterator[str]:
    """Whether the package was made of more rows than this run may read."""
    rows = manifest.get("funnel", {}).get("rows")
    if limit is not None and isinstance(rows, int) and limit < rows:
        yield f"{rows:,} rows were read, now --limit {limit}"


def settings(plan: Plan, text: str, number: int, written: bool = False) -> Settings | None:
    """What a pipeline's text sets for one output, key by key; None where it is no pipeline.

    Stages count as far as the output goes (`after:`).  Keys that a text leaves away have their
    defaults, which the config classes of the present plan know.  `number`: of the output in the
    plan; `written`: the text is a package's, where it may have another number.
    """
    config = plan.writers[number].config
    try:
        text = HIDDEN.sub(f'"{GONE}"', text)
        data = parse_document(text, "pipeline", dict(SET_LINE.findall(text))).data
        stages, outputs = data.get("stages") or [], data.get("outputs") or []
        plain = {s.config.stage: s.name for s in plan.stages if s.config.name is None}
        stages = [*flat(stages, plain)]
        names = [name for name, _ in stages]
    except (PairmillError, AttributeError, TypeError):
        return None
    kinds = {s.config.stage: type(s.config) for s in every_stage(plan.stages)}
    if after := config.after:
        names = names[: names.index(after) + 1] if after in names else []
    found: Settings = {"seed": data.get("seed", 0), "stages": names}
    for name, stage in stages[: len(names)]:
        keys = filled(stage, kinds.get(stage.get("stage")), LOGIC)
        found |= {f"stages.{name}.{k}": v for k, v in keys.items()}
    own = one_of(outputs, config) if written else outputs[number]
    if own is not None:
        keys = filled(own, type(config), ("type",))
        found |= {f"outputs.{k}": v for k, v in keys.items() if k not in PLACE}
    return found


def flat(items: list[Settings], plain: dict[str, str]) -> Iterator[tuple[str, Settings]]:
    """Stages by name in order, behind an `each` block its own; `plain`: names by type."""
    for item in items:
        name = names_of(item)[0]
        if "each" in item:
            yield name, {k: v for k, v in item.items() if k != "stages"}
            inner = flat(item.get("stages") or [], plain)
            yield from ((f"{name}.{part}", keys) for part, keys in inner)
        else:
            yield item.get("name") or plain.get(name, name), item


def filled(keys: Settings, kind: type[BaseModel] | None, always: tuple[str, ...]) -> Settings:
    """The keys that decide something, absent ones with their defaults."""
    if kind is None:
        return keys
    counted = [
        name for name in kind.model_fields if name in always or SPEED not in marks_of(kind, name)
    ]
    fields = kind.model_fields
    found = {name: keys.get(name, fields[name].get_default()) for name in counted}
    return {k: None if v is PydanticUndefined else v for k, v in found.items()}


def one_of(outputs: list[Settings], config: OutputConfig) -> Settings | None:
    """The output of a pipeline that wrote a package: by path, or the only one of its type, or the
    only one; None where that is not clear.
    """
    ends = [str(o.get("path")).removeprefix("./") for o in outputs]
    fitting = [(len(end), i) for i, end in enumerate(ends) if f"/{config.path}".endswith(f"/{end}")]
    if fitting:
        return outputs[max(fitting)[1]]
    by_type = [o for o in outputs if o.get("type") == config.type]
    return next((found[0] for found in (by_type, outputs) if len(found) == 1), None)
