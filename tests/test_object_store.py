"""Workspaces and packages on a real S3 server, and writes that break."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.schemas.arrow import ERROR, column
from pairmill.workspace.columns import ColumnFile
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.lease import Lease
from pairmill.workspace.object_store import profile
from pairmill.workspace.storage import WHOLE_BYTES, Storage
from tests.clusters import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FILE = """
name: job
source: {type: parquet, path: pairs.parquet, rows_per_shard: 10}
stages:
  - {stage: text_rules, keep: text_words > 2}
  - {stage: resolution}
outputs:
  - {type: webdataset, path: out, samples_per_shard: 30}
"""


def served(command: list[str], port: int) -> subprocess.Popen[bytes]:
    """A server's process, once it listens."""
    program = str(Path(sys.executable).parent / command[0])
    server = subprocess.Popen(
        [program, *command[1:]],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(150):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return server
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{command[0]} did not start")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A real S3 endpoint (moto's server); gives a bucket's URL as pyarrow takes it."""
    pytest.importorskip("moto", reason="pip install 'pairmill[dev]'")
    port = free_port()
    server = served(["moto_server", "-H", "127.0.0.1", "-p", str(port)], port)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True
        ).create_dir("bucket")
        yield f"s3://bucket/{{}}?endpoint_override=127.0.0.1:{port}&scheme=http"
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    """A Google Cloud Storage endpoint (tests/google_store.py); gives a bucket's URL as pyarrow
    takes it.
    """
    pytest.importorskip("gcp_storage_emulator", reason="pip install 'pairmill[dev]'")
    port, emulator_port = free_port(), free_port()
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        str(emulator_port),
        "--in-memory",
        "--default-bucket",
        "bucket",
    ]
    servers = [
        served(["gcp-storage-emulator", "start", *options], emulator_port),
        served(["python", "-m", "tests.google_store", str(port), str(emulator_port)], port),
    ]
    try:
        yield f"gs://anonymous@bucket/{{}}?scheme=http&endpoint_override=127.0.0.1:{port}"
    finally:
        for server in servers:
            server.kill()
            server.wait()


@pytest.fixture(params=["s3", "google"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture(params=["s3", "google", "disk"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        f"{tmp_path}/{{}}"
        if request.param == "disk"
        else str(request.getfixturevalue(request.param))
    )


def test_workspace_and_package_on_an_object_store_are_those_on_a_disk(
    store: str, pairs: Path
) -> None:
    here = pairs.parent / "p.yaml"
    here.write_text(FILE)
    Pipeline.from_yaml(here).run(local=True, progress=False)
    there = pairs.parent / "there.yaml"
    there.write_text(
        here.read_text()
        .replace("path: out,", f'path: "{store.format("out")}",')
        .replace("name: job\n", f'name: job\nworkspace: "{store.format("work")}"\n')
    )
    first = Pipeline.from_yaml(there).run(local=True, progress=False)
    remote = Storage(store.format("out"))
    tars = [name for name, _ in remote.files() if name.endswith((".tar", "0.parquet"))]
    assert tars
    for name in tars:
        assert remote.read_bytes(name) == (pairs.parent / "out" / name).read_bytes()
    again = Pipeline.from_yaml(there).run(local=True, progress=False)
    assert again.funnel.to_json() == first.funnel.to_json()
    assert Storage(store.format("work")).exists(f"runs/{first.run_id}/report/index.html")


def test_write_that_breaks_leaves_no_object_and_an_old_one_whole(store: str) -> None:
    storage = Storage(store.format("broken"))
    storage.write_bytes("old.bin", b"whole")

    def half(name: str) -> None:
        with storage.writing(name) as stream:
            stream.write(b"half of it" * 1_000_000)
            raise KeyboardInterrupt

    for name in ("old.bin", "new.bin"):
        with pytest.raises(KeyboardInterrupt):
            half(name)
    assert storage.read_bytes("old.bin") == b"whole"
    assert [name for name, _ in storage.files()] == ["old.bin"]


def test_credentials_and_endpoint_come_from_where_amazons_own_tools_take_them(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = from-a-file\naws_secret_access_key = secret\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert profile() is None  # variables come first
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    found = profile()
    assert found is not None
    assert found()["access_key_id"] == "from-a-file"
    monkeypatch.setenv(
        "AWS_ENDPOINT_URL", f"http://{s3.partition('endpoint_override=')[2].partition('&')[0]}"
    )
    storage = Storage("s3://bucket/from-a-file")
    storage.write_json("x.json", {"a": 1})
    assert storage.read_json("x.json") == {"a": 1}


def test_files_of_any_size_are_read_back(store: str) -> None:
    """Small ones in one request, large ones by column."""
    storage = Storage(store.format("sizes"))
    for name, size in (
        ("small/a", 10),
        ("large/a", WHOLE_BYTES),
        ("large/b", WHOLE_BYTES),
        ("large/c", 10),
    ):
        storage.write_table(
            name,
            table := pa.table(
                {"row": [0, 1], "image": pa.array([b"x" * size] * 2, pa.large_binary())}
            ),
        )
        assert storage.read_table(name).equals(table)
        assert storage.read_table(name, ["row"]).column_names == ["row"]
    for name in ("small/gone", "large/gone"):
        with pytest.raises(FileNotFoundError):
            storage.read_table(name)


def test_runs_that_commit_to_one_shard_at_once_lose_no_row_and_see_one_value(place: str) -> None:
    """Each writes rows of its own, and row 0; whoever is second to write row 0 is told what the
    first one wrote.
    """
    writes = pa.schema([column("score", pa.int64(), "who wrote it")])
    workspace = place.format("race")
    open_workspace(workspace)

    def rows(numbers: list[int], who: int) -> pa.Table:
        return pa.table(
            {
                "row": pa.array(numbers, pa.int32()),
                "score": pa.array([who] * len(numbers), pa.int64()),
                "error": pa.nulls(len(numbers), ERROR),
            }
        )

    def file() -> ColumnFile:
        names = {"score": "score"}
        return ColumnFile(Storage(workspace), "columns/set/a.parquet", writes, names, {})

    def run(who: int) -> list[int]:
        store = file()
        told = [
            store.commit(rows([0, 1 + who + 4 * i], who))["score"][0].as_py() for i in range(10)
        ]
        return [*told, len(told)]

    with ThreadPoolExecutor(4) as threads:
        seen = list(threads.map(run, range(4)))
    stored = file().load(["score"])
    assert stored is not None
    assert stored["row"].to_pylist() == list(range(41))
    assert {told for one in seen for told in one[:-1]} == {stored["score"][0].as_py()}


def test_store_that_keeps_conditions_is_known_and_nothing_is_left_of_the_trial(place: str) -> None:
    storage = Storage(place.format("tried"))
    assert storage.keeps_conditions()
    assert storage.files() == []


def test_lease_goes_to_one_of_those_who_ask_at_once(place: str) -> None:
    storage = Storage(place.format("lease"))
    leases = [Lease(storage, "runs/x/lease.json") for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        others = list(threads.map(Lease.take, leases))
    assert others.count("") == 1
    winner = leases[others.index("")]
    assert storage.read_json("runs/x/lease.json")["owner"] == winner.mine["owner"]
    winner.end()
    assert leases[0].take() == ""
    leases[0].end()

    def again(lease: Lease) -> int:
        won = 0
        for _ in range(20):
            if lease.take() == "":
                won += 1
                lease.end()
        return won

    with ThreadPoolExecutor(3) as threads:  # a start while another run ends
        assert sum(threads.map(again, leases[:3])) >= 1
    assert not storage.exists("runs/x/lease.json")


def test_page_on_object_stores(s3: str, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's pipeline as it stands, keys and endpoint from the variables that it names; without
    the packages that it names for sources these are asked for, and the source is a local one.
    """
    page = (Path(__file__).parent.parent / "docs/object-stores.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    monkeypatch.setenv(
        "AWS_ENDPOINT_URL", f"http://{s3.partition('endpoint_override=')[2].partition('&')[0]}"
    )
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    Storage("s3://bucket/metadata").write_bytes("0.parquet", pairs.read_bytes())
    file = pairs.parent / "page.yaml"
    text = f"name: page\nstages: [{{stage: text_rules}}]\n{block}"
    file.write_text(text)
    if find_spec("s3fs") is None:
        with pytest.raises(PipelineFileError, match=r"pip install 'pairmill\[cloud\]'"):
            Pipeline.from_yaml(file)
        file.write_text(text.replace("s3://bucket/metadata/*.parquet", pairs.name))
    found = Pipeline.from_yaml(file).run(local=True, progress=False)
    assert found.funnel.kept == 40
    assert Storage("s3://bucket/shards").exists("manifest.json")
    assert Storage("s3://bucket/pairmill").exists(f"runs/{found.run_id}/report/index.html")
