"""The text of a first pipeline file, with a comment at each step that one may want to change."""

import json
from typing import Any

from pairmill.plan.proposal import Proposal

DOWNLOAD = """\
  - stage: download               # fetches, checks and stores the images
    image_size: 512               # larger pictures get this shorter side; null keeps all pixels
"""
SIZE = """\
  - stage: resolution
    keep: shorter_side >= 200 AND aspect <= 3.0          # as in DataComp's basic filter
"""
TEXT = """\
  - stage: text_rules             # cheap steps first: costly ones see fewer rows
    keep: text_words > 2 AND text_chars > 5 AND NOT text_boilerplate
  - stage: language               # a column; to keep English alone, add  keep: lang = 'en'
"""
DEDUP = """\
  - stage: dedup                  # one row of each picture
    "on": [sha256]                # in quotes, as some tools read a bare on as true
    keep: dup_of IS NULL
"""
MODELS = """\
  # A likeness of picture and text, and a caption of one's own.  Both need a model, which is fetched
  # when it is first used, and a GPU for more than some thousand rows.  Take the marks away:
  # - stage: clip
  #   model: openai/clip-vit-base-patch32
  #   keep: clip_score >= 0.28
  # - stage: caption
  #   model: Qwen/Qwen2.5-VL-3B-Instruct
  #   prompt: Describe this picture in one sentence.
"""


def first_pipeline(name: str, proposal: Proposal, file: str) -> str:
    """YAML that validates; `file`: how the pipeline file is called, for the commands in its
    head.
    """
    columns = set(proposal.columns)
    text = "text" in columns
    lines = [
        f"# Check it: pairmill validate {file}\n",
        f"# Try it:   pairmill run {file} --limit 100\n",
        f"name: {name}\n",
        "workspace: workspace              # what is computed once and kept\n",
        "source:\n",
        *(f"  {key}: {yaml_value(value)}\n" for key, value in proposal.keys.items()),
        *(f"  # {line}\n" for line in proposal.mapping),
        "stages:\n",
        TEXT if text else "",  # what fails here costs no download
        "" if proposal.images else DOWNLOAD,
        SIZE,
        DEDUP,
        MODELS,
        "outputs:\n",
        "  - type: webdataset\n    path: shards\n    samples_per_shard: 1000\n",
        "" if text else f"    caption: {instead(columns):<20} # the input has no texts\n",
    ]
    return "".join(lines)


def instead(columns: set[str]) -> str:
    """What stands for a sample where there is no text: an address, the name of a class, nothing."""
    found = next((name for name in ("label", "url") if name in columns), None)
    return found or """\"''\""""


def yaml_value(value: Any) -> str:
    """A value in YAML's flow style, which JSON is."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {yaml_value(v)}" for k, v in value.items()) + "}"
    plain = (
        isinstance(value, str)
        and value.replace("_", "").replace("/", "").replace(".", "").replace("-", "").isalnum()
        and not value[0].isdigit()
    )
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def pipeline_name(path: str) -> str:
    """A name for a pipeline out of its input's: small letters, digits, hyphens."""
    base = path.rstrip("/*").rsplit("/", 1)[-1].partition(".")[0].lower()
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in base).strip("-")
    return plain if plain[:1].isalpha() else f"pairs-{plain}".strip("-")
