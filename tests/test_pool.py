"""The pool: unique uids, shards bounded by bytes, and what a person is told of the input."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.plan.plan import pool_schema_of
from pairmill.schemas.hash_columns import row_chances
from pairmill.schemas.hashing import row_uid
from pairmill.sources.files import list_inputs
from pairmill.sources.parquet_files import parquet_rows, row_groups
from pairmill.sources.tables import PairsConfig, TableSource
from pairmill.work.crew import Crew
from pairmill.workspace.cutting import CutRows, Cutter
from pairmill.workspace.digests import uid_hash, uid_hashes
from pairmill.workspace.ingest import build_table
from pairmill.workspace.reading import Hands
from pairmill.workspace.reading_groups import tasks_of
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table
from pairmill.workspace.uids import Sieve, UniqueUids
from tests.workspaces import built as read
from tests.workspaces import shards_of


def built(path: Path, folder: Path) -> tuple[Table, pl.DataFrame]:
    table = read(TableSource(PairsConfig(path=str(path))), folder)
    return table, pl.concat(shards_of(folder, table))


def test_repeated_uids_are_told_and_made_unique_the_same_way_each_time(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("uid,url,text\nk1,a,x\nk2,b,x\nk1,c,x\n")
    (tmp_path / "in/b.csv").write_text("uid,url,text\nk1,d,x\n,e,y\n,e,y\n")
    pool, rows = built(tmp_path / "in", tmp_path / "w1")
    again = built(tmp_path / "in", tmp_path / "w2")[1]
    assert rows["uid"].n_unique() == rows.height == 6
    assert rows["uid"][0] == "k1"
    assert rows["uid"].to_list() == again["uid"].to_list()
    told = {t.kind: t.count for t in pool.told}
    assert told == {"repeated uids": 2, "equal rows": 1}


def test_uids_and_addresses_are_those_of_earlier_versions(tmp_path: Path) -> None:
    """Another hash or digest would compute users' workspaces anew."""
    (tmp_path / "a.csv").write_text("url,text\nhttp://a.test/1.jpg,x\nhttp://a.test/2.jpg,ü y\n")
    rows = built(tmp_path / "a.csv", tmp_path / "w")[1]
    uids = ["3f5b166d8bae0f76f2a5b6715cfabaa8", "ac2e5db5be6ffd59812b1faefaabd455"]
    assert rows["uid"].to_list() == uids
    files = ["43e9e35876cd84c2.c1ba5cbee12a197f.parquet"]
    assert [f.name for f in (tmp_path / "w/shards").iterdir()] == files
    chances = [13001598750405146582, 15563172661057374798]
    assert row_chances(rows["uid"].to_arrow(), 7, "sample").tolist() == chances


def test_uids_stay_unique_over_many_batches() -> None:
    unique = UniqueUids()
    rng = np.random.default_rng(1)
    seen: set[str] = set()
    repeated = 0
    for _ in range(40):
        uids, places = unique.unique(pa.array([f"u{n}" for n in rng.integers(0, 3000, 200)]))
        seen |= set(uids.to_pylist())
        repeated += len(places)
    assert len(seen) == 8000
    assert 8000 - repeated == len({u for u in seen if u.startswith("u")})


def test_uids_are_told_apart_however_many_there_are() -> None:
    """As many as make the sieve grow twice, some of them alike in all bits by which it asks."""
    rng = np.random.default_rng(2)
    fresh = rng.integers(0, 2**64, 400_000, np.uint64)
    fresh[1::4] = fresh[::4] ^ np.uint64(1)
    hashes = np.where(rng.random(len(fresh)) < 0.02, fresh[rng.integers(0, 9_000)], fresh)
    hashes[300_000:300_500] = hashes[:500]
    seen = SeenHashes(hashes, 7_000)
    first = np.unique(hashes, return_index=True)[1]
    assert sorted(seen.repeated) == sorted(set(range(len(hashes))) - set(first.tolist()))
    assert seen.uids.end_unit().fresh.tolist() == sorted(hashes[first].tolist())
    assert len(seen.uids.sieve.words) > 2 * len(Sieve().words)
    assert seen.uids.has(hashes).all()
    assert not seen.uids.has(rng.integers(0, 2**64, 1_000, np.uint64)).any()


class SeenHashes:
    """Hashes given to `UniqueUids` some at a time, and the places of those that were there."""

    def __init__(self, hashes: np.ndarray, at_once: int) -> None:
        self.uids, self.repeated = UniqueUids(), list[int]()
        for at in range(0, len(hashes), at_once):
            found = self.uids.repeated(hashes[at : at + at_once])
            self.repeated += (found + at).tolist()


def test_hashes_of_a_first_file_are_held_once_and_each_file_tells_of_its_own() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 5000, np.uint64)
    uids = UniqueUids()
    for first in range(0, 4000, 500):
        assert len(uids.repeated(hashes[first : first + 500])) == 0
    one = uids.end_unit()
    assert np.shares_memory(one.fresh, uids.runs[0])
    assert uids.repeated(hashes[3999:]).tolist() == [0]
    other = uids.end_unit()
    assert one.fresh.tolist() == sorted(hashes[:4000].tolist())
    assert other.fresh.tolist() == sorted(hashes[4000:].tolist())
    assert not UniqueUids().end_unit().fresh.size


def test_keys_that_begin_anew_in_every_set_are_no_uids(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / f"in/{name}.csv").write_text(f"key,url\n000000000,{name}1\n000000001,{name}2\n")
    pool, rows = built(tmp_path / "in", tmp_path / "w")
    assert rows["uid"].n_unique() == 4
    assert rows["declared_key"].to_list() == ["000000000", "000000001"] * 2
    assert pool.told == ()


def test_unreadable_rows_repairs_and_skipped_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/README.md").write_text("hello")
    (tmp_path / "in/a.csv").write_bytes(b"url,text\na,x\nb,y,z\nc,caf\xe9\n")
    bad = pa.array([b"fine", b"caf\xe9"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 2, bad.buffers())
    pq.write_table(pa.table({"url": ["d", "e"], "text": texts}), tmp_path / "in/b.parquet")
    pool, rows = built(tmp_path / "in", tmp_path / "w")
    assert rows["text"].to_list() == ["x", "fine", "caf\ufffd"]
    assert pool.unreadable == 2
    assert {t.kind: t.count for t in pool.told} == {
        "repaired values": 1, "skipped files": 1, "unreadable rows": 2
    }  # fmt: skip
    stored = pl.read_parquet(tmp_path / f"w/tables/{pool.id}-unreadable.parquet")
    assert stored.select("location", "column", "rows").rows() == [
        ("a.csv line 3", None, 1), ("a.csv line 4", "text", 1)
    ]  # fmt: skip
    said = " ".join(map(str, pool.told))
    assert "b.parquet row 1: bytes in column 'text' that are not UTF-8 became U+FFFD" in said
    assert "README.md: side file" in said


def cut(images: list[bytes], rows_per_shard: int, at_once: int) -> list[int]:
    table = pa.table(
        {
            "uid": [row_uid(f"{i}") for i in range(len(images))],
            "image": pa.array(images, pa.large_binary()),
            "position": pa.array([0] * len(images), pa.int32()),
        }
    )
    slices = (table.slice(i, at_once) for i in range(0, len(images), at_once))
    parts = (CutRows.of(s, s, uid_hashes(s.column("uid")), rows_per_shard) for s in slices)
    cutter = Cutter()
    found = [t.num_rows for t, _ in cutter.unit(parts)]
    last = cutter.flush()
    return [*found, *([last.num_rows] if last is not None else [])]


@pytest.mark.slow
def test_shards_are_bounded_by_bytes_as_well_as_by_rows() -> None:
    large = cut([bytes(20 * 2**20)] * 12, 1024, 3)
    assert sum(large) == 12
    assert max(large) <= 3
    assert large == cut([bytes(20 * 2**20)] * 12, 1024, 12)
    assert cut([b""] * 12, 1, 5) == [1] * 12
    small = cut([b""] * 5000, 100, 700)
    assert sum(small) == 5000
    assert 50 <= min(small) <= max(small) <= 200
    assert 30 < len(small) < 70


def test_rows_of_a_document_stand_in_the_order_of_their_given_positions(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        "doc_id,position,url,text\nd,30,c,third\nd,10,a,first\nd,,z,last\nd,20,b,second\ne,5,x,other\n"
    )
    _, rows = built(tmp_path / "in.csv", tmp_path / "w")
    assert rows["text"].to_list() == ["first", "second", "third", "last", "other"]
    assert rows["position"].to_list() == [0, 1, 2, 3, 0]
    (tmp_path / "plain.csv").write_text("position,url,text\nleft,a,x\n")
    _, rows = built(tmp_path / "plain.csv", tmp_path / "w2")
    assert rows["position_"].to_list() == ["left"]


def test_uids_that_are_numbers_in_hex_are_told_apart() -> None:
    """Padded counters, and uids that differ in their first half alone, have hashes of their own,
    which are the same one by one and all at once.
    """
    uids = [f"{i:032x}" for i in range(3000)] + [f"{i:016x}{7:016x}" for i in range(3000)]
    hashes = uid_hashes(pa.array(uids))
    assert len(set(hashes.tolist())) == len(set(uids))
    assert hashes.tolist() == [uid_hash(uid) for uid in uids]
    assert UniqueUids().unique(pa.array(uids[:3000])) == (pa.array(uids[:3000]), [])


@pytest.mark.slow
def test_processes_that_read_ahead_give_the_same_files(tmp_path: Path) -> None:
    """Repeated uids and rows, documents over files, damaged rows: whoever reads."""
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for file in range(6):
        texts = [f"text {n}" for n in rng.integers(0, 400, 500)]
        docs = [f"doc {(file * 500 + i) // 7}" for i in range(500)]
        uids = [f"u{n}" if n < 900 else None for n in rng.integers(0, 1000, 500)]
        table = pa.table({"text": texts, "url": texts, "doc_id": docs, "uid": uids})
        pq.write_table(table, folder / f"{file}.parquet", row_group_size=100)
    (folder / "7.parquet").write_bytes((folder / "0.parquet").read_bytes()[:-9] + b"x" * 9)
    whole = (folder / "5.parquet").read_bytes()
    (folder / "5.parquet").write_bytes(whole[:300] + bytes(200) + whole[500:])
    found, told = [], []
    for name, hands in (("one", False), ("many", True)):
        storage, source = Storage(str(tmp_path / name)), TableSource(PairsConfig(path=str(folder)))
        crew = Crew([])
        reading = Hands(2, partial(crew.run, count=2), worth_bytes=0) if hands else None
        schema = pool_schema_of(source.schema())
        table = build_table(storage, source, "0" * 16, schema, hands=reading)
        crew.close()
        told.append((table.told, table.unreadable, table.rows.tolist()))
        files = (f for f in (tmp_path / name).rglob("*") if f.is_file() and f.name != ".lock")
        found.append({str(f.relative_to(tmp_path / name)): f.read_bytes() for f in files})
    assert told[0] == told[1]
    assert len(told[0][2]) > 1
    assert {t.kind for t in told[0][0]} > {"repeated uids", "unreadable rows"}
    assert found[0] == found[1]


def test_row_groups_are_read_one_without_the_other(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [f"{i}" for i in range(1000)]}), tmp_path / "a.parquet",
                   row_group_size=90)  # fmt: skip
    item = list_inputs([str(tmp_path / "a.parquet")]).files[0]
    groups = list(row_groups(item, 0, part_bytes=2000))
    assert len(groups) > 2
    parts = [part for some in groups for part in parquet_rows(item, groups=some)]
    assert [t for p in parts for t in p.table["text"].to_pylist()] == [f"{i}" for i in range(1000)]
    assert [i for p in parts for i in p.places.tolist()] == list(range(1000))


def test_many_rows_in_a_small_file_are_work_for_several(tmp_path: Path) -> None:
    file, rows = tmp_path / "a.parquet", 600_000
    texts = pa.repeat("a red bicycle", rows)
    pq.write_table(pa.table({"url": texts, "text": texts}), file, row_group_size=rows // 2)
    assert file.stat().st_size < 10**6
    units = list(enumerate(TableSource(PairsConfig(path=str(file))).units()))
    tasks = tasks_of(units, Hands(2, lambda work, items: iter(())))  # type: ignore[arg-type]
    assert [task.places for task in tasks or ()] == [((0, 0),), ((0, 1),)]
    few = [(0, replace(units[0][1], rows=1000))]
    assert tasks_of(few, Hands(2, lambda work, items: iter(()))) is None  # type: ignore[arg-type]
