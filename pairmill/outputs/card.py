"""A package's README.md: what it holds, where it came from, what was left out."""

from typing import Any

import pyarrow as pa

from pairmill.schemas.arrow import doc_of


def dataset_card(manifest: dict[str, Any], schema: pa.Schema, columns: list[str]) -> str:
    """Markdown with Hugging Face's YAML head; every figure is the manifest's."""
    lines = [
        "---",
        f"pretty_name: {manifest['name']}",
        "tags: [image-text, pairmill]",
        f"size_categories: [{size_category(manifest['samples'])}]",
        "---",
        "",
    ]
    lines += [f"# {manifest['name']}", ""]
    lines += [
        f"{manifest['samples']:,} samples in {manifest['shards']} shards ({manifest['format']}), curated by pairmill {manifest['pairmill']}.",
        "",
    ]
    lines += [
        "## Where the rows went",
        "",
        "| step | rows | kept | dropped | missing | failed | gate |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for step in manifest["funnel"]["steps"]:
        gate = f"`{step['gate']}`".replace("|", "\\|") if step["gate"] else ""
        lines.append(
            f"| {step['stage']} | {step['rows']:,} | {step['kept']:,} | {step['dropped']:,} | {step['missing']:,} | {step['failed']:,} | {gate} |"
        )
    lines += [
        "",
        "`missing`: a value that the step or its gate needs is null. Every row's fate stands in the run's ledger.",
        "",
    ]
    lines += [
        "## Columns",
        "",
        "| column | type | unit | range | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in columns:
        field = schema.field(name)
        facts = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        bounds = (
            f"{facts.get('min', '')} … {facts.get('max', '')}"
            if "min" in facts or "max" in facts
            else ""
        )
        lines.append(
            f"| {name} | {field.type} | {facts.get('unit', '')} | {bounds} | {doc_of(field)} |"
        )
    lines += ["", "## Models", ""]
    models = [f"- {name}: {value}" for name, value in manifest["models"].items()]
    lines += models or ["None."]
    lines += [
        "",
        "## Pipeline",
        "",
        "```yaml",
        manifest["pipeline"].rstrip(),
        "```",
        "",
        "Rights in the pictures and texts stay with their owners; `opt_out` and the URLs tell where they came from.",
        "",
    ]
    return "\n".join(lines)


def size_category(samples: int) -> str:
    for limit, name in (
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
        (10_000_000, "1M<n<10M"),
    ):
        if samples < limit:
            return name
    return "n>10M"
