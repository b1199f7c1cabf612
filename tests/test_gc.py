"""gc beside runs that begin: what they are about to use stays, and what is gone is told."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import CorruptWorkspace, RunError
from pairmill.pipeline.run import Runner
from pairmill.pipeline.watcher import Watcher
from pairmill.workspace.contents import RunBegins, collect, collect_unused, unused
from pairmill.workspace.lease import announced, collecting, still_collecting
from pairmill.workspace.storage import Storage
from tests.conftest import typed
from tests.test_each import SENTENCES, TEXTS
from tests.test_run import Write, run, text


class NoteWatcher(Watcher):
    """Does something when a run says a thing."""

    def __init__(self, begins: str, then: Callable[[], Any]) -> None:
        self.begins, self.then = begins, then

    def note(self, text: str) -> None:
        if text.startswith(self.begins):
            self.then()


def runner(file: Path, watcher: Watcher | None = None) -> Runner:
    found = Pipeline.from_yaml(file)
    return Runner(found.checked, found.text, watcher or Watcher(), [], local=True, processes=0)


def test_gc_waits_for_a_run_that_has_read_its_source_and_has_no_plan_yet(
    write: Write, numbers: Path
) -> None:
    workspace = str(numbers / "workspace")
    told = []

    def meanwhile(storage: Storage, folder: str) -> None:
        told.append(typed("gc", workspace))

    done = runner(write(text(""))).run(on_folder=meanwhile)
    assert done.funnel.kept == 60
    assert told[0].returncode == 1
    assert "a run begins in" in told[0].stderr
    assert "run gc again in a while" in told[0].stderr
    assert "0 folders" in typed("gc", workspace).stdout


def test_gc_waits_for_a_block_that_was_opened_and_stands_in_no_plan_yet(
    write: Write, tmp_path: Path
) -> None:
    pl.DataFrame({"text": TEXTS, "n": range(5)}).write_parquet(tmp_path / "pairs.parquet")
    file = write(SENTENCES.format(rows=4, gate="long > 5").replace(", sentences_2", ""))
    told = []
    gc = NoteWatcher(
        "each sentences:", lambda: told.append(typed("gc", str(tmp_path / "workspace")))
    )
    assert runner(file, gc).run().funnel.kept == 5
    assert "a run begins in" in told[0].stderr


def test_gc_goes_on_beside_a_run_that_has_its_plan(write: Write, numbers: Path) -> None:
    other = run(
        write(text("    mode: nan\n", outputs="").replace("name: run", "name: two"), "2.yaml")
    )
    shutil.rmtree(other.folder)
    told = []
    watcher = NoteWatcher("writing", lambda: told.append(typed("gc", str(numbers / "workspace"))))
    assert runner(write(text("")), watcher).run().funnel.kept == 60
    assert "removed columns/picky-" in told[0].stdout


def test_gc_does_not_wait_for_a_run_that_is_dead(write: Write, numbers: Path) -> None:
    shutil.rmtree(run(write(text(""))).folder)
    storage = Storage(str(numbers / "workspace"))
    with announced(storage):
        (name, _), *_ = [f for f in storage.files("starting") if f[0].endswith(".json")]
        killed = storage.read_json(name)
    storage.write_json(name, {**killed, "pid": 2**22 + 1})
    assert [stored.folder.partition("/")[0] for stored in unused(storage)][:1] == ["tables"]
    assert not storage.exists(name)


@pytest.mark.parametrize(
    ("gone", "way"),
    [
        (("shards", "tables"), "run the same command again"),
        (("shards",), "delete .*tables and run"),
    ],
)
def test_what_is_gone_says_what_suffices(
    gone: tuple[str, ...], way: str, write: Write, numbers: Path
) -> None:
    file = write(text(""))

    def meanwhile(storage: Storage, folder: str) -> None:
        for name in gone:
            shutil.rmtree(storage.path(name))

    with pytest.raises(CorruptWorkspace, match=f"is gone; .*{way}"):
        runner(file).run(on_folder=meanwhile)
    if "tables" not in gone:
        shutil.rmtree(numbers / "workspace/tables")
    assert run(file).funnel.kept == 60


def test_a_run_that_begins_while_gc_removes_waits_and_loses_nothing(
    write: Write, numbers: Path
) -> None:
    file = write(text(""))
    shutil.rmtree(run(file).folder)  # its table is still there, and no plan names it
    storage = Storage(str(numbers / "workspace"))
    waits, outcomes = Event(), []
    begun = runner(file, NoteWatcher("gc (process", waits.set))
    beside = Thread(target=lambda: outcomes.append(begun.run()))
    with collecting(storage):
        found = unused(storage)
        beside.start()
        assert waits.wait(60)
        with pytest.raises(RunError, match=r"gc is at work in .*: process \d+ on "):
            collect_unused(storage)
        collect(storage, found)
    beside.join(60)
    assert outcomes[0].funnel.kept == 60
    assert collect_unused(storage) == []
    assert run(file).funnel.kept == 60


def test_a_gc_that_is_dead_is_not_waited_for_and_one_that_slept_stops(
    write: Write, numbers: Path
) -> None:
    file = write(text(""))
    shutil.rmtree(run(file).folder)
    storage = Storage(str(numbers / "workspace"))
    name = "collecting/lease.json"
    with collecting(storage) as lease:
        still_collecting(lease)
        storage.write_json(name, {**storage.read_json(name), "pid": 2**22 + 1})
        assert run(file).funnel.kept == 60
        assert not storage.exists(name)
        lease.renew()
        with pytest.raises(RunError, match="a run may have begun"):
            still_collecting(lease)


def test_gc_leaves_no_lease_where_a_run_begins(write: Write, numbers: Path) -> None:
    run(write(text("")))
    storage = Storage(str(numbers / "workspace"))
    with announced(storage), pytest.raises(RunBegins):
        collect_unused(storage)
    assert not storage.exists("collecting/lease.json")


def test_a_workspace_that_may_not_be_changed_is_named(
    write: Write, numbers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that is mounted for reading alone."""
    run(write(text("")))
    made = os.makedirs

    def read_only(path: str, *args: Any, **options: Any) -> None:
        if not os.path.isdir(path):
            raise OSError(errno.EROFS, "Read-only file system", path)
        made(path, *args, **options)

    monkeypatch.setattr(os, "makedirs", read_only)
    monkeypatch.setattr(os, "mkdir", read_only)
    ended = typed("gc", str(numbers / "workspace"))
    assert ended.returncode == 1
    assert "workspace cannot be read or written to: Read-only file system" in ended.stderr
