"""How many copies of a model a machine holds, and that the cores are used all the same."""

import os
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pairmill.api import Pipeline
from pairmill.free_memory import free_memory
from pairmill.models.sizes import bytes_on_cpu
from pairmill.stages.caption import CaptionConfig, CaptionStage
from pairmill.torch_device import CORES
from pairmill.work import crew_size
from pairmill.work.block import Job
from pairmill.work.crew import Crew
from pairmill.work.crew_size import FEW_ASKED, cores, crew_of
from pairmill.workspace.tables import Table
from tests.conftest import CAPTIONER, CLIP, jpeg
from tests.tiny import built

FILE = """
name: sizes
source: {{type: pairs, path: pairs.csv}}
stages:
  - {{stage: download}}
{stages}
"""
CAPTION = "  - {{stage: caption, model: {model}, prompt: x{more}}}\n"


def stages(folder: Path, lines: str) -> tuple[object, ...]:
    """The planned stages behind the download."""
    (folder / "pairs.csv").write_text("url,text\nhttp://x.test/1.jpg,a text\n")
    (folder / "p.yaml").write_text(FILE.format(stages=lines))
    chain = Pipeline.from_yaml(folder / "p.yaml").checked.chain(Table.unread("t"), None)
    return Job(chain, 1, len(chain.stages)).stages()


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 64 GiB of free memory and no GPU, whatever others take of this one."""
    monkeypatch.setattr(crew_size, "free_bytes", lambda: 2**36)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.parametrize(
    ("more", "rows", "processes"),
    [
        ("", None, 8),
        ("", 3 * FEW_ASKED, 3),
        ("", 10, 1),
        (", resources: {cpus: 2}", None, 4),
        (", resources: {memory: 1000000 GB}", None, 1),
        (", resources: {memory: 1000000 GB, replicas: 3}", None, 3),
        (", engine: openai, base_url: 'http://127.0.0.1:1/v1'", None, 1),
    ],
)
def test_captioner_has_a_process_a_core_where_memory_and_rows_allow(
    plenty: None, tmp_path: Path, more: str, rows: int | None, processes: int
) -> None:
    line = CAPTION.format(model=CAPTIONER, more=more)
    assert crew_of(stages(tmp_path, line), 8, rows).processes == processes


def test_one_copy_of_a_large_model_computes_as_many_batches_as_there_are_cores(
    tmp_path: Path,
) -> None:
    line = CAPTION.format(model=CAPTIONER, more=", resources: {memory: 1000000 GB}")
    size = crew_of(stages(tmp_path, line), max(2, cores()))
    assert (size.processes, size.batches) == (1, cores())
    assert "1e+06 GB" in size.because


def test_phase_has_as_many_processes_as_its_stage_with_the_fewest(
    plenty: None, tmp_path: Path
) -> None:
    lines = f"  - {{stage: clip, model: {CLIP}}}\n" + CAPTION.format(model=CAPTIONER, more="")
    assert crew_of(stages(tmp_path, lines), 8).processes == 4


def test_size_of_a_model_is_that_of_its_weights_in_float32(tmp_path: Path) -> None:
    stored = (Path(CAPTIONER) / "model.safetensors").stat().st_size
    assert bytes_on_cpu(CAPTIONER, None) in (stored, 2 * stored)
    assert bytes_on_cpu("nobody/never-fetched", None) is None
    folder = Path(built("llava", tmp_path))
    size = (folder / "model.safetensors").stat().st_size
    assert bytes_on_cpu(str(folder), None, "float32") == size


def test_free_memory_is_what_the_container_allows(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    meminfo, groups = str(tmp_path / "meminfo"), str(tmp_path)
    assert free_memory(meminfo, groups) == 8000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("900000\n")
    assert free_memory(meminfo, groups) == 8000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 50000\n")
    assert free_memory(meminfo, groups) == 1000000 - 900000 + 50000


def process_of(_: int) -> int:
    time.sleep(0.3)
    return os.getpid()


@pytest.mark.slow
def test_few_shards_are_spread_over_processes_that_would_take_several_each() -> None:
    crew = Crew([])
    try:
        found = Counter(pid for _, pid in crew.run(process_of, range(4), count=2, width=3))
    finally:
        crew.close()
    assert sorted(found.values()) == [2, 2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_batches_that_are_answered_at_the_same_time_have_the_texts_of_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Qwen2.5-VL's model notes on itself where the pictures of its batch stand: each batch has a twin
    of it, around the same weights.
    """
    images = [
        jpeg(Image.new("RGB", (30 + 25 * (i % 7), 150 - 20 * (i % 5)), (9 * i % 255, 90, 7 * i)))
        for i in range(24)
    ]
    rows = pa.table({"image": images, "text": [f"row {i}" for i in range(24)]})

    def texts(at_once: int) -> list[str]:
        monkeypatch.setenv(CORES, str(at_once))
        model = built("qwen", tmp_path / str(at_once))  # each of its own: models are loaded once
        stage = CaptionStage(
            CaptionConfig(
                model=model, prompt="{text}", dtype="float32", max_new_tokens=12, batch_size=2
            )
        )
        stage.setup()
        engine = stage.engine.engine
        assert engine.streams == at_once
        found = stage(rows)["caption"].to_pylist()
        with ExitStack() as held:
            twins = [held.enter_context(engine.loaded.alone()) for _ in range(at_once)]
            twins[0].model.rope_deltas = "a note"
            assert [twin.model.rope_deltas for twin in twins].count("a note") == 1
            assert len({next(twin.parameters()).data_ptr() for twin in twins}) == 1
        stage.close()
        return found

    plain = texts(1)
    assert len(set(plain)) > 12
    assert texts(4) == plain
