"""Faults of keys and values in words: what was found, what would be right."""

import difflib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel

from pairmill.redaction import shown
from pairmill.schemas.field_docs import description_of
from pairmill.texts.languages import NAMES

ELSEWHERE = {
    "filter": "keep", "condition": "keep", "where": "keep", "if": "when", "prefix": "name",
    "gpu": "gpus", "num_gpus": "gpus", "cpu": "cpus", "num_cpus": "cpus", "ram": "memory",
    "workers": "replicas", "num_workers": "replicas", "top": "fraction", "steps": "stages",
    "process": "stages", "input": "source", "inputs": "source", "export_path": "outputs",
    "shard_size": "samples_per_shard", "destination": "path", "output_path": "path",
    "dataset_path": "path", "file": "path", "files": "path", "url": "path", "limit": "--limit",
    "csv": "pairs", "tsv": "pairs", "jsonl": "pairs", "json": "pairs", "laion": "pairs",
    "wds": "webdataset", "tar": "webdataset", "images": "folder", "imagefolder": "folder",
    "huggingface": "parquet", "hf": "parquet",
}  # fmt: skip
"""What keys and kinds are called elsewhere, and here."""

LINES = ("csv", "tsv", "json", "jsonl", "jsonlines", "ndjson")
"""Kinds of files that an output of type `table` may write."""


def nearest(given: str, known: Sequence[str]) -> str:
    """`; did you mean …?` with the nearest name, or what another tool's name is called here."""
    name = ELSEWHERE.get(given.lower(), "")
    if name == "--limit":
        return "; it is an option of the command line: --limit 100"
    if given.lower() in LINES and "table" in known:
        return "; did you mean 'table'? Its `format` is parquet, csv or jsonl"
    near = [name] if name in known else difflib.get_close_matches(given, known, 1)
    near = near or [k for k in known if set(given.lower().split("_")) <= set(k.split("_"))]
    return f"; did you mean {near[0]!r}?" if near else ""


def kind_of(value: Any) -> str:
    """What a value of a pipeline file is."""
    kinds: dict[type, str] = {dict: "a map", list: "a list", str: "a text", bool: "true or false"}
    return "empty" if value is None else kinds.get(type(value), "a number")


def explain(kind: type[BaseModel], fault: Any) -> str:
    """One pydantic fault in words: what was found, what would be right."""
    place = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        keys = keys_at(kind, fault["loc"][:-1])
        near = nearest(str(fault["loc"][-1]), keys)
        return f"unknown key {place!r}{near} (keys: {', '.join(keys)})"
    if fault["type"] == "missing":
        model, key = model_at(kind, fault["loc"][:-1]), str(fault["loc"][-1])
        known = model is not None and key in model.model_fields
        what = " ".join(description_of(model, key).split()) if model and known else ""
        return f"the key {place!r} is missing: {what or 'needed'}"
    if fault["type"] == "string_pattern_mismatch":
        pattern = fault["ctx"]["pattern"]
        example = fitting(str(fault["input"]), pattern)
        advice = f"write for example `{example}`" if example else f"it has to fit {pattern}"
        return f"{place}: {fault['input']!r:.80} does not fit; {advice}"
    if fault["input"] is None and "Input should be" in fault["msg"]:
        return f"{place} is empty; write a value behind it, or take the key away"
    message = re.sub(r" or instance of \w+", "", fault["msg"][0].lower() + fault["msg"][1:])
    for words, ours in PYDANTIC:
        message = message.replace(words, ours)
    found = shown(fault["input"], 80)
    return f"{place}: {message.removeprefix('value error, ')}; found {found}{remedy(fault)}"


def of_one_kind(faults: Sequence[Any]) -> list[Any]:
    """The faults of a value that may be of several kinds as one, of the first kind that is no list
    or map; pydantic tells one for each kind, and adds the kind to the place.
    """
    found: dict[tuple[Any, ...], Any] = {}
    for fault in faults:
        loc = tuple(fault["loc"])
        kind = str(loc[-1]) if loc else ""
        several = KIND.match(kind) is not None
        key = loc[:-1] if several else loc
        if not several or key not in found or kind in PLAIN:
            found[key] = {**fault, "loc": key}
    return list(found.values())


KIND = re.compile(r"(str|int|float|bool|list\[.*|dict\[.*|constrained-\w+)$")
PLAIN = ("str", "int", "float", "bool")
"""Kinds of values as pydantic writes them behind the place of a value that may be of several."""


PYDANTIC = (
    ("input should be a valid string", "this has to be a text"),
    ("input should be a valid integer", "this has to be a whole number"),
    ("input should be a valid number", "this has to be a number"),
    ("input should be a valid boolean", "this has to be true or false"),
    ("input should be a valid list", "this has to be a list"),
    ("input should be a valid dictionary", "this has to be a map of keys"),
    ("input should be", "this has to be"),
)
"""What pydantic says, and what we say."""
ASKED = re.compile(r"valid (string|integer|number|boolean|list)")


def remedy(fault: Any) -> str:
    """How a value of another type than was asked for becomes a right one."""
    asked, value = ASKED.search(fault["msg"]), fault["input"]
    kind = asked[1] if asked else ""
    key = str(fault["loc"][-1]) if fault["loc"] else ""
    if kind == "string" and isinstance(value, list) and key in ("keep", "when", "where"):
        return "; write one expression, its parts joined by AND"
    if kind == "string" and isinstance(value, bool | int | float):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"; put it in quotes: '{text}'"
    if kind == "list" and isinstance(value, bool):
        hosts = key == "allow_private_hosts"
        return (
            f"; name them{', such as [127.0.0.1, 10.0.0.0/8]' if hosts else ' in brackets: [a, b]'}"
        )
    if kind == "list" and not isinstance(value, list | dict):
        return f"; write [{value}]"
    if kind in ("integer", "number") and isinstance(value, str):
        if re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", value):
            return "; take the quotes away"
        if kind == "number" and (share := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)):
            return f"; write {float(share[1]) / 100:g}"
    if kind == "boolean" and str(value).lower() in ("yes", "on", "1", "true"):
        return "; write true"
    if kind == "boolean" and str(value).lower() in ("no", "off", "0", "false"):
        return "; write false"
    if key == "report" and (value is False or str(value).lower() in ("no", "off", "false")):
        return "; write `report: none`"
    return ""


EXAMPLES = ("english_only", "english-only", "4 GB", "$.rows", "MY_TOKEN")


def fitting(given: str, pattern: str) -> str | None:
    """A text that fits a pattern: what was given, its strange characters replaced, or another."""
    plain = (
        unicodedata.normalize("NFKD", given.replace("ß", "ss")).encode("ascii", "ignore").decode()
    )
    near = [re.sub(r"[^A-Za-z0-9]+", joint, plain).strip(joint)[:40] for joint in ("-", "_")]
    codes = [code for code, name in NAMES.items() if name.lower() == given.lower()]
    candidates = [*codes, *near, *(n.lower() for n in near), *EXAMPLES]
    return next((c for c in candidates if c != given and re.search(pattern, c)), None)


def keys_at(kind: type[BaseModel], loc: Sequence[Any]) -> list[str]:
    """Keys that may stand at a place of a model; none where no model stands there."""
    model = model_at(kind, loc)
    return list(model.model_fields) if model else []


def model_at(kind: type[BaseModel], loc: Sequence[Any]) -> type[BaseModel] | None:
    """The model at a place of another, numbers of list items passed by; None if there is none."""
    for step in loc:
        if isinstance(step, int):
            continue
        field = kind.model_fields.get(str(step))
        inner = models_in(field.annotation) if field else []
        if not inner:
            return None
        kind = inner[0]
    return kind


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models in a type: itself, a list's items, a union's members."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]
