"""`each` over lists of all kinds, and over none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from tests.test_history import CountedStage
from tests.tiled import TILES, ShadeStage, pictures_in, shade_of, table_of

BOXES = [
    [{"uid": "x", "label": "cat", "box": [1, 2]}, None, {"uid": "y", "label": None, "box": None}],
    [],
    None,
    [{"uid": "z", "label": "dog", "box": [3, 4]}],
]
KIND = pa.struct([("uid", pa.string()), ("label", pa.string()), ("box", pa.list_(pa.int32()))])
FILE = """
name: lists
source: {type: pairs, path: pairs.parquet, columns: {things: things, text: text}, rows_per_shard: 2}
stages:
  - each: things
    stages:
      - {stage: text_rules, text: label, on_missing: keep}
    collect: [text_words, COLUMNS]
outputs:
  - {type: table, path: out, columns: [text, text_words, COLUMNS, things_kept]}
  - {type: table, path: parts, rows: things, columns: [place, text, label, box, things_uid]}
"""


@pytest.mark.parametrize("kind", [pa.list_(KIND), pa.large_list(KIND)])
def test_lists_of_structs_of_the_source_and_their_nulls(tmp_path: Path, kind: pa.DataType) -> None:
    texts = [f"text {i}" for i in range(4)]
    table = pa.table({"text": texts, "things": pa.array(BOXES, kind)})
    pq.write_table(table, tmp_path / "pairs.parquet")
    (tmp_path / "p.yaml").write_text(FILE.replace("COLUMNS", "box"))
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(
        progress=False, write_report=False, replace=True
    )
    out = table_of(tmp_path / "out").sort("text")
    assert out["text_words"].to_list() == [[1, None, None], [], None, [1]]
    assert out["box"].to_list() == [[[1, 2], None, None], [], None, [[3, 4]]]
    assert out["things_kept"].to_list() == [3, 0, None, 1]
    parts = table_of(tmp_path / "parts").sort("text", "place")
    assert parts["things_uid"].to_list() == ["x", None, "y", "z"]
    assert parts["place"].to_list() == [0, 1, 2, 0]
    assert result.elements["things"].table()["uid"].n_unique() == 4


def test_lists_of_fixed_size_and_of_pictures(tmp_path: Path) -> None:
    pictures_in(tmp_path, 4)
    images = pl.read_parquet(tmp_path / "pairs.parquet")["image"].to_list()
    rows = [images[:2], [images[2], None], None]
    table = pa.table(
        {
            "text": ["a", "b", "c"],
            "views": pa.array(rows, pa.list_(pa.binary())),
            "box": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)),
        }
    )
    pq.write_table(table, tmp_path / "pairs.parquet")
    (tmp_path / "p.yaml").write_text("""
name: views
source: {type: pairs, path: pairs.parquet}
stages:
  - each: views
    stages:
      - {stage: "tests.tiled:ShadeStage", image: views}
    collect: [shade]
  - each: box
    collect: [place]
outputs:
  - {type: table, path: out, columns: [text, shade, views_kept, place]}
  - {type: table, path: views, rows: views, columns: [text, views, shade]}
""")
    Pipeline.from_yaml(tmp_path / "p.yaml").run(progress=False, write_report=False, replace=True)
    out = table_of(tmp_path / "out").sort("text")
    first, second = [shade_of(i) for i in images[:2]], shade_of(images[2])
    assert out["shade"].to_list() == [first, [second, None], None]
    assert out["views_kept"].to_list() == [2, 1, None]  # without a picture nothing can be computed
    assert out["place"].to_list() == [[0, 1], None, [0, 1]]
    views = table_of(tmp_path / "views")
    assert [shade_of(v) for v in views["views"]] == views["shade"].to_list()


def test_blocks_over_nothing(tmp_path: Path) -> None:
    """No parent lives, or none has an element; a rerun finds that stored."""
    pictures_in(tmp_path, 6)
    for wide, parents in ((1000, 0), (30, 4)):
        text = TILES.format(wide=wide, shade=42)
        if parents:
            text = text.replace("grid: [2, 2]", "boxes: boxes")
            frame = pl.read_parquet(tmp_path / "pairs.parquet")
            empty: list[list[Any]] = [[] for _ in range(frame.height)]
            boxes = pl.Series("boxes", empty, pl.List(pl.List(pl.Int32)))
            frame.with_columns(boxes).write_parquet(tmp_path / "pairs.parquet")
            text = text.replace("tiles_count > 0", "tiles_count = 0")
        (tmp_path / "p.yaml").write_text(text)
        ShadeStage.seen.clear()
        for _ in range(2):
            result = Pipeline.from_yaml(tmp_path / "p.yaml").run(
                progress=False, write_report=False, replace=True
            )
            assert result.funnel.steps[3].rows == parents
            assert result.elements["tiles"].table().height == 0
            assert result.packages[str(tmp_path / "parts")]["samples"] == 0
        assert ShadeStage.seen == []


def test_names_of_blocks_stages_and_columns_compute_nothing(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["One. Two two.", "Three."]}).write_parquet(tmp_path / "pairs.parquet")
    text = """
name: named
source: {type: pairs, path: pairs.parquet}
stages:
  - {stage: sentences, name: LIST}
  - each: LIST
    name: BLOCK
    stages:
      - {stage: "tests.test_history:CountedStage", name: INSIDE, of: LIST}
      - {stage: text_rules, text: LIST}
    collect: [INSIDE]
  - {stage: "tests.test_history:CountedStage", name: behind, of: BLOCK_kept}
outputs:
  - {type: table, path: out}
"""
    file = tmp_path / "p.yaml"
    for names in (("parts", "block", "inside"), ("pieces", "other", "within")):
        CountedStage.seen.clear()
        named = text
        for old, new in zip(("LIST", "BLOCK", "INSIDE"), names, strict=True):
            named = named.replace(old, new)
        file.write_text(named)
        result = Pipeline.from_yaml(file).run(progress=False, write_report=False, replace=True)
        assert len(CountedStage.seen) == (5 if names[0] == "parts" else 0)
        rules = result.stages.get("text_rules", {"computed": 0})
        assert rules["computed"] == (3 if names[0] == "parts" else 0)
        assert result.table([names[2]])[names[2]].to_list() == [[4, 8], [6]]


def test_elements_are_the_source_of_another_pipeline(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    pictures_in(tmp_path, 6)
    (tmp_path / "first.yaml").write_text(TILES.format(wide=30, shade=42))
    first = Pipeline.from_yaml(tmp_path / "first.yaml").run(
        progress=False, write_report=False, replace=True
    )
    second = write("""
name: second
source: {type: pairmill, pipeline: first.yaml, rows: tiles, columns: [image, parent_uid, shade]}
stages:
  - {stage: "tests.tiled:ShadeStage", name: again}
outputs:
  - {type: table, path: again}
""")
    rows = (
        Pipeline.from_yaml(second)
        .run(progress=False, write_report=False, replace=True)
        .table(["shade", "again", "doc_id"])
    )
    kept = first.elements["tiles"].table(["parent_uid"]).filter(fate="kept")
    assert rows["again"].to_list() == rows["shade"].to_list()
    assert sorted(rows["uid"]) == sorted(kept["uid"])
    assert sorted(rows["doc_id"]) == sorted(kept["parent_uid"])


def test_bytes_are_stored_once_whatever_their_column_is_called(tmp_path: Path) -> None:
    """In another input, and twice in one: the file of the bytes is the same."""
    pictures_in(tmp_path, 2)
    images = pl.read_parquet(tmp_path / "pairs.parquet")["image"].to_list()
    views = pa.array([images, None], pa.list_(pa.binary()))
    for names in (["views"], ["scenes"], ["one", "two"]):
        columns = dict.fromkeys(names, views)
        pq.write_table(pa.table({"text": ["a", "b"], **columns}), tmp_path / "pairs.parquet")
        stages = "".join(
            f"  - {{each: {n}, stages: [{{stage: 'tests.tiled:ShadeStage', name: shade_{n}, "
            f"image: {n}}}], collect: [shade_{n}]}}\n"
            for n in names
        )
        source = "name: same\nsource: {type: pairs, path: pairs.parquet}\n"
        (tmp_path / "p.yaml").write_text(f"{source}stages:\n{stages}")
        ran = Pipeline.from_yaml(tmp_path / "p.yaml").run(
            progress=False, write_report=False, replace=True
        )
        wanted = [shade_of(image) for image in images]
        for name in names:
            assert ran.table()[f"shade_{name}"].to_list() == [wanted, None]
        assert len([*(tmp_path / "workspace/payload").glob("*.parquet")]) == 1
