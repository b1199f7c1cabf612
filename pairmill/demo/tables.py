"""The demo world as tables: what a pipeline reads, and, apart from it, the truth."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.demo.world import World

CHUNK = 2_000
PAIRS = pa.schema(
    [
        ("url", pa.string()),
        ("text", pa.string()),
        ("page_url", pa.string()),
        ("lang_tag", pa.string()),
    ]
)
TRUTH = pa.schema(
    [
        ("url", pa.string()),
        ("fault", pa.string()),
        ("expected_error", pa.string()),
        ("copy", pa.string()),
        ("picture", pa.int64()),
        ("text_kind", pa.string()),
        ("matched", pa.bool_()),
        ("language", pa.string()),
        ("name", pa.string()),
        ("kinds", pa.list_(pa.string())),
        ("colours", pa.list_(pa.string())),
        ("counts", pa.list_(pa.int32())),
        ("place", pa.string()),
        ("held_out", pa.bool_()),
        ("wrong", pa.string()),
        ("related", pa.bool_()),
        ("watermark", pa.bool_()),
        ("motif", pa.bool_()),
        ("fact_kind", pa.string()),
        ("fact", pa.string()),
    ]
)


def pairs_schema(world: World) -> pa.Schema:
    """What a pipeline sees: with `page_text` where the world's pages tell something."""
    return PAIRS.append(pa.field("page_text", pa.string())) if world.traits.facts else PAIRS


def write_world(world: World, folder: Path) -> tuple[Path, Path]:
    """Writes pairs.parquet and truth.parquet, a chunk at a time; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs, truth = folder / "pairs.parquet", folder / "truth.parquet"
    with (
        pq.ParquetWriter(pairs, pairs_schema(world)) as pair_writer,
        pq.ParquetWriter(truth, TRUTH) as truth_writer,
    ):
        for seen, true in chunks(world):
            pair_writer.write_table(seen)
            truth_writer.write_table(true)
    return pairs, truth


def chunks(world: World) -> Iterator[tuple[pa.Table, pa.Table]]:
    """(what a pipeline sees, the truth) of CHUNK rows at a time."""
    from pairmill.demo.scenes import held_out

    for first in range(0, world.rows, CHUNK):
        rows = [world.row(i) for i in range(first, min(first + CHUNK, world.rows))]
        sight = pairs_schema(world)
        seen = [{name: getattr(r, name) for name in sight.names} for r in rows]
        true = [
            {
                "url": r.url,
                "fault": r.fault,
                "expected_error": r.expected_error,
                "copy": r.copy,
                "picture": r.picture,
                "text_kind": r.text_kind,
                "matched": r.matched,
                "language": r.language,
                "name": r.name,
                "kinds": [g.kind for g in r.scene.groups],
                "colours": [g.colour for g in r.scene.groups],
                "counts": [g.count for g in r.scene.groups],
                "place": r.scene.place,
                "held_out": all(held_out(g.kind, g.colour) for g in r.scene.groups),
                "wrong": r.wrong,
                "related": r.related,
                "watermark": r.scene.watermark,
                "motif": r.scene.motif,
                "fact_kind": r.fact_kind,
                "fact": r.fact,
            }
            for r in rows
        ]
        yield pa.Table.from_pylist(seen, sight), pa.Table.from_pylist(true, TRUTH)
