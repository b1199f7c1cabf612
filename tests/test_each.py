"""Rows that fan out and come back: `each` blocks over tiles and sentences."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from pairmill import Stage, column
from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.packages.package import verify
from tests.test_history import CountedStage
from tests.tiled import TILES, ShadeStage, pictures_in, shade_of, table_of

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


def test_elements_are_rows_gates_drop_them_alone_and_columns_come_back(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    pl.DataFrame({"text": TEXTS * 3, "n": range(15)}).write_parquet(tmp_path / "pairs.parquet")
    text = SENTENCES.format(rows=4, gate="long > 5").replace(", sentences_2", "")
    CountedStage.seen.clear()
    result = Pipeline.from_yaml(write(text)).run(progress=False, write_report=False)
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


def test_tiles_are_rows_their_bytes_stay_in_the_list_and_outputs_take_them(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    pictures_in(tmp_path, 15)
    ShadeStage.seen.clear()
    result = Pipeline.from_yaml(write(TILES.format(wide=30, shade=42))).run(
        progress=False, write_report=False
    )
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
    result = Pipeline.from_yaml(write(text)).run(progress=False, write_report=False)
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
        {"stages.each tiles.limit": "5", "stages.each tiles.stages.shade.keep": "shade > 99"},
    ).run(progress=False, write_report=False)
    assert result.elements["tiles"].table().height == 5
    lists = result.table(["shade"]).filter(fate="kept")["shade"].to_list()
    assert lists == [[None] * 4, [None] * 4]  # of two pictures, as long as ever


FAILING = """
name: failing
source: {type: pairs, path: pairs.parquet, rows_per_shard: 4}
stages:
  - {stage: sentences, on_missing: keep}
  - each: sentences
    stages:
      - {stage: "tests.stages_for_tests:PickyStage", name: picky, bad: [1], max_failures: 1}
    collect: [picky_twice]
outputs:
  - {type: table, path: out, columns: [text, picky_twice, sentences_kept]}
"""


def test_a_failure_inside_is_the_elements(tmp_path: Path, write: Callable[[str], Path]) -> None:
    pl.DataFrame({"text": TEXTS}).write_parquet(tmp_path / "pairs.parquet")
    file = write(FAILING)
    result = Pipeline.from_yaml(file).run(progress=False, write_report=False)
    rows = {r["text"]: r for r in table_of(tmp_path / "out").iter_rows(named=True)}
    for text, words in zip(TEXTS, WORDS, strict=True):
        row = rows[text]
        assert row["picky_twice"] == (
            None if words is None else [None if i == 1 else 2.0 * i for i in range(len(words))]
        )
    assert (result.funnel.kept, result.funnel.steps[-1].failed) == (5, 0)
    inside = result.funnel.steps[2].elements
    assert inside is not None
    assert (inside.rows, inside.kept, inside.steps[1].failed) == (7, 5, 2)
    again = Pipeline.from_yaml(file).run(progress=False, retry=["picky:ZeroDivisionError"])
    assert again.stages["picky"]["computed"] == 2


def test_packages_of_elements_leave_the_parents_bytes_out_and_documents_are_parents(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    pictures_in(tmp_path, 6)
    text = (
        TILES.format(wide=30, shade=42)
        + """\
  - {type: webdataset, path: web, rows: tiles}
  - {type: interleaved, path: documents, rows: tiles, columns: [shade]}
"""
    )
    result = Pipeline.from_yaml(write(text)).run(progress=False, write_report=False)
    web = result.packages[str(tmp_path / "web")]
    assert set(web["parts"][0]["facts"]["kinds"]) == {"json", "png", "txt"}
    documents = table_of(tmp_path / "documents")
    parts = table_of(tmp_path / "parts")
    assert documents.height == parts["parent_uid"].n_unique() == 4
    counts = dict(parts.group_by("parent_uid").len().iter_rows())
    for doc, images in documents.select("doc_id", "images").iter_rows():
        shown = [shade_of(image) for image in images if image is not None]
        assert len(shown) == counts[doc]
        assert shown == sorted(shown)  # in the order of their places
