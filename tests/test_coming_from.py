"""The page for people who come from other tools names nothing that is not there."""

import re
from pathlib import Path

import pytest

from pairmill.outputs.catalogue import OUTPUTS
from pairmill.plan.remedies import writers
from pairmill.schemas.config import Resources
from pairmill.schemas.pipeline import PipelineConfig
from pairmill.sources.catalogue import SOURCES
from pairmill.stages.catalogue import known_stages, stage_class

DOCS = Path(__file__).parent.parent / "docs"


def known_names() -> set[str]:
    """Stages, types, keys of each, values that a key may have, and columns."""
    configs = [
        PipelineConfig,
        Resources,
        *(SOURCES[name] for name in SOURCES),
        *(OUTPUTS[name] for name in OUTPUTS),
        *(stage_class(name).Config for name in known_stages()),
    ]
    values = re.findall(
        r"'(?:const|enum)': (\[.*?\]|'.*?')", str([c.model_json_schema() for c in configs])
    )
    return {
        *known_stages(), *SOURCES, *OUTPUTS, *writers(),
        *(key for config in configs for key in config.model_fields),
        *re.findall(r"\w+", " ".join(values)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("page", "columns", "expected"), [("coming-from.md", 2, 20), ("download.md", 3, 20)]
)
def test_names_on_our_side_of_the_tables_exist(page: str, columns: int, expected: int) -> None:
    text = (DOCS / page).read_text()
    part = text.split("\n## What a row can end as")[0]
    rows = [re.split(r"(?<!\\)\|", line) for line in part.splitlines() if line.startswith("| ")]
    ours = [cells[2] for cells in rows if len(cells) == columns + 2]
    spans = [span for cell in ours for span in re.findall(r"`([^`]+)`", cell)]
    words = {
        word
        for span in spans
        if not span.startswith(("pairmill ", "RAY_", "run "))
        for word in re.findall(r"[a-z]\w*", re.sub(r"'[^']*'", "", span))
    }
    assert len(words) > expected
    assert words - known_names() - {"true", "null", "runs", "id", "metrics", "json"} == set()
