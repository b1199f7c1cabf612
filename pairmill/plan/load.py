"""From a pipeline file to checked config models; all faults of a file are found in one go."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pairmill.errors import PipelineFileError
from pairmill.extensions import BadExtension
from pairmill.outputs.catalogue import OUTPUTS
from pairmill.plan.checked import listed, path_fault, resolve, resolved, validate
from pairmill.plan.document import Document, Path_, Secrets
from pairmill.plan.explain import fitting, nearest
from pairmill.plan.stage_configs import stage_configs
from pairmill.plan.yaml_file import read_document
from pairmill.redaction import GONE, redact, secret_pair
from pairmill.schemas.pipeline import SOURCE_NAME, PipelineConfig, SourceConfig, SourcesConfig
from pairmill.schemas.sql.parsing import parse
from pairmill.schemas.sql.values import BadExpression
from pairmill.sources.catalogue import SOURCES
from pairmill.sources.table_config import PairsConfig


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
    variables: Mapping[str, str] | None = None,
) -> Loaded:
    """Reads a pipeline file and checks its keys; faults are noted in `document.problems`, and the
    config ends before the first stage with one, so that what is before can still be planned.
    `base`: the folder that relative paths of data mean; `home`: that of code and files named; both
    the file's own if absent.  `variables` stand before those of the environment.  Raises
    PipelineFileError where the file's top level is wrong.
    """
    document = read_document(path, overrides, variables)
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
    stages = stage_configs(data.get("stages"), ("stages",), document, folder)
    source = source_config(data.get("source"), document, base)
    outputs = [
        one_of(OUTPUTS, "type", "output", item, ("outputs", i), document, base)
        for i, item in enumerate(listed(data.get("outputs") or [], ("outputs",), document))
    ]
    rest = {k: v for k, v in data.items() if k not in ("stages", "source", "outputs")}
    rest.setdefault("workspace", "workspace")
    if isinstance(rest["workspace"], str):
        if fault := path_fault(rest["workspace"]):
            document.problem(("workspace",), f"workspace {fault}")
            rest["workspace"] = "workspace"
        rest["workspace"] = resolve(rest["workspace"], base)
    sound = stages.index(None) if None in stages else len(stages)
    unread_gates(data.get("stages"), sound, document)
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


def unread_gates(items: Any, first: int, document: Document) -> None:
    """Tells gates that are no expressions in the stages from the `first` on: no plan comes to
    those behind a stage at fault.
    """
    for i, item in enumerate(items if isinstance(items, list) else ()):
        for key in ("keep", "when") if i >= first and isinstance(item, dict) else ():
            if isinstance(text := item.get(key), str):
                try:
                    parse(text)
                except BadExpression as error:
                    document.problem(("stages", i, key), str(error))


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
    if what == "source" and isinstance(item, list):
        several = "several are a map of names to them: {first: {type: …}, second: {type: …}}"
        document.problem(path, f"one source is a map with `type:`, not a list; {several}")
        return None
    if not isinstance(item, dict) or not isinstance(item.get(tag), str):
        article = "a" if what[0] != "o" else "an"
        document.problem(path, f"{article} {what} needs `{tag}:` ({', '.join(kinds)})")
        return None
    if item[tag] not in kinds:
        near = nearest(item[tag], list(kinds))
        document.problem((*path, tag), f"unknown {what} {item[tag]!r}{near} ({', '.join(kinds)})")
        return None
    try:
        kind = kinds[item[tag]]
    except BadExtension as error:
        document.problem((*path, tag), str(error))
        return None
    found = validate(kind, item, path, document)
    return found and resolved(found, folder)
