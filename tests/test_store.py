"""Column files: merged atomically, first value wins, failures are replaced, payload can be
forgotten; models by content.
"""

import os
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.errors import CorruptWorkspace, DiskFull, StorageAway
from pairmill.plan.chain import Chain
from pairmill.plan.references import BadReference, folder_digest, model_identity
from pairmill.schemas.arrow import POOL_COLUMNS, error_array
from pairmill.work.carry import values_at, values_from
from pairmill.workspace.columns import ColumnFile, groups_at
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.shards import payload_file, store_shard
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table
from pairmill.workspace.verify import verify_workspace
from tests.conftest import CLIP

WRITES = pa.schema([("v", pa.int64()), ("image", pa.large_binary())])


def part(
    rows: list[int], values: list[int | None], errors: list[tuple[str, str] | None] | None = None
) -> pa.Table:
    images = [None if v is None else b"x" * v for v in values]
    columns = {
        "row": pa.array(rows, pa.int32()),
        "v": values,
        "image": pa.array(images, pa.large_binary()),
    }
    return pa.table({**columns, "error": error_array(errors or [None] * len(rows))})


def column_file(storage: Storage) -> ColumnFile:
    return ColumnFile(storage, "columns/s/a.parquet", WRITES, {"v": "value"}, {"inputs": []})


@pytest.fixture
def store(tmp_path: Path) -> ColumnFile:
    return column_file(open_workspace(str(tmp_path)))


def test_parts_are_merged_sorted_and_the_first_sound_value_stays(store: ColumnFile) -> None:
    store.commit(part([5, 1], [50, 10]))
    told = store.commit(part([1, 2], [99, 20]))
    assert told.column("v").to_pylist() == [10, 20]
    loaded = store.load(["v", "image#size"])
    assert loaded is not None
    assert loaded.select(["row", "v", "image#size"]).to_pylist() == [
        {"row": r, "v": v, "image#size": v} for r, v in ((1, 10), (2, 20), (5, 50))
    ]


def test_failure_and_forgotten_payload_give_way_to_a_new_value(store: ColumnFile) -> None:
    store.commit(part([0, 1], [None, 4], [("dns", "x"), None]))
    store.evict([1])
    loaded = store.load(["v", "image", "image#size", "image#forgotten"])
    assert loaded is not None
    assert loaded.column("image#size").to_pylist() == [None, 4]
    assert loaded.column("image#forgotten").to_pylist() == [False, True]
    assert loaded.column("image").to_pylist() == [None, None]
    told = store.commit(part([0, 1], [7, 4]))
    assert told.column("image").to_pylist() == [b"x" * 7, b"x" * 4]
    assert told.column("error").to_pylist() == [None, None]
    assert told.column("image#forgotten").to_pylist() == [False, False]


def test_a_value_without_bytes_is_sound_only_where_the_mark_says_so(store: ColumnFile) -> None:
    """Sizes are never negative, whatever was forgotten; a lost value with no mark is a fault."""
    store.commit(part([0, 1, 2], [None, 0, 4], [("dns", "x"), None, None]))
    store.evict([0, 1, 2])
    store.evict([2])
    stored = store.storage.read_table(store.name)
    assert stored.column("image#size").to_pylist() == [None, 0, 4]
    assert stored.column("image#forgotten").to_pylist() == [False, False, True]
    assert verify_workspace(store.storage).faults == []
    at = stored.schema.get_field_index("image#forgotten")
    unmarked = stored.set_column(at, stored.schema.field(at), pa.array([False] * 3))
    store.storage.write_table(store.name, unmarked)
    (fault,) = verify_workspace(store.storage).faults
    assert "1 values of 'image'" in fault


def test_the_mark_of_forgotten_bytes_is_carried_over(store: ColumnFile) -> None:
    """Rows 1 and 2 of one shard are rows 7 and 8 of another; both are asked for afterwards."""
    store.commit(part([1, 2], [4, 5]))
    store.evict([1])
    into = replace(store, name="columns/s/b.parquet")
    taken = values_from(store.storage, into, store.name, np.array([7, 8]), np.array([1, 2]))
    assert taken is not None
    assert taken.column("row").to_pylist() == [7, 8]
    into.store(taken)
    carried = into.load(["v", "image", "image#size", "image#forgotten"])
    assert carried is not None
    assert carried.drop_columns("error").to_pylist() == [
        {"row": 7, "v": 4, "image": None, "image#size": 4, "image#forgotten": True},
        {"row": 8, "v": 5, "image": b"x" * 5, "image#size": 5, "image#forgotten": False},
    ]
    places = [(file.name, "image") for file in (store, into)]
    before, now = (
        values_at(store.storage, place, np.array(rows, np.int32))
        for place, rows in zip(places, ([1, 2], [7, 8]), strict=True)
    )
    assert before.forgotten.tolist() == now.forgotten.tolist() == [True, False]
    assert before.there.tolist() == now.there.tolist() == [False, True]


def storage_groups(storage: Storage, name: str) -> int:
    return pq.ParquetFile(storage.path(name)).num_row_groups


def test_few_rows_are_read_without_the_images_of_all_others(tmp_path: Path) -> None:
    """1,000 images of 40 KB: a column file by the statistics of `row`, a shard of the pool by
    place.
    """
    storage = open_workspace(str(tmp_path))
    store, rows, images = (
        column_file(storage),
        np.arange(1000),
        [bytes([i % 251]) * 40_000 for i in range(1000)],
    )
    store.commit(
        part(rows.tolist(), [40_000] * 1000).set_column(
            2, "image", pa.array(images, pa.large_binary())
        ),
    )
    wanted = np.array([990, 3, 7])
    some = store.load(["image"], wanted)
    assert some is not None
    assert 3 < some.num_rows < 300
    where = some.column("row").to_pylist()
    assert [some.column("image")[where.index(r)].as_py() for r in wanted] == [
        images[r] for r in wanted
    ]
    schema = pa.schema([*POOL_COLUMNS, pa.field("image", pa.large_binary())])
    uids = [f"u{i}" for i in range(1000)]
    given = {"image": images, "uid": uids}
    columns = {f.name: pa.array(given.get(f.name, [None] * 1000), f.type) for f in schema}
    facts = store_shard(storage, pa.table(columns, schema=schema))
    assert groups_at([100] * 10, wanted) == ([0, 9], pytest.approx([190, 3, 7]))
    assert groups_at([100] * 10, wanted[:0])[0] == []
    assert storage_groups(storage, payload_file(facts.name, facts.digests["image"])) > 5
    chain = Chain(storage.root, Table.of("t", [facts], 0, ()), schema, ())
    found = chain.read_pool(0, ["image", "uid"], wanted)
    assert found.column("image").to_pylist() == [images[r] for r in wanted]
    assert found.column("uid").to_pylist() == [uids[r] for r in wanted]


def test_writers_of_one_shard_at_the_same_time_lose_nothing(store: ColumnFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.commit(part([i], [i])), range(40)))
    loaded = store.load(["v"])
    assert loaded is not None
    assert loaded.column("v").to_pylist() == list(range(40))


def test_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write_bytes("a/b", b"old")

    def interrupted() -> None:
        with storage.writing("a/b") as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert storage.read_bytes("a/b") == b"old"
    assert storage.files("a") == [("a/b", 3)]


def test_too_little_disk_is_told_before_writing(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="GiB free on the disk"):
        Storage(str(tmp_path)).check_space(10**16)


def test_file_above_the_users_limit_is_told_with_its_folder(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DiskFull, match=r"/a would be larger than .*ulimit -f"):
            storage.write_bytes("a/b", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert storage.files("a") == []


def test_damaged_column_file_is_named(store: ColumnFile, tmp_path: Path) -> None:
    store.commit(part([0], [1]))
    file = tmp_path / "columns/s/a.parquet"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(CorruptWorkspace, match=r"a\.parquet cannot be read"):
        store.load(["v"])


def test_model_folder_is_known_by_its_content(tmp_path: Path) -> None:
    shutil.copytree(CLIP, tmp_path / "copy")
    assert model_identity(CLIP, None) == model_identity(str(tmp_path / "copy"), None)
    (tmp_path / "copy/config.json").write_text("{}")
    assert folder_digest(str(tmp_path / "copy")) != folder_digest(CLIP)
    with pytest.raises(BadReference, match="does not exist"):
        model_identity("./nowhere", None)


def test_hub_model_is_known_by_the_revision_it_resolves_to(tmp_path: Path) -> None:
    refs = tmp_path / "hub/models--org--model/refs"
    refs.mkdir(parents=True)
    code = (
        "from pairmill.plan.references import model_identity; "
        "print(model_identity('org/model', None)['revision'])"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    for commit in ("a" * 40, "b" * 40):
        (refs / "main").write_text(commit)
        assert (
            subprocess.run(
                [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
            ).stdout.strip()
            == commit
        )
    (refs / "main").unlink()
    missing = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert "neither a folder nor in the local cache" in missing.stderr


@pytest.mark.slow
def test_storage_that_does_not_answer_is_told_from_a_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to delete good data because a connection broke."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    storage = open_workspace(str(tmp_path / "w"))
    (tmp_path / "w/broken.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(CorruptWorkspace, match="delete it and run again"):
        storage.read_table("broken.parquet")
    (tmp_path / "w").rename(tmp_path / "away")
    with pytest.raises(StorageAway, match="is not there any more"):
        column_file(storage).load([])
    nowhere = Storage("s3://bucket/x?endpoint_override=127.0.0.1:1&scheme=http")
    with pytest.raises(StorageAway, match="does not answer"):
        nowhere.read_table("any.parquet")
