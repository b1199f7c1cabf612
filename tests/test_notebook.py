"""The example notebook, executed as a person would, and what objects look like there."""

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def test_example_notebook_runs_and_shows_tables_and_pictures() -> None:
    notebook = nbformat.read(ROOT / "examples/first_look.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # stored without what it printed
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [html(cell) for cell in notebook.cells if cell.cell_type == "code"]
    pipeline, funnel, rows, gallery, fates = shown[1:6]
    assert "text_rules" in pipeline
    assert "resolution" in funnel
    assert "IMG_20" in rows
    assert gallery.count("data:image/jpeg") == 2
    assert "kept" in fates


def html(cell: Any) -> str:
    """What a cell's value looks like in a notebook."""
    found = [o["data"].get("text/html", "") for o in cell.outputs if "data" in o]
    return "".join(found)
