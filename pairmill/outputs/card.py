"""A package's README.md: what it holds, how it is read, where it came from, what was left out."""

import io
import re
from typing import Any

import pyarrow as pa
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from pairmill.outputs.base import Loading
from pairmill.outputs.chosen import chosen
from pairmill.outputs.features import card_features
from pairmill.schemas.arrow import doc_of, unit_of
from pairmill.texts.amounts import amount, counted

PLAIN = re.compile(r"[A-Za-z_][\w .-]*")
WORDS = ("y", "yes", "n", "no", "on", "off", "true", "false", "null", "nan")
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
         (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip


def dataset_card(manifest: dict[str, Any], schema: pa.Schema, loading: Loading) -> str:
    """Markdown with Hugging Face's YAML head; every figure is the manifest's.  `schema`: the
    quality columns.
    """
    parts = [
        f"---\n{head(manifest, loading)}---",
        f"# {manifest['name']}",
        f"{amount(manifest['samples'], 'sample')} in {amount(manifest['shards'], 'shard')} "
        f"({manifest['format']}), "
        f"curated by pairmill {manifest['pairmill']}.",
        reading(loading),
        "## Where the rows went",
        funnel(manifest["funnel"]["steps"]),
        "`missing`: a value that the step or its gate needs is null. Every row's fate stands in "
        "the "
        "run's ledger.",
        remarks(manifest["told"]),
        selection(manifest),
        "## Columns",
        columns(schema),
        f"Not in this package: {', '.join(manifest['left_out'])}." if manifest["left_out"] else "",
        "## Models",
        models(manifest),
        "## Pipeline",
        fenced(manifest["pipeline"], "yaml"),
        f"## Citation\n\n{fenced(manifest['citation'], '')}" if manifest["citation"] else "",
        "Rights in the pictures and texts stay with their owners; `opt_out` and the URLs tell "
        "where "
        "they came from.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def models(manifest: dict[str, Any]) -> str:
    """Which model each stage asked, by its name, engine and prompt; and which revision or content
    stood for it.
    """
    asked = []
    for stage, facts in manifest.get("made_by", {}).items():
        engine = f"{facts.get('engine') or ''} {facts.get('engine_version') or ''}".strip()
        told = [t for t in (facts.get("name"), engine, facts.get("library")) if t]
        asked.append(f"- {stage}: {', '.join(told)}")
    return "\n".join([*asked, *(f"- {k}: {v}" for k, v in manifest["models"].items())]) or "None."


def head(manifest: dict[str, Any], loading: Loading) -> str:
    """The YAML by which `load_dataset` knows which files are the data, and of which types."""
    facts: dict[str, Any] = {
        "pretty_name": manifest["name"],
        "tags": ["image-text", "pairmill"],
        "size_categories": [size_category(manifest["samples"])],
    }
    if manifest["license"]:
        facts |= license_facts(manifest["license"])
    if loading.pattern:
        train = {"split": "train", "path": loading.pattern}
        facts["configs"] = [{"config_name": "default", "data_files": [train], **loading.options}]
        facts["dataset_info"] = {
            "config_name": "default",
            "features": card_features(loading.features, loading.images),
        }
    out = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(safe(facts), out)
    return out.getvalue()


def safe(value: Any) -> Any:
    """The value with texts in quotes that readers of YAML 1.1, as Hugging Face's, take for
    something else: `yes`, `1_000`, `12:30`.
    """
    if isinstance(value, dict):
        return {k: safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [safe(v) for v in value]
    if isinstance(value, str) and (not PLAIN.fullmatch(value) or value.lower() in WORDS):
        return DoubleQuotedScalarString(value)
    return value


def license_facts(license: str) -> dict[str, str]:
    """Hugging Face knows lower-case identifiers; anything else is `other`, with a name or link."""
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license.lower()):
        return {"license": license.lower()}
    kind = "license_link" if "://" in license else "license_name"
    return {"license": "other", kind: license}


def reading(loading: Loading) -> str:
    """The card's section on how the package is loaded; empty where the output tells nothing about
    it.
    """
    if not loading.pattern and not loading.advice:
        return ""
    lines = ["- `datasets.load_dataset(FOLDER, split='train')`"] if loading.pattern else []
    return "\n".join(["## How it is read", "", *lines, *(f"- {one}" for one in loading.advice)])


def funnel(steps: list[dict[str, Any]]) -> str:
    """A Markdown table with the rows that came to each stage and what became of them."""
    lines = [
        "| step | rows | kept | dropped | missing | failed | gate |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for step in steps:
        gate = f"`{cell(step['gate'])}`" if step["gate"] else ""
        counts = " | ".join(
            f"{step[k]:,}" for k in ("rows", "kept", "dropped", "missing", "failed")
        )
        lines.append(f"| {step['stage']} | {counts} | {gate} |")
    return "\n".join(lines)


def selection(manifest: dict[str, Any]) -> str:
    """What this package takes of the rows above."""
    lines = [f"- {' '.join(line.split())}" for line in chosen(manifest)]
    return "\n".join(["## Which rows it takes", "", *lines]) if lines else ""


def remarks(facts: dict[str, int]) -> str:
    """What was done to samples on the way out."""
    if not facts:
        return ""
    return "\n".join(
        ["## What was altered", "", *(f"- {counted(n, what)}" for what, n in facts.items())]
    )


def columns(schema: pa.Schema) -> str:
    """A Markdown table of columns with their types, units, bounds and meanings."""
    lines = ["| column | type | unit | range | meaning |", "| --- | --- | --- | --- | --- |"]
    for field in schema:
        facts = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        bounds = (
            f"{facts.get('min', '')} … {facts.get('max', '')}"
            if {"min", "max"} & set(facts)
            else ""
        )
        meaning = cell(doc_of(field))
        lines.append(
            f"| {cell(field.name)} | {field.type} | {unit_of(field)} | {bounds} | {meaning} |"
        )
    return "\n".join(lines)


def cell(text: str) -> str:
    """A text that fits into one cell of a Markdown table: on one line, its bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")


def fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def size_category(samples: int) -> str:
    """The Hugging Face Hub's name for a number of samples, such as `1K<n<10K`."""
    return next((name for limit, name in SIZES if samples < limit), "n>1B")
