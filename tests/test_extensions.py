"""Code of others: what it raises is told with file and line; packages bring stages, sources and
outputs by entry points.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError

Write = Callable[[str], Path]
STAGE = """
import pyarrow as pa
from pairmill.stage import Stage, column

{top}
class OwnStage(Stage):
    prefix = "{prefix}"
    def __init__(self, config):
        super().__init__(config)
        {init}
    def reads(self):
        {reads}
        return ["text"]
    def writes(self):
        {writes}
        return pa.schema([column(self.column(), pa.int32(), "x")])
    def __call__(self, rows):
        raise ValueError("every row")
"""
FILE = """
name: own
source: {{type: parquet, path: pairs.parquet}}
stages:
  - stage: {module}:OwnStage
"""


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (1, {"init": "1 / 0"}, r"ZeroDivisionError: division by zero \(\S+/own1.py:10\)"),
        (2, {"reads": "{}['x']"}, r"KeyError: 'x' \(\S+/own2.py:12\)"),
        (3, {"writes": "raise OSError('no')"}, r"OSError: no \(\S+/own3.py:15\)"),
        (4, {"top": "1 / 0"}, r"cannot be imported: ZeroDivisionError: .* \(\S+/own4.py:5\)"),
        (5, {"top": "def"}, r"cannot be imported: SyntaxError: .* \(\S+/own5.py:5\)"),
        (6, {"top": "import nowhere"}, r"No module named 'nowhere' \(\S+/own6.py:5\)"),
        (7, {"prefix": ""}, "names a column ''; set the class's `prefix`"),
        (8, {"prefix": "row"}, "writes a column 'row', a name that pairmill uses itself"),
        (9, {"prefix": "error"}, "writes a column 'error', a name that pairmill uses itself"),
        (10, {"writes": "return ['x']"}, r"as a pyarrow.Schema, and gives \['x'\]"),
        (11, {"reads": "return 'text'"}, "as a list, and gives 'text'"),
        (12, {"reads": "return ['own']"}, "writes the column 'own' that it reads"),
    ],
)
def test_code_of_others_that_raises_or_names_bad_columns_is_told_with_its_place(
    number: int, code: dict[str, str], message: str, pairs: Path, write: Write
) -> None:
    parts = {"top": "", "init": "pass", "reads": "", "writes": "", "prefix": "own"}
    (pairs.parent / f"own{number}.py").write_text(STAGE.format(**parts | code))
    with pytest.raises(PipelineFileError, match=message):
        Pipeline.from_yaml(write(FILE.format(module=f"own{number}")))


PACKAGE = """
from typing import Literal

import pyarrow as pa

from pairmill.outputs.parquet import ParquetOutputConfig, ParquetWriter
from pairmill.sources.tables import ParquetConfig, TableSource
from pairmill.stage import Stage, column


class ShoutStage(Stage):
    prefix = "shout"

    def reads(self):
        return ["text"]

    def writes(self):
        return pa.schema([column(self.column(), pa.string(), "louder", role="caption")])

    def __call__(self, rows):
        return pa.table([[t.upper() for t in rows["text"].to_pylist()]], self.writes().names)


class OtherConfig(ParquetConfig):
    type: Literal["other"] = "other"


class OtherSource(TableSource):
    Config = OtherConfig


class LoudConfig(ParquetOutputConfig):
    type: Literal["loud"] = "loud"


class LoudWriter(ParquetWriter):
    Config = LoudConfig
"""


def test_stage_source_and_output_of_another_package_are_found_by_entry_points(
    pairs: Path, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The stranger's captioner is in the report's measures, by what its column says it is."""
    facts = tmp_path / "installed/other_pairs-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: other-pairs\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[pairmill.stages]\nshout = other_pairs:ShoutStage\n"
        "[pairmill.sources]\nother = other_pairs:OtherSource\n"
        "[pairmill.outputs]\nloud = other_pairs:LoudWriter\nbroken = other_pairs:ShoutStage\n"
    )
    (tmp_path / "installed/other_pairs.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    text = """
name: others
source: {type: other, path: pairs.parquet}
stages: [{stage: shout, keep: shout IS NOT NULL}]
outputs: [{type: loud, path: out, caption: shout}]
"""
    result = Pipeline.from_yaml(write(text)).run(local=True, progress=False)
    assert result.funnel.kept == 40
    data = json.loads((Path(result.folder) / "report/data.json").read_text())
    assert [measure["column"] for measure in data["captions"]] == ["text", "shout"]
    with pytest.raises(PipelineFileError, match="'ShoutStage' is no subclass of Writer"):
        Pipeline.from_yaml(write(text.replace("type: loud", "type: broken")))
    with pytest.raises(PipelineFileError, match=r"unknown output 'low' .*loud"):
        Pipeline.from_yaml(write(text.replace("type: loud", "type: low")))
