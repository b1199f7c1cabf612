"""`serve:`: a server that pairmill starts itself, and what becomes of it."""

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from pairmill.api import Pipeline
from pairmill.captioners.server import command_of
from pairmill.demo.texts import SHORT_PROMPT
from pairmill.errors import StageBroken
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.clusters import wait_for
from tests.conftest import CAPTIONER
from tests.test_caption_kills import command, stored

ROOT = Path(__file__).parent.parent
SERVER = [sys.executable, str(ROOT / "tests/stubborn_server.py"), "{port}"]


def config(log: Path, **options: object) -> CaptionConfig:
    serve = {"command": [*SERVER, str(log)]}
    own = {"engine": "openai", "model": "stubborn", "image": None, "prompt": "{text}"}
    return CaptionConfig(**{**own, "serve": serve, **options})


def pids(log: Path) -> list[int]:
    return [int(pid) for pid in Path(f"{log}.pids").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_row_that_ends_the_server_fails_and_the_others_are_answered_by_the_next(
    tmp_path: Path,
) -> None:
    stage = CaptionStage(config(tmp_path / "log"))
    stage.run_folder = str(tmp_path / "run")
    stage.setup()
    try:
        texts = [f"text {i}" for i in range(20)]
        texts[4] = texts[11] = "POISON"
        rows = stage(pa.table({"text": texts})).to_pylist()
    finally:
        stage.close()
    assert [i for i, row in enumerate(rows) if row["error"]] == [4, 11]
    assert {rows[i]["error"]["class"] for i in (4, 11)} == {"server_died"}
    assert "Segmentation fault, says the server" in rows[4]["error"]["message"]
    fine = [row for row in rows if row["error"] is None]
    assert {row["caption"] for row in fine} == {f"about {t}" for t in texts if t != "POISON"}
    lives = len(pids(tmp_path / "log")) // 2
    assert 3 <= lives <= 4  # the second poison may have been held back when the first one hit
    assert f"started {lives} times" in stage.note
    assert not any(map(alive, pids(tmp_path / "log")))
    (log,) = tmp_path.glob("run/servers/caption-*.log")
    assert log.read_text().count("the stubborn server starts") == lives


@pytest.mark.slow
def test_server_whose_list_of_models_fails_is_ready_when_it_is_well(tmp_path: Path) -> None:
    """As `transformers serve` where nothing was ever taken from the hub: runs waited for hours."""
    serve = {"command": [*SERVER, str(tmp_path / "log"), "--unlisted"]}
    stage = CaptionStage(config(tmp_path / "log", serve=serve))
    stage.setup()
    try:
        (row,) = stage(pa.table({"text": ["a"]})).to_pylist()
    finally:
        stage.close()
    assert row["caption"] == "about a"


@pytest.mark.slow
def test_interrupted_run_leaves_no_server_and_fails_no_row(tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "p.yaml"
    pipeline_of(tmp_path, 400, [*SERVER, str(log)])
    with pytest.raises(KeyboardInterrupt):
        interrupted_when(lambda: log.exists() and log.read_text().count("\n") > 100, file)
    assert not any(map(alive, pids(log)))
    result = Pipeline.from_yaml(file).run(local=True, progress=False)
    assert result.funnel.kept == 400
    assert not any(map(alive, pids(log)))


def interrupted_when(due: Callable[[], bool], file: Path, **body: Any) -> None:
    """A run in this process, and Ctrl-C."""

    def watch() -> None:
        while not due():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
    Pipeline.from_yaml(file).run(local=True, progress=False, **body)


def pipeline_of(folder: Path, rows: int, server: list[str]) -> list[str]:
    """Writes a pipeline that asks a server about so many texts; gives these."""
    texts = [f"text {i}" for i in range(rows)]
    pl.DataFrame({"text": texts}).write_parquet(folder / "texts.parquet")
    stage = {"stage": "caption", "engine": "openai", "model": "stubborn", "image": None}
    stage |= {"prompt": "{text}", "concurrency": 2, "serve": {"command": server}}
    source = {"type": "pairs", "path": "texts.parquet", "rows_per_shard": rows // 2}
    outputs = [{"type": "table", "path": "out", "columns": ["caption"]}]
    pipeline = {"name": "served", "source": source, "stages": [stage], "outputs": outputs}
    (folder / "p.yaml").write_text(json.dumps(pipeline))
    return texts


def test_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    ends = "import sys; print('no GPU is there'); sys.exit(3)"
    wrong = {"command": [sys.executable, "-c", ends, "{port}"]}
    with pytest.raises(StageBroken, match=r"exit code 3(.|\n)*no GPU is there"):
        CaptionStage(config(tmp_path / "log", serve=wrong)).setup()
    stage = CaptionStage(config(tmp_path / "log", serve={"python": "/nowhere/python"}))
    assert "pip install vllm" in stage.examine()[1]
    with pytest.raises(StageBroken, match="/nowhere/python.*not on this machine"):
        stage.setup()


@pytest.mark.slow
def test_server_ends_with_the_killed_driver_and_no_stored_answer_is_asked_for_again(
    tmp_path: Path,
) -> None:
    rows, log, file = 120, tmp_path / "log", tmp_path / "p.yaml"
    texts = pipeline_of(tmp_path, rows, [*SERVER, str(log), "--stubborn"])
    process = command(file, tmp_path, PAIRMILL_PROCESSES="1")
    while process.poll() is None and not stored(tmp_path):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = pids(log)
    assert len(first) == 2
    assert wait_for(lambda: not any(map(alive, first)))
    kept, answered = stored(tmp_path), len(log.read_text().splitlines())
    assert 0 < kept < rows
    process = command(file, tmp_path, PAIRMILL_PROCESSES="1")
    assert process.wait() == 0, (tmp_path / "stderr").read_text()[-2000:]
    asked = Counter(log.read_text().splitlines())
    assert set(asked) == set(texts)
    assert sum(asked.values()) - rows == answered - kept
    assert not any(map(alive, pids(log)))


@pytest.mark.filterwarnings("ignore")
def test_server_of_a_ray_worker_ends_with_the_run(ray_session: None, tmp_path: Path) -> None:
    """Ray kills the children of a worker that ends, before whoever watches over them can act."""
    log = tmp_path / "log"
    pipeline_of(tmp_path, 40, [*SERVER, str(log)])
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(ray=True, progress=False)
    assert result.funnel.kept == 40
    assert wait_for(lambda: not any(map(alive, pids(log))))


@pytest.mark.slow
def test_transformers_serve_started_by_a_run_captions_its_pictures(
    tmp_path: Path, pictures: list[tuple[bytes, str]]
) -> None:
    """A server of another make; its captions are those of the same model in the worker."""
    images = [data for data, _ in pictures[:6]]
    pl.DataFrame({"image": images, "text": [""] * 6}).write_parquet(tmp_path / "pairs.parquet")
    server = [sys.executable, "-m", "tests.model_server", "{model}", "{port}"]
    serve = {"command": server, "environment": {"PYTHONPATH": str(ROOT)}}
    shared = {"stage": "caption", "model": CAPTIONER, "prompt": SHORT_PROMPT, "max_new_tokens": 40}
    there = {**shared, "name": "there", "engine": "openai", "serve": serve}
    here = {**shared, "name": "here", "dtype": "float32"}
    source = {"type": "parquet", "path": "pairs.parquet"}
    file = tmp_path / "p.yaml"
    file.write_text(json.dumps({"name": "served", "source": source, "stages": [there, here]}))
    table = Pipeline.from_yaml(file).run(local=True, progress=False).table()
    assert (table["there"] == table["here"]).sum() >= 5  # images go as JPEG once more
    assert table["there_tokens"].min() > 3
    (log,) = tmp_path.glob("workspace/runs/*/servers/there-*.log")
    assert "Uvicorn running" in log.read_text()


def test_command_line_of_vllm_says_what_the_pipeline_says() -> None:
    words = {"engine": "openai", "model": "org/model", "serve": "vllm", "dtype": "bfloat16"}
    plain = CaptionConfig(**words, serve_arguments=["--max-model-len", "4096"])
    assert command_of(plain, 1) == [
        *("vllm", "serve", "org/model", "--served-model-name", "org/model"),
        *("--host", "127.0.0.1", "--port", "{port}", "--dtype", "bfloat16"),
        *("--mm-processor-cache-gb", "0", "--disable-uvicorn-access-log"),
        *("--max-model-len", "4096"),
    ]
    whole = CaptionConfig(
        **{**words, "serve": {"python": "/envs/vllm/bin/python"}},
        revision="abc",
        trust_remote_code=True,
        resources={"gpus": 4},
    )
    line = " ".join(command_of(whole, 0))
    assert line.startswith("/envs/vllm/bin/python -m vllm.entrypoints.cli.main serve org/model")
    assert "--revision abc --trust-remote-code --tensor-parallel-size 4" in line
    assert "--mm-processor-cache-gb" not in line
    half = CaptionConfig(**words, resources={"gpus": 0.5})
    assert "--gpu-memory-utilization 0.45" in " ".join(command_of(half, 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "http://127.0.0.1:1/v1"}, "name one"),
        ({"serve": {"command": ["server"]}}, "has to name {port}"),
        ({"serve": {"command": ["s", "{port}"], "python": "p"}}, "name one"),
        ({"serve": {"command": ["s", "{port}"]}, "serve_arguments": ["-x"]}, "words for vLLM"),
        ({"adapter": "org/lora"}, "adapter: what a server loads"),
        ({"engine": "transformers"}, "serve: keys of `engine: openai`"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CaptionConfig(**{"engine": "openai", "model": "org/model", "serve": "vllm", **options})


def test_identity_of_a_served_model_is_its_files_and_not_where_it_is_served() -> None:
    words = {"engine": "openai", "model": CAPTIONER}
    served = CaptionConfig(**words, serve="vllm")
    assert not served.elsewhere("model")
    assert CaptionConfig(**words, serve={"command": ["s", "{port}"]}).elsewhere("model")
    assert CaptionConfig(**words, base_url="http://127.0.0.1:1").elsewhere("model")
