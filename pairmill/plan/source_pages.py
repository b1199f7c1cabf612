"""docs/sources.md out of the config models: what can be read, an example each, the keys of every
type.
"""

import inspect
import json
from typing import Any

from pydantic import BaseModel

from pairmill.plan.documentation import keys_table
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.catalogue import SOURCES

INPUTS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Parquet, CSV, TSV, JSON lines of URLs and texts (LAION, DataComp, COYO, cc2dataset): "
        "names are recognised",
        {"type": "pairs", "path": "laion/*.parquet"},
    ),
    (
        "the same under other names, with several captions or nested values",
        {
            "type": "pairs",
            "path": "in.jsonl",
            "columns": {"url": "item.url", "text": ["alt", "title"]},
        },
    ),
    (
        "CC12M (CC3M: `cc3m`), which names no columns",
        {"type": "pairs", "path": "cc12m.tsv", "preset": "cc12m"},
    ),
    (
        "another file without a header",
        {"type": "pairs", "path": "in.csv", "names": ["url", "text"]},
    ),
    (
        "one JSON document: an array, SBU, RedCaps, an object with one list of rows",
        {"type": "pairs", "path": "sbu.json"},
    ),
    (
        "a JSON document with several lists",
        {"type": "pairs", "path": "in.json", "json_path": "$.annotations"},
    ),
    (
        "COCO: images joined with their captions, or all annotations of an image in its row",
        {"type": "pairs", "path": "captions_train2017.json", "images": "train2017"},
    ),
    (
        "LLaVA, ShareGPT4V: conversations and a folder of images",
        {"type": "pairs", "path": "llava.json", "images": "images"},
    ),
    (
        "a table that names local files, also as `file://`",
        {"type": "pairs", "path": "in.csv", "image": "file_name", "images": "pictures"},
    ),
    ("Parquet with image bytes, Hugging Face's too", {"type": "parquet", "path": "data"}),
    (
        "the same where images are paths alone",
        {"type": "parquet", "path": "data", "images": "/data/pictures"},
    ),
    (
        "WebDataset tars of img2dataset, DataComp and others, also packed",
        {"type": "webdataset", "path": "shards/*.tar"},
    ),
    (
        "the same with another image and a mask by a name of its own",
        {
            "type": "webdataset",
            "path": "shards",
            "image": "rgb.png;jpg",
            "columns": {"mask": "seg.png"},
        },
    ),
    (
        "a folder of images with `.txt` and `.json` beside them (img2dataset's `files`)",
        {"type": "folder", "path": "pictures"},
    ),
    (
        "Hugging Face's `imagefolder`: `metadata.jsonl` or `.csv`; folders of classes",
        {"type": "folder", "path": "imagefolder"},
    ),
    ("what `datasets` saved with `save_to_disk`", {"type": "arrow", "path": "saved"}),
    (
        "DataComp's metadata with the embeddings in `.npz` beside them, joined by uid",
        {"type": "pairs", "path": "metadata", "embeddings": "metadata"},
    ),
    ("TFRecord of img2dataset", {"type": "tfrecord", "path": "shards/*.tfrecord"}),
    ("Lance", {"type": "lance", "path": "set.lance"}),
    ("a package that pairmill wrote", {"type": "package", "path": "out"}),
    (
        "the rows that another pipeline kept, without a package between",
        {"type": "pairmill", "pipeline": "first.yaml", "columns": ["image", "clip_score"]},
    ),
)
"""Inputs by their shape, and the source that reads them."""
NOT_YET = (
    "Not read yet: pages of many images and sentences (MMC4, OBELICS); rows of several images. "
    "They are refused with a message."
)


SEVERAL = (
    "## Several sources",
    "",
    "`source:` is one source, or a mapping of names to sources:",
    "",
    "```yaml",
    "source:",
    "  web: {type: pairs, path: laion/*.parquet, set: {license: unknown}}",
    "  shop: {type: pairs, path: shop.csv, columns: {url: link}, set: {license: cc-by}}",
    "```",
    "",
    "- The rows of a source stand behind those of the one before, and carry its name in `source`. "
    "What "
    "stands there in a pipeline with one source (the input file, or the input's own column "
    "`source`) "
    "is in `source_within`; of a package of several sources as `NAME/FILE`.",
    "- Columns are united: a column that a source does not have is null in its rows; types become "
    "the "
    "narrowest that holds both (integers and doubles become doubles; an integer that no double "
    "holds "
    "makes its row unreadable; integers beside decimals become decimals). A column in which a "
    "source has no value takes the type of the others. Types that have none in "
    "common are an error that names both files.",
    "- Each source has its own keys: mapping, types, constant columns (`set:`). What reading one "
    "has to "
    "say begins with its name.",
    "- Uids are unique over all: where a source brings a uid that stands in one before, its row "
    "gets "
    "another, which is told. `doc_id` begins with the source's name (`shop/17`), so that documents "
    "of "
    "two sources are two. `rows_per_shard` is the smallest that a source asks for.",
    "- Pictures in files and pictures behind addresses do not go through one pipeline: `download` "
    "writes the column that the files are read into. Write a pipeline for each, and one whose "
    "sources are what they keep: `files: {type: pairmill, pipeline: files.yaml}`, `web: {type: "
    "pairmill, pipeline: web.yaml}`.",
    "",
)


def source_page() -> str:
    """The whole page; every example is checked by its config model."""
    lines = [
        "# Sources",
        "",
        "Generated from the config models by `python -m pairmill.plan.source_pages`.",
        "",
        "Folders are read with all folders below; hidden and side files, workspaces, and packages "
        "that this pipeline wrote are skipped and told. What cannot be read is an `unreadable` row "
        "with its place and reason (`pairmill inspect p.yaml --fate unreadable` lists all); "
        "whatever is skipped, repaired or guessed is counted and "
        "told at the end of the run.",
        "",
        "| input | `source:` |",
        "| --- | --- |",
        *(f"| {shape} | `{example(keys)}` |" for shape, keys in INPUTS),
        "",
        NOT_YET,
        "",
        *SEVERAL,
        "## Keys of every source",
        "",
        keys_table(SourceConfig, skip={"type"}),
        "",
        *(line for name, config in SOURCES.items() for line in section(name, config)),
    ]
    return "\n".join(lines)


def example(keys: dict[str, Any]) -> str:
    """A source as one line of YAML; raises ValidationError where it would not do."""
    SOURCES[keys["type"]].model_validate(keys)
    return flow(keys)


def flow(value: Any) -> str:
    """A value in YAML's flow style, texts quoted only where they have to be."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    plain = isinstance(value, str) and not set(value) & set("{}[],#&!|>'\"%@`$*;: ")
    return value if plain else json.dumps(value, ensure_ascii=False)


def section(name: str, config: type[BaseModel]) -> list[str]:
    """Lines of Markdown on one type of source: what it reads, and the keys of its own."""
    common = {n for n in SourceConfig.model_fields if n in config.model_fields} - {"path"}
    return [
        f"## {name}", "", inspect.getdoc(config) or "", "", keys_table(config, skip=common), ""
    ]  # fmt: skip


if __name__ == "__main__":
    import sys

    sys.stdout.write(source_page())
