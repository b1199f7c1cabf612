"""Bytes at rest: what changed on the disk is told; what killed writers leave is cleared, and nothing
that a living one holds.
"""

import glob
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.errors import CorruptWorkspace
from pairmill.schemas.arrow import error_array
from pairmill.workspace import disk
from pairmill.workspace.columns import ColumnFile
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.storage import Storage
from pairmill.workspace.verify import verify_workspace
from tests.conftest import typed

WRITES = pa.schema(
    [("v", pa.int64()), ("t", pa.string()), ("image", pa.large_binary()), ("e", pa.list_(pa.float32(), 4))]
)  # fmt: skip
COLUMNS = ["v", "t", "image", "e", "image#size"]
FILE = """
name: small
source: {type: parquet, path: pairs.parquet, rows_per_shard: 16}
stages: [{stage: text_rules}]
outputs: [{type: parquet, path: out, samples_per_shard: 20}]
"""


def rows(count: int) -> pa.Table:
    made = np.random.default_rng(0)
    errors = error_array([None] * (count - 1) + [("timeout", "no answer")])
    return pa.table(
        {
            "row": pa.array(range(count), pa.int32()),
            "v": pa.array(range(count)),
            "t": [f"text {i % 7}" for i in range(count)],
            "image": pa.array([made.bytes(50) for _ in range(count)], pa.large_binary()),
            "e": pa.array([[1.0, 2.0, 3.0, i] for i in range(count)], WRITES.field("e").type),
            "error": errors,
        }
    )


def test_no_flipped_bit_of_a_column_file_changes_a_value_without_a_word(tmp_path: Path) -> None:
    name, spelled = "columns/s/a.parquet", {c: c for c in WRITES.names}
    store = ColumnFile(open_workspace(str(tmp_path)), name, WRITES, spelled, {})
    store.commit(rows(30))
    file = tmp_path / name
    sound, good = file.read_bytes(), store.load(COLUMNS)
    assert good is not None
    told = 0
    bits = random.Random(7).sample(range(8 * len(sound)), 700)
    for bit in bits:
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        try:
            assert store.load(COLUMNS) == good
        except CorruptWorkspace as error:
            told += "delete it and run again" in str(error)
    assert told > 0.9 * len(bits)
    file.write_bytes(sound)
    assert pq.read_table(file).select(["row", *COLUMNS]) == good.select(["row", *COLUMNS])
    assert pl.read_parquet(file).height == 30


def within_values(file: Path) -> int:
    """A place among the values of a Parquet file's largest column: headers of pages have no
    checksum, and no value.
    """
    group = pq.read_metadata(file).row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    largest = max(columns, key=lambda c: c.total_compressed_size)
    first = largest.dictionary_page_offset or largest.data_page_offset
    return int(first + largest.total_compressed_size // 2)


@pytest.mark.slow
def test_workspace_is_checked_whole(write: Callable[[str], Path], pairs: Path) -> None:
    Pipeline.from_yaml(write(FILE)).run(local=True, progress=False)
    workspace = pairs.parent / "workspace"
    sound = typed("inspect", "--verify", str(workspace))
    assert sound.returncode == 0
    assert "every byte is as written" in sound.stdout
    damaged = {}
    for pattern in ("shards/*.parquet", "payload/*.parquet", "columns/*/*.parquet", "runs/*/ledger/*0.parquet",
                    "runs/*/plan.json", "tables/*.json", "ingest/*.parquet"):  # fmt: skip
        file = min(workspace.glob(pattern))
        damaged[file] = file.read_bytes()
        data = bytearray(damaged[file])
        at = data.index(b'"') if file.suffix == ".json" else within_values(file)
        data[at] ^= 4
        file.write_bytes(data)
    found = typed("inspect", "--verify", str(workspace), columns=1000)
    assert found.returncode == 1
    for file in damaged:
        assert f"{file} " in found.stderr, file
    for file, data in damaged.items():
        file.write_bytes(data)
    wide, narrow = (sorted(workspace.glob(f"{n}/*.parquet")) for n in ("payload", "shards"))
    gone = narrow.pop()
    gone.unlink()
    table = pq.read_table(wide[0])
    image = table.column("image").to_pylist()
    image[3] = bytes([image[3][0] ^ 1]) + image[3][1:]  # written anew: no checksum knows
    at = table.schema.get_field_index("image")
    pq.write_table(
        table.set_column(at, table.schema.field(at), pa.array(image, pa.large_binary())), wide[0]
    )
    table = pq.read_table(narrow[0])
    pq.write_table(table.slice(1), narrow[0])
    faults = verify_workspace(Storage(str(workspace))).faults
    assert any("1 values of 'image' are not what was stored" in f for f in faults)
    assert any(f"{gone} is gone" in f for f in faults)
    assert any(f"{narrow[0]}: its rows are not those that its name tells" in f for f in faults)
    assert any(f"has {table.num_rows - 1} rows" in f for f in faults)


def test_changed_figure_of_a_table_is_told_by_its_checksum(
    write: Callable[[str], Path], pairs: Path
) -> None:
    file = write(FILE)
    Pipeline.from_yaml(file).run(local=True, progress=False)
    (table,) = [f for f in pairs.parent.glob("workspace/tables/*.json") if len(f.stem) == 16]
    table.write_text(table.read_text().replace('"unreadable": 0', '"unreadable": 8'))
    with pytest.raises(
        CorruptWorkspace, match=r"tables/\w+\.json cannot be read .*bits have changed"
    ):
        Pipeline.from_yaml(file).run(local=True, progress=False)


WRITER = """
import sys, time
from pairmill.workspace.storage import Storage
with Storage(sys.argv[1]).writing("columns/s/a.parquet") as stream:
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def writer(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_what_a_killed_writer_leaves_is_cleared_and_what_a_living_one_holds_is_not(
    tmp_path: Path,
) -> None:
    storage = Storage(str(tmp_path))
    dead, alive = writer(tmp_path), writer(tmp_path)
    try:
        dead.send_signal(signal.SIGKILL)
        dead.communicate()
        assert len(list(tmp_path.rglob(".tmp-*"))) == 2
        assert storage.clear_temporary() == 1
        left = [p.name for p in tmp_path.rglob(".tmp-*")]
        assert f"-{alive.pid}-" in left[0]
    finally:
        alive.kill()
        alive.communicate()


@pytest.mark.parametrize(
    ("name", "age_s", "cleared"),
    [
        (".tmp-0123456789ab-77-88-abcdef012345", 10, False),  # of another machine, just written
        (".tmp-0123456789ab-77-88-abcdef012345", 1000, True),
        (".tmp-0123456789ab", 1, True),  # as earlier versions named them
        (".tmp-x-y-z-w", 1, True),
        ("tmp-data.parquet", 10_000, False),
    ],
)
def test_temporary_file_is_known_by_its_writer(
    tmp_path: Path, name: str, age_s: float, cleared: bool
) -> None:
    file = tmp_path / "a/b" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    when = time.time() - age_s
    os.utime(file, (when, when))
    disk.clear_temporary(str(tmp_path))
    assert file.exists() != cleared


def everything_in(home: Path) -> set[str]:
    """Files and folders, but for looks at input files, which are remembered of those alone that
    have stood for a moment.
    """
    return {str(p) for p in home.rglob("*") if not p.name.endswith("+files.parquet")}


def test_whoever_goes_on_clears_package_pool_columns_and_run_folder(
    write: Callable[[str], Path], pairs: Path
) -> None:
    file, home = write(FILE), pairs.parent
    folder = Path(Pipeline.from_yaml(file).run(local=True, progress=False).folder)
    sets = [home / "workspace" / n for n in ("shards", "payload", "tables", "ingest", "columns")]
    sets += home.glob("workspace/columns/*/")
    places = [home / "out", home / "workspace", folder, folder / "report", folder / "ledger", *sets]
    before = everything_in(home)
    for place in places:
        (place / f".tmp-{disk.machine()}-{2**22 + 1}-5-abcdef012345").write_bytes(b"half")
        for pattern in ("*.parquet", "*.tar", "*.json", "*"):  # as consumers look for files
            assert not [p for p in glob.glob(f"{place}/{pattern}") if ".tmp-" in p]
    Pipeline.from_yaml(file).run(local=True, progress=False)
    assert everything_in(home) == before
    assert json.loads((home / "out/manifest.json").read_text())["samples"] == 40
