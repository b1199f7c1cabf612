"""From a pipeline file to checked config models; all faults of a file are found in one go."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pairmill.errors import PipelineFileError
from pairmill.extensions import BadExtension
from pairmill.outputs.catalogue import OUTPUTS
from pairmill.plan.explain import explain, fitting, kind_of, nearest
from pairmill.plan.named_modules import name_module
from pairmill.plan.yaml_file import Document, Path_, Secrets, read_document
from pairmill.redaction import GONE, redact, secret_pair
from pairmill.schemas.config import FILE, MODEL, PATH, StageConfig, marks_of
from pairmill.schemas.pipeline import SOURCE_NAME, PipelineConfig, SourceConfig, SourcesConfig
from pairmill.sources.catalogue import SOURCES
from pairmill.sources.tables import PairsConfig
from pairmill.stages.catalogue import UnknownStage, known_stages, stage_class


class Loaded(BaseModel):
    """A pipeline, its file's text with `${NAME}` unfilled, and what must never be written down."""

    model_config = {"arbitrary_types_allowed": True}
    config: PipelineConfig
    text: str
    document: Document
    secrets: Secrets


SET_LINE = re.compile(r"^# --set ([^=\n]+)=(.*)$", re.MULTILINE)
"""An override as it stands above the text of a pipeline that was run."""


def load_pipeline(
    path: str | Path,
    overrides: Mapping[str, str] | None = None,
    base: str | Path | None = None,
    home: str | Path | None = None,
) -> Loaded:
    """Reads a pipeline file and checks its keys; faults are noted in `document.problems`, and the
    config ends before the first stage with one, so that what is before can still be planned.
    `base`: the folder that relative paths of data mean; `home`: that of code and files named; both
    the file's own if absent.  Raises PipelineFileError where the file's top level is wrong.
    """
    document = read_document(path, overrides)
    folder = Path(home or Path(path).parent).absolute()
    config = build(document, folder, Path(base).absolute() if base else folder)
    if config is None:
        raise PipelineFileError(document.problems)
    return Loaded(
        config=config,
        text=text_as_run(document, overrides or {}),
        document=document,
        secrets=document.secrets,
    )


def text_as_run(document: Document, overrides: Mapping[str, str]) -> str:
    """The file's text below its overrides, without secrets, as a run keeps it."""
    lines = [
        f"# --set {key}={GONE if secret_pair(key, value) else value}\n"
        for key, value in overrides.items()
    ]
    return redact("".join(lines) + document.text)


def build(document: Document, folder: Path, base: Path) -> PipelineConfig | None:
    """`folder` holds the code and files that the pipeline names, `base` its data."""
    data = dict(document.data)
    stages = stage_configs(data.get("stages"), document, folder)
    source = source_config(data.get("source"), document, base)
    outputs = [
        one_of(OUTPUTS, "type", "output", item, ("outputs", i), document, base)
        for i, item in enumerate(listed(data, "outputs", document))
    ]
    rest = {k: v for k, v in data.items() if k not in ("stages", "source", "outputs")}
    rest.setdefault("workspace", "workspace")
    if isinstance(rest["workspace"], str):
        rest["workspace"] = resolve(rest["workspace"], base)
    sound = stages.index(None) if None in stages else len(stages)
    parts: dict[str, Any] = {
        "stages": stages[:sound],
        "outputs": [o for o in outputs if o] if sound == len(stages) else [],
    }
    if source is not None:
        parts["source"] = source
    elif "source" in data:
        return (
            validate(
                PipelineConfig, {**rest, **parts, "source": PairsConfig(path="-")}, (), document
            )
            and None
        )
    return validate(PipelineConfig, {**rest, **parts}, (), document)


def source_config(item: Any, document: Document, base: Path) -> SourceConfig | None:
    """The config of one source, or of several: a mapping of names to sources."""
    if not is_several(item):
        config: SourceConfig | None = one_of(
            SOURCES, "type", "source", item, ("source",), document, base
        )
        return config
    parts: dict[str, SourceConfig | None] = {}
    for name, one in item.items():
        path: Path_ = ("source", name)
        if not (isinstance(name, str) and SOURCE_NAME.fullmatch(name)):
            advice = fitting(str(name), SOURCE_NAME.pattern)
            document.problem(
                path, f"a source cannot be named {name!r}; write for example `{advice}`"
            )
        parts[str(name)] = one_of(SOURCES, "type", "source", one or {}, path, document, base)
    sound = {name: config for name, config in parts.items() if config is not None}
    return SourcesConfig.of(sound) if len(sound) == len(parts) else None


def is_several(item: Any) -> bool:
    """Whether `source:` is a mapping of names to sources, and not the keys of one."""
    if not isinstance(item, dict) or not item or isinstance(item.get("type"), str):
        return False
    return all(one is None or isinstance(one, dict) for one in item.values())


def listed(data: Mapping[str, Any], key: str, document: Document) -> list[Any]:
    """The list at a key; empty, with a fault noted, where something else stands there."""
    value = data.get(key, [])
    if isinstance(value, list):
        return value
    document.problem((key,), f"{key} is {kind_of(value)}; write a list, each item after a dash")
    return []


def stage_configs(items: Any, document: Document, folder: Path) -> list[StageConfig | None]:
    """Configs of `stages:` in order, None for a stage with a fault."""
    return [
        stage_config(item, i, document, folder)
        for i, item in enumerate(listed({"stages": items or []}, "stages", document))
    ]


def stage_config(item: Any, index: int, document: Document, folder: Path) -> StageConfig | None:
    """The config of one stage, its paths resolved; None, with faults noted, where it is wrong."""
    path: Path_ = ("stages", index)
    if not isinstance(item, dict) or not isinstance(item.get("stage"), str):
        document.problem(
            path,
            f"a stage begins with `stage: NAME` (my_module:MyStage; {', '.join(known_stages())})",
        )
        return None
    name_module(item["stage"], folder)
    try:
        kind = stage_class(item["stage"])
    except UnknownStage as error:
        document.problem((*path, "stage"), str(error))
        return None
    found = validate(kind.Config, item, path, document)
    return found and resolved(found, folder)


def one_of(
    kinds: Mapping[str, type[BaseModel]],
    tag: str,
    what: str,
    item: Any,
    path: Path_,
    document: Document,
    folder: Path,
) -> Any:
    """A model chosen by its `type` key."""
    if item is None:
        return None
    names = ", ".join(kinds)
    if not isinstance(item, dict) or not isinstance(item.get(tag), str):
        document.problem(path, f"{'a' if what[0] != 'o' else 'an'} {what} needs `{tag}:` ({names})")
        return None
    if item[tag] not in kinds:
        document.problem(
            (*path, tag), f"unknown {what} {item[tag]!r}{nearest(item[tag], list(kinds))} ({names})"
        )
        return None
    try:
        kind = kinds[item[tag]]
    except BadExtension as error:
        document.problem((*path, tag), str(error))
        return None
    found = validate(kind, item, path, document)
    return found and resolved(found, folder)


def validate(kind: type[BaseModel], data: Any, path: Path_, document: Document) -> Any:
    """The model of plain data; None, with pydantic's faults noted, where it does not fit."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        for fault in error.errors():
            document.problem((*path, *fault["loc"]), explain(kind, fault))
        return None


def resolved(config: Any, folder: Path) -> Any:
    """Paths in a file are relative to the file, on whatever folder the command runs."""
    changes: dict[str, Any] = {}
    for field in type(config).model_fields:
        marks = marks_of(type(config), field)
        value = getattr(config, field)
        if value is None or not marks & {PATH, FILE, MODEL}:
            continue
        if isinstance(value, str):
            changes[field] = resolve(value, folder, is_model=MODEL in marks)
        elif isinstance(value, list):
            changes[field] = [resolve(v, folder) for v in value]
        elif isinstance(value, dict):
            changes[field] = {name: resolve(v, folder) for name, v in value.items()}
    return config.model_copy(update=changes) if changes else config


def resolve(value: str, folder: Path, is_model: bool = False) -> str:
    """A path made absolute from a folder; a URL and a hub id stay as they are."""
    if "://" in value or os.path.isabs(value):
        return value
    candidate = folder / os.path.expanduser(value)
    if is_model and not value.startswith((".", "~")) and not candidate.exists():
        return value  # a hub id
    return os.path.normpath(candidate)
