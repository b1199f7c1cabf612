"""Payload at any depth: sizes stand for it, it is forgotten and computed again, and shown."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from pairmill.api import Pipeline
from pairmill.schemas.arrow import is_payload, payload_sizes
from tests.workspaces import column_files

Write = Callable[[str], Path]


def test_sizes_count_bytes_at_any_depth() -> None:
    tiles = pa.array([[b"ab", b"c"], [], None, [None, b"xyz"]], pa.list_(pa.binary()))
    assert payload_sizes(tiles).to_pylist() == [3, 0, None, 3]
    boxed = pa.array(
        [{"name": "a", "crops": [[b"1", b"22"], [b"333"]]}, None, {"name": "b", "crops": None}],
        pa.struct([("name", pa.string()), ("crops", pa.list_(pa.large_list(pa.large_binary())))]),
    )
    assert payload_sizes(boxed).to_pylist() == [6, None, 0]
    assert payload_sizes(tiles.slice(3)).to_pylist() == [3]
    assert payload_sizes(pa.chunked_array([tiles, tiles])).to_pylist() == [3, 0, None, 3] * 2
    fixed = pa.array([[b"a", b"bb"], None], pa.list_(pa.binary(), 2))
    assert payload_sizes(fixed).to_pylist() == [3, None]
    assert not is_payload(pa.list_(pa.struct([("text", pa.string())])))


FILE = """
name: tiles
source: {type: parquet, path: numbers.parquet, rows_per_shard: 20, columns: {position_in: number}}
stages:
  - {stage: "tests.stages_for_tests:TilesStage", store: kept, log: LOG}
  - {stage: "tests.stages_for_tests:TileCountStage", name: counted, keep: counted < 2}
outputs:
  - {type: parquet, path: out, shuffle: false, image: image}
"""


@pytest.mark.slow
def test_lists_of_bytes_are_forgotten_and_computed_again_for_a_looser_run(
    write: Write, numbers: Path
) -> None:
    """The stage that reads them is computed anew, of the rows that the stricter run dropped."""
    file = write(FILE.replace("LOG", str(numbers / "log")))
    strict = Pipeline.from_yaml(file).run(local=True, progress=False)
    assert strict.funnel.kept == 40
    tiles = strict.table(["tiles"]).rename(lambda name: name.removeprefix("tiles#"))
    assert tiles["forgotten"].sum() == 20  # two tiles each
    kept = tiles.filter(~pl.col("forgotten"))["size"]
    assert kept.eq(0).sum() == kept.gt(0).sum() == 20  # none, and one each
    assert tiles.filter("forgotten")["size"].min() > kept.max()
    stored = pl.concat(map(pl.read_parquet, column_files(numbers / "workspace", "tiles")))
    assert stored["tiles"].null_count() == 20
    looser = {"stages.counted.keep": "counted < 3", "stages.counted.version_of": "2"}
    result = Pipeline.from_yaml(file, looser).run(local=True, progress=False, replace=True)
    assert result.funnel.kept == 60
    assert result.table(["counted"])["counted"].to_list() == [0, 1, 2] * 20
