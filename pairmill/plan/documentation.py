"""Documentation out of the config models and schemas: docs/stages.md, `pairmill stages`, and the
JSON Schema.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pairmill.outputs.catalogue import OUTPUTS
from pairmill.schemas.arrow import doc_of, is_volatile
from pairmill.schemas.config import SPEED, StageConfig, marks_of
from pairmill.schemas.field_docs import DescribedSchema, description_of
from pairmill.schemas.pipeline import SOURCE_NAME, PipelineConfig
from pairmill.sources.catalogue import SOURCES
from pairmill.stages.base import GlobalStage, Stage
from pairmill.stages.catalogue import known_stages, stage_class
from pairmill.stages.each import BLOCK_KEYS, EachConfig

EXAMPLES: dict[str, dict[str, Any]] = {
    "embed": {"embedding_dim": 512},
    "caption": {"model": "org/model", "prompt": "Merge: {text}"},
    "rewrite": {"model": "org/model", "prompt": {"id": "fuse"}},
    "translate": {"model": "org/model", "to": "de"},
    "judge": {"model": "org/model", "prompt": {"id": "judge-match"}},
    "caption_checks": {"caption": "synthetic", "objects": "objects", "model": "org/model"},
    "caption_templates": {"caption": "synthetic"},
    "shorten": {"caption": "synthetic"},
    "best_of": {"candidates": ["fused", "synthetic"], "model": "org/model"},
    "self_consistency": {"candidates": "samples"},
    "dedup": {"on": ["sha256"]},
    "clip": {"model": "org/model"},
    "derive": {"expression": "clip_score * 2"},
    "select": {"by": "clip_score", "fraction": 0.3},
}
"""Values of keys without a default, so that reads and writes of a stage can be told."""


def stage_pages() -> str:
    """docs/stages.md: every stage, then the keys all of them take."""
    head = (
        "# Stages\n\nGenerated from the config models and schemas by `python -m "
        "pairmill.plan.documentation`.\n"
    )
    common = f"## Keys of every stage\n\n{keys_table(StageConfig, skip={'stage'})}\n"
    pages = (stage_page(name) for name in known_stages())
    return "\n".join([head, common, block_page(), *pages])


def stage_page(name: str) -> str:
    """One stage: what it is, reads, writes and takes; or the blocks of stages, `each`."""
    if name == "each":
        return block_page()
    kind = stage_class(name)
    config = kind.Config
    lines = [f"## {name}", "", inspect.getdoc(config) or "", "", inspect.getdoc(kind) or "", ""]
    stage = sample(kind, name)
    if stage is not None:
        reads = ", ".join(f"`{c}`" for c in stage.reads()) or "nothing"
        whole = " (of all living rows: a global stage)" if isinstance(stage, GlobalStage) else ""
        lines += [f"Reads {reads}{whole}.", ""]
        if len(stage.writes()):
            lines += ["| writes | type | unit | meaning |", "| --- | --- | --- | --- |"]
            for f in stage.writes():
                unit = ((f.metadata or {}).get(b"unit") or b"").decode()
                note = (
                    " (differs from run to run; packages leave it out unless named)"
                    if is_volatile(f)
                    else ""
                )
                lines.append(f"| `{f.name}` | {f.type} | {unit} | {doc_of(f)}{note} |")
            lines.append("")
    own = {
        n for n in config.model_fields if n not in StageConfig.model_fields or changed(config, n)
    }
    lines += [keys_table(config, skip=set(config.model_fields) - own | {"stage"}), ""]
    return "\n".join(lines)


def changed(config: type[BaseModel], field: str) -> bool:
    """Whether a config has another default than StageConfig."""
    return config.model_fields[field].default != StageConfig.model_fields[field].default


def sample(kind: type[Stage], name: str) -> Stage | None:
    """A stage with example values for keys that have no default; None where there are none."""
    try:
        return kind(kind.Config.model_validate({"stage": name, **EXAMPLES.get(name, {})}))
    except ValueError:
        return None


def keys_table(config: type[BaseModel], skip: set[str]) -> str:
    """The keys of a config as a table."""
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    schema = config.model_json_schema(schema_generator=DescribedSchema)["properties"]
    for name, info in config.model_fields.items():
        if name in skip:
            continue
        speed = " *(no part of the identity)*" if SPEED in marks_of(config, name) else ""
        meaning = description_of(config, name).strip().replace("\n", " ").replace("|", "\\|")
        lines.append(
            f"| `{name}` | {type_text(schema[name])} | {default_text(info)} | {meaning}{speed} |"
        )
    return "\n".join(lines)


def type_text(schema: dict[str, Any]) -> str:
    """A type in the words of YAML."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_text(s) for s in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{v}`" for v in schema["enum"])
    if "$ref" in schema:
        return "map"
    if schema.get("type") == "array":
        return f"list of {type_text(schema.get('items', {}))}"
    bounds = [
        f"{sign} {schema[k]:g}"
        for k, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if k in schema
    ]
    kind = {"string": "text", "object": "map", "null": "null"}.get(
        schema.get("type", ""), schema.get("type", "any")
    )
    return f"{kind} {', '.join(bounds)}".strip()


def default_text(info: FieldInfo) -> str:
    """A default in the words of YAML."""
    if info.default is PydanticUndefined:
        return "needed"
    if isinstance(info.default, BaseModel):
        return ""
    text = str(info.default) if not isinstance(info.default, str) else info.default
    return f"`{text if len(text) <= 60 else 'see source'}`".replace("|", "\\|")


def json_schema() -> dict[str, Any]:
    """JSON Schema of a pipeline file, with every stage's, source's and output's keys.

    Which keys there are follows from `stage` or `type` (if, then), so that an editor's message is
    about the keys of this stage, and names it.
    """
    schema = PipelineConfig.model_json_schema(schema_generator=DescribedSchema)
    definitions = schema.setdefault("$defs", {})
    places: dict[str, tuple[str, Mapping[str, type[BaseModel]]]] = {
        "stages": ("stage", {n: stage_class(n).Config for n in known_stages()}),
        "outputs": ("type", OUTPUTS),
        "source": ("type", SOURCES),
    }
    for place, (tag, every) in places.items():
        kinds = dict(every)  # looks for installed ones once
        branches = []
        for name, kind in kinds.items():
            one = kind.model_json_schema(schema_generator=DescribedSchema)
            definitions.update(one.pop("$defs", {}))
            description = (inspect.getdoc(kind) or "").splitlines()[0]
            one["properties"][tag] = {"const": name, "description": description}
            one["title"] = f"{tag}: {name}"
            definitions[f"{place}.{name}"] = one
            branches.append(
                {
                    "if": {"properties": {tag: {"const": name}}, "required": [tag]},
                    "then": {"$ref": f"#/$defs/{place}.{name}"},
                }
            )
        names: dict[str, Any] = {"enum": list(kinds)}
        if place == "stages":  # my_module:MyStage has the keys that its module says
            names = {"anyOf": [names, {"type": "string", "pattern": ":"}]}
        items = {
            "type": "object", "required": [tag], "properties": {tag: names}, "allOf": branches,
        }  # fmt: skip
        if place == "stages":
            items = with_blocks(items, definitions)
        description = schema["properties"][place].get("description", "")
        schema["properties"][place] = {
            "description": description,
            **({"type": "array", "items": items} if place != "source" else one_or_several(items)),
        }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def with_blocks(stage: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The keys of a stage, or of a block of stages over the elements of a list."""
    block = TypeAdapter(EachConfig).json_schema(schema_generator=DescribedSchema)
    definitions.update(block.pop("$defs", {}))
    keys = {key: block["properties"][key] for key in BLOCK_KEYS}
    keys["stages"] = {**keys["stages"], "items": {"$ref": "#/$defs/stage"}}
    own = {"title": "each", "required": ["each"], "properties": keys}
    definitions["block"] = {**block, **own}
    definitions["stage"] = {
        "type": "object",
        "if": {"required": ["each"]},
        "then": {"$ref": "#/$defs/block"},
        "else": stage,
    }
    return {"$ref": "#/$defs/stage"}


def block_page() -> str:
    """Blocks of stages over the elements of a list."""
    config = EachConfig
    text = [
        "## Blocks: `each`", "", inspect.getdoc(config) or "", "",
        "Where a stage could stand, a block may, within a block, too.  It writes the collected "
        "columns as lists and `<name>_kept`, the number of elements that were kept.  Outputs take "
        "the elements with `rows: <name>`.", "",
        keys_table(config, skip=set(config.model_fields) - set(BLOCK_KEYS)), "",
    ]  # fmt: skip
    return "\n".join(text)


def one_or_several(source: dict[str, Any]) -> dict[str, Any]:
    """The keys of one source, or a mapping of names to such."""
    names = {"pattern": SOURCE_NAME.pattern}
    return {
        "if": {"properties": {"type": {"type": "string"}}, "required": ["type"]},
        "then": source,
        "else": {
            "type": "object", "minProperties": 1, "propertyNames": names,
            "additionalProperties": source,
        },
    }  # fmt: skip


if __name__ == "__main__":
    import sys

    sys.stdout.write(stage_pages())
