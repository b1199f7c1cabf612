"""Rows that fan out and come back: `each` blocks over tiles and sentences."""

import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from pairmill import Stage, StageConfig, column
from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.packages.package import verify
from pairmill.run_result import RunResult
from pairmill.workspace.contents import collect, unused
from pairmill.workspace.storage import Storage
from pairmill.workspace.verify import verify_workspace
from tests.test_history import CountedStage

TEXTS = ["One. Two two. Three.", "Four four four.", "", None, "Five. Six six six six. Seven."]
WORDS = [
    ["One.", "Two two.", "Three."], ["Four four four."], [], None,
    ["Five.", "Six six six six.", "Seven."],
]  # fmt: skip
SENTENCES = """
name: rows
source: {{type: pairs, path: pairs.parquet, rows_per_shard: {rows}}}
stages:
  - stage: sentences
    on_missing: keep
  - each: sentences
    stages:
      - stage: tests.test_history:CountedStage
        name: long
        of: sentences
        keep: {gate}
    collect: [long, sentences_2]
  - stage: derive
    name: much
    expression: sentences_kept * 10
    on_missing: keep
outputs:
  - {{type: table, path: out, columns: [text, sentences, long, sentences_kept, much]}}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "pipeline.yaml"
        file.write_text(text)
        return file

    return write


def table_of(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "**/*.parquet")


def test_elements_are_rows_gates_drop_them_alone_and_columns_come_back(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    pl.DataFrame({"text": TEXTS * 3, "n": range(15)}).write_parquet(tmp_path / "pairs.parquet")
    text = SENTENCES.format(rows=4, gate="long > 5").replace(", sentences_2", "")
    CountedStage.seen.clear()
    result = Pipeline.from_yaml(write(text)).run(progress=False)
    rows = table_of(tmp_path / "out").sort("text")
    lengths = {t: None if w is None else [len(s) if len(s) > 5 else None for s in w]
               for t, w in zip(TEXTS, WORDS, strict=True)}  # fmt: skip
    assert rows.height == 15
    for row in rows.iter_rows(named=True):
        want = lengths[row["text"]]
        kept = None if want is None else sum(n is not None for n in want)
        assert (row["long"], row["sentences_kept"]) == (want, kept)
        assert row["much"] == (None if kept is None else kept * 10)
    assert [s.stage for s in result.funnel.steps] == [
        "source",
        "sentences",
        "each sentences",
        "much",
    ]
    inside = result.funnel.steps[2].elements
    assert inside is not None
    assert (inside.rows, inside.kept) == (21, 15)
    assert inside.steps[1].dropped == 6
    assert len(CountedStage.seen) == 21


TILES = """
name: tiled
source: {{type: parquet, path: pairs.parquet, rows_per_shard: 4}}
stages:
  - stage: resolution
    keep: width > {wide}
  - stage: tiles
    grid: [2, 2]
    format: png
    keep: tiles_count > 0
  - each: tiles
    stages:
      - stage: tests.test_each:ShadeStage
        name: shade
        keep: shade < {shade}
    collect: [shade, box]
outputs:
  - {{type: parquet, path: out, columns: [text, shade, box]}}
  - {{type: parquet, path: parts, rows: tiles, columns: [parent_uid, place, text, box, shade]}}
  - {{type: parquet, path: dark, rows: tiles, where: place < 2, columns: [text], after: source}}
"""


class ShadeConfig(StageConfig):
    image: str = "image"


class ShadeStage(Stage):
    """The red of a picture's first pixel."""

    Config = ShadeConfig
    prefix = "shade"
    flush_s = 0.0
    seen: ClassVar[list[bytes]] = []
    stop_after: ClassVar[int | None] = None

    def reads(self) -> list[str]:
        return [self.config.image]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int32(), "red")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        images = rows[self.config.image].to_pylist()
        self.seen += images
        if self.stop_after is not None and len(self.seen) > self.stop_after:
            raise KeyboardInterrupt
        return pa.table([[shade_of(image) for image in images]], schema=self.writes())


def shade_of(image: bytes) -> int:
    return int(np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))[0, 0, 0])


def pictures_in(folder: Path, count: int, wide: int = 40) -> None:
    """Pictures whose four quarters have shades of their own; every third is small."""
    images = []
    for i in range(count):
        pixels = np.zeros((20, wide if i % 3 else 20, 3), np.uint8)
        for quarter in range(4):
            down, across = divmod(quarter, 2)
            half = pixels.shape[1] // 2
            pixels[down * 10 :, across * half :, 0] = 10 * (i % 5) + quarter
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        images.append(out.getvalue())
    frame = pl.DataFrame({"image": images, "text": [f"text {i}" for i in range(count)]})
    frame.write_parquet(folder / "pairs.parquet")


def test_tiles_are_rows_their_bytes_stay_in_the_list_and_outputs_take_them(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    pictures_in(tmp_path, 15)
    ShadeStage.seen.clear()
    result = Pipeline.from_yaml(write(TILES.format(wide=30, shade=42))).run(progress=False)
    assert len(ShadeStage.seen) == 40  # of ten wide pictures
    parts = table_of(tmp_path / "parts")
    want = {
        (f"text {i}", place): 10 * (i % 5) + place
        for i in range(15) if i % 3 for place in range(4) if 10 * (i % 5) + place < 42
    }  # fmt: skip
    found = {(r["text"], r["place"]): r["shade"] for r in parts.iter_rows(named=True)}
    assert found == want
    for row in parts.iter_rows(named=True):
        assert shade_of(row["image"]["bytes"]) == row["shade"]
    assert table_of(tmp_path / "dark").height == 20
    whole = table_of(tmp_path / "out")
    for row in whole.iter_rows(named=True):
        i = int(row["text"].split()[1])
        assert row["shade"] == [s if (s := 10 * (i % 5) + q) < 42 else None for q in range(4)]
    for package in ("out", "parts", "dark"):
        assert verify(str(tmp_path / package)) == []
    assert result.elements["tiles"].table().height == 40


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of a package's files, but for those that name the run's day or place."""
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*.parquet"))
    }


def run_tiles(folder: Path, wide: int = 30, shade: int = 42, **sets: str) -> RunResult:
    """Runs TILES in a folder; ShadeStage.seen holds what it computed."""
    file = folder / "pipeline.yaml"
    file.write_text(TILES.format(wide=wide, shade=shade))
    ShadeStage.seen.clear()
    return Pipeline.from_yaml(file, sets).run(progress=False, write_report=False)


def fresh(tmp_path: Path, folder: Path, **keys: Any) -> dict[str, dict[str, str]]:
    """The packages of a workspace that saw nothing before, over the same input."""
    other = tmp_path / "fresh"
    shutil.rmtree(other, ignore_errors=True)
    other.mkdir()
    shutil.copy(folder / "pairs.parquet", other)
    run_tiles(other, **keys)
    return {name: digests(other / name) for name in ("out", "parts", "dark")}


def test_a_looser_gate_on_parents_computes_elements_of_the_newly_living_alone(
    tmp_path: Path,
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    pictures_in(here, 15)
    run_tiles(here)
    assert len(ShadeStage.seen) == 40
    run_tiles(here)
    assert ShadeStage.seen == []
    run_tiles(here, shade=22)  # a gate inside computes nothing
    assert ShadeStage.seen == []
    run_tiles(here, wide=10)
    assert len(ShadeStage.seen) == 20  # of five small pictures
    found = {name: digests(here / name) for name in ("out", "parts", "dark")}
    assert found == fresh(tmp_path, here, wide=10)
    run_tiles(here, wide=30)
    assert ShadeStage.seen == []


def test_rows_that_come_and_go_cost_their_own_elements(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    pictures_in(here, 15)
    run_tiles(here)
    frame = pl.read_parquet(here / "pairs.parquet")
    new = frame[1:2].with_columns(text=pl.lit("another"))
    pl.concat([frame[:5], new, frame[7:]]).write_parquet(here / "pairs.parquet")
    run_tiles(here)
    assert len(ShadeStage.seen) == 4
    found = {name: digests(here / name) for name in ("out", "parts", "dark")}
    assert found == fresh(tmp_path, here)


def test_gc_keeps_what_runs_use_of_child_tables_and_removes_the_rest(tmp_path: Path) -> None:
    pictures_in(tmp_path, 15)
    first = run_tiles(tmp_path, wide=10)
    storage = Storage(str(tmp_path / "workspace"))
    assert unused(storage) == []
    run_tiles(tmp_path, wide=30)
    assert unused(storage) == []
    shutil.rmtree(first.folder)
    gone = {s.folder.partition("-")[0] for s in unused(storage)}
    assert gone >= {"shards", "elements", "columns/each"}
    collect(storage, unused(storage))
    assert verify_workspace(storage).faults == []
    run_tiles(tmp_path, wide=30)
    assert ShadeStage.seen == []
    shutil.rmtree(tmp_path / "workspace/runs")
    collect(storage, unused(storage))
    left = [n for n, _ in storage.files(recursive=True) if n.endswith(".parquet")]
    assert left == []


def test_an_interrupted_block_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pictures_in(tmp_path, 15)
    text = TILES.format(wide=30, shade=42).replace(
        "keep: shade", "batch_size: 3\n        keep: shade"
    )
    (tmp_path / "pipeline.yaml").write_text(text)
    ShadeStage.seen.clear()
    ShadeStage.stop_after = 20
    with pytest.raises(KeyboardInterrupt):
        Pipeline.from_yaml(tmp_path / "pipeline.yaml").run(progress=False)
    ShadeStage.stop_after = None
    Pipeline.from_yaml(tmp_path / "pipeline.yaml").run(progress=False)
    assert len(ShadeStage.seen) <= 40 + 12  # a shard of four parents' tiles at most is lost
    assert table_of(tmp_path / "parts").height == 36


def test_forgotten_bytes_of_lists_are_made_again_where_a_looser_gate_wants_them(
    tmp_path: Path,
) -> None:
    pictures_in(tmp_path, 15)
    text = TILES.format(wide=10, shade=90).replace("keep: tiles_count > 0", "store: kept\n    GATE")
    for gate in ("keep: width > 30", "keep: width > 10"):
        (tmp_path / "pipeline.yaml").write_text(text.replace("GATE", gate))
        ShadeStage.seen.clear()
        Pipeline.from_yaml(tmp_path / "pipeline.yaml").run(progress=False)
    assert len(ShadeStage.seen) == 20
    parts = table_of(tmp_path / "parts")
    assert parts.height == 60
    assert all(shade_of(r["image"]["bytes"]) == r["shade"] for r in parts.iter_rows(named=True))


NESTED = """
name: nested
source: {type: pairs, path: pairs.parquet, rows_per_shard: 4}
stages:
  - {stage: "tests.test_each:LinesStage", on_missing: keep}
  - each: lines
    stages:
      - {stage: sentences, text: lines}
      - each: sentences
        name: parts
        stages:
          - stage: dedup
            on: [sentences]
            keep: dup_of IS NULL
          - stage: tests.test_history:CountedStage
            name: letters
            of: sentences
            when: place < 2
            keep: letters IS NULL OR letters < 9
        collect: [letters, sentences_copy]
      - stage: derive
        name: most
        expression: parts_kept
        keep: most > 0
    collect: [letters, most]
outputs:
  - {type: table, path: out, columns: [text, letters, most, lines_kept]}
  - {type: table, path: parts, rows: parts, columns: [parent_uid, lines, sentences, letters, text]}
"""


class LinesStage(Stage):
    """The lines of a text."""

    prefix = "lines"

    def reads(self) -> list[str]:
        return ["text"]

    def writes(self) -> pa.Schema:
        return pa.schema([column("lines", pa.list_(pa.string()), "lines")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        return pa.table([[t.split("|") for t in rows["text"].to_pylist()]], schema=self.writes())


def test_blocks_nest_and_stages_over_all_elements_look_at_those_of_living_parents(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    texts = ["Aa. Bb bb.|Cc.", "Aa.|Dd. Bb bb. Ee.", "Unheard of words. Cc.", None, "Ff."]
    pl.DataFrame({"text": texts * 2}).write_parquet(tmp_path / "pairs.parquet")
    text = NESTED.replace(", sentences_copy", "")
    result = Pipeline.from_yaml(write(text)).run(progress=False)
    # of equal sentences one is kept: Aa, Bb bb, Cc, Dd, Ee, Ff; a long one is dropped
    parts = table_of(tmp_path / "parts")
    assert sorted(parts["sentences"]) == ["Aa.", "Bb bb.", "Cc.", "Dd.", "Ee.", "Ff."]
    assert dict(parts.select("sentences", "letters").iter_rows())["Ee."] is None  # place 2
    lines, inner = result.elements["lines"], result.elements["parts"]
    fates = lines.table(["lines", "parts_kept"])
    kept = fates.filter(pl.col("fate") == "kept")
    assert kept["parts_kept"].sum() == parts.height
    assert set(fates.filter(pl.col("fate") == "dropped")["parts_kept"]) == {0}
    step = result.funnel.steps[2]
    assert step.elements is not None
    inside = step.elements.steps[2].elements
    assert inside is not None
    assert (step.elements.rows, inside.rows, inside.kept) == (12, 20, 6)
    assert inner.table().height == 20
    out = table_of(tmp_path / "out")
    for row in out.iter_rows(named=True):
        if row["letters"] is not None:
            assert row["lines_kept"] == sum(one is not None for one in row["letters"])
            assert [one is None for one in row["letters"]] == [m is None for m in row["most"]]


def test_faults_of_blocks_stand_at_their_places(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    pl.DataFrame({"text": TEXTS}).write_parquet(tmp_path / "pairs.parquet")
    file = write("""\
name: wrong
source: {type: pairs, path: pairs.parquet}
stages:
  - stage: sentences
  - each: sentenses
  - each: text
  - each: sentences
    keep: place < 2
  - each: sentences
    name: gone
    stages:
      - {stage: derive, name: half, expression: sentences_cnt / 2}
      - {stage: text_rulez}
  - each: sentences
    name: words
    stages:
      - {stage: text_rules, text: sentences, keep: text_wrds > 1}
      - {stage: text_rules, text: sentences}
    collect: [text_words, half]
""")
    with pytest.raises(PipelineFileError) as told:
        Pipeline.from_yaml(file)
    found = {(p.line, p.column): p.message for p in told.value.problems}
    assert "unknown stage 'text_rulez'" in found[13, 10]
    assert "`keep:` is a key of stages" in found[7, 5]
    text = file.read_text().replace("    keep: place < 2\n", "    limit: 2\n")
    file.write_text(text.replace("      - {stage: text_rulez}\n", ""))
    with pytest.raises(PipelineFileError) as told:
        Pipeline.from_yaml(file)
    found = {(p.line, p.column): p.message for p in told.value.problems}
    assert "nothing before it writes this column (lists: sentences" in found[5, 5]
    assert "needs a list, and 'text' is string" in found[6, 5]
    assert "reads 'sentences_cnt'" in found[12, 9]
    assert "did you mean 'text_words'" in found[16, 46]
    assert "two stages are named 'text_rules' (the other is number 6.1)" in found[17, 9]


def test_outputs_name_a_block_and_collect_brings_no_bytes(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    pictures_in(tmp_path, 3)
    text = TILES.format(wide=30, shade=42).replace("rows: tiles,", "rows: tile,", 1)
    with pytest.raises(PipelineFileError, match=r"no block is named 'tile' \(blocks: tiles\)"):
        Pipeline.from_yaml(write(text))
    text = TILES.format(wide=30, shade=42).replace("[shade, box]\nout", "[shade, image]\nout")
    with pytest.raises(PipelineFileError, match="an output with `rows: tiles` writes them"):
        Pipeline.from_yaml(write(text))
    result = Pipeline.from_yaml(
        write(TILES.format(wide=30, shade=42)),
        {"stages.each tiles.limit": "5", "stages.each tiles.stages.shade.keep": "shade < 2"},
    ).run(progress=False)
    assert result.elements["tiles"].table().height == 5
