"""Batches on their way to a model: what threads, processes and the processor itself make of images
is the same; and what becomes of those that cannot be decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree
from threading import Barrier

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.images.resizing import library
from pairmill.models.decoders import DecoderDied, Decoders
from pairmill.models.lean_images import without_copies
from pairmill.models.lean_patches import Patches
from pairmill.models.library import transformers
from pairmill.torch_device import CORES, SPINS, on_all_cores, on_one_core, wait_shortly
from tests.conftest import jpeg
from tests.later import torch
from tests.tiny import built, pictures

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipStage]:
    model = built("clip", tmp_path_factory.mktemp("models"))
    stage = ClipStage(ClipConfig(model=model, dtype="float32", batch_size=32))
    stage.setup()
    yield stage
    stage.close()


def rows(count: int) -> pa.Table:
    images = [jpeg(i) for i in pictures()[1:]] * count
    images[3] = b"no picture"
    texts = [f"picture {i}" for i in range(count)]
    return pa.table({"image": images[:count], "text": texts})


@pytest.mark.slow
def test_pixels_of_processes_are_those_of_threads_and_errors_stay_with_their_rows(
    stage: ClipStage,
) -> None:
    batches = [rows(30), rows(7)]
    by_threads = [stage(batch) for batch in batches]
    fast = stage.model.fast
    stage.feed.decoders = Decoders(2, fast, fast.shape, 32)
    try:
        for batch in batches:
            stage.prepare(batch)
        for batch, other in zip(batches, by_threads, strict=True):
            answer = stage(batch)
            np.testing.assert_array_equal(answer["clip_score"], other["clip_score"])
            assert answer["error"] == other["error"]
        assert stage(rows(33)).num_rows == 33  # more than a block holds: by threads
        assert len(stage.feed.decoders.blocks) == 6  # all were given back
    finally:
        stage.feed.decoders.close()
        stage.feed.decoders = None
    assert by_threads[0]["error"].to_pylist()[3]["class"] == "decode"
    assert np.isnan(by_threads[0]["clip_score"]).tolist() == [i == 3 for i in range(30)]


@pytest.mark.slow
def test_batches_that_are_computed_at_the_same_time_have_the_values_of_one_after_the_other(
    stage: ClipStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CORES, "3")
    model = str(copytree(stage.config.model, tmp_path / "clip"))
    several = ClipStage(ClipConfig(model=model, dtype="float32", batch_size=32))
    several.setup()
    try:
        assert several.ahead == 3
        batches = [rows(count) for count in range(5, 35, 2)]
        for at, batch in enumerate(batches):
            for later in batches[at + 1 : at + 4] if at % 3 == 0 else ():
                several.prepare(later)
            np.testing.assert_array_equal(several(batch)["clip_score"], stage(batch)["clip_score"])
    finally:
        several.close()


def test_what_bytes_become_in_one_thread_stays_while_another_looks_up_its_own(
    stage: ClipStage,
) -> None:
    meeting, fast = Barrier(2), stage.model.fast

    def looked_up(byte: int) -> float:
        found = fast.normalised(torch.full((2, 8, 8, 4), byte, dtype=torch.uint8))
        meeting.wait(120)
        return float(found[0, 0, 0, 0])

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(looked_up, (0, 255))) == [fast.tables[0, 0], fast.tables[0, 255]]


@pytest.mark.slow
def test_process_that_dies_fails_its_rows_and_is_replaced(stage: ClipStage) -> None:
    fast = stage.model.fast
    decoders = Decoders(1, fast, fast.shape, 4)
    try:
        block, image = decoders.block(4), jpeg(Image.new("RGB", (50, 40), "red"))
        assert block is not None
        assert decoders.decode([image], block, 0) == [None]
        for process in decoders.running:
            process.kill()
        with pytest.raises(DecoderDied, match="ended with -9 while it decoded 1 picture "):
            decoders.decode([image], block, 0)
        assert decoders.decode([image, b""], block, 1)[0] is None
    finally:
        decoders.close()


def test_checkpoint_of_open_clip_is_loaded_once_for_several_stages(tmp_path: Path) -> None:
    model = built("open_clip", tmp_path)
    stages = [ClipStage(ClipConfig(model=model, name=name)) for name in ("one", "other")]
    for stage in stages:
        stage.setup()
    assert stages[0].model.model is stages[1].model.model
    assert [stage.name for stage in stages if stage.shares() == stages[0].shares()] == [
        "one",
        "other",
    ]
    for stage in stages:
        stage.close()


def test_threads_of_a_pool_take_one_core_each_and_all_others_their_number() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        pool = ThreadPoolExecutor(2, "feed", on_one_core)
        model = ThreadPoolExecutor(1, "model", on_all_cores)
        meeting = Barrier(2)  # so that both threads of the pool begin

        def number() -> int:
            meeting.wait(120)
            return torch.get_num_threads()

        found = [pool.submit(number) for _ in range(2)]
        assert [one.result() for one in found] == [1, 1]
        assert model.submit(torch.get_num_threads).result() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_torch_waits_shortly_for_its_threads_unless_the_user_says_otherwise() -> None:
    given = [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}]
    for environment in given:
        wait_shortly(environment)
    assert given == [
        {"GOMP_SPINCOUNT": SPINS},
        {"GOMP_SPINCOUNT": "7"},
        {"OMP_WAIT_POLICY": "active"},
    ]


@pytest.mark.parametrize("kind", ["qwen", "llava"])
def test_processor_without_copies_gives_what_it_gave_for_pictures_of_any_shape(
    kind: str, tmp_path: Path
) -> None:
    model = built(kind, tmp_path)
    own, lean = (transformers().AutoProcessor.from_pretrained(model).image_processor for _ in "ab")
    assert without_copies(lean)
    rng = np.random.default_rng(3)
    for width, height in [(31, 57), (640, 480), (100, 900), (1500, 333), (28, 28), (2, 1)]:
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        for shown in (picture, picture.convert("L"), picture.crop((0, 0, width, 1 + height // 2))):
            both = [p(images=[shown, picture], return_tensors="pt") for p in (own, lean)]
            assert both[0].keys() == both[1].keys()
            assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])


@pytest.mark.skipif(library() is None, reason="needs what is compiled")
def test_pictures_that_are_cut_to_patches_together_are_the_processors_own(tmp_path: Path) -> None:
    """Of sizes that differ and sizes that are equal, in any order; what is asked for at a call
    counts.
    """
    model = built("qwen", tmp_path)
    own, lean = (transformers().AutoProcessor.from_pretrained(model).image_processor for _ in "ab")
    assert without_copies(lean)
    assert isinstance(lean._preprocess, Patches)
    rng = np.random.default_rng(4)
    sizes = [(64, 48), (300, 200), (64, 48), (61, 47), (2400, 1800), (300, 200)]
    shown = [Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8)) for w, h in sizes]
    for asked in ({}, {"do_normalize": False}, {"resample": 2}, {"image_mean": [0.1, 0.2, 0.3]}):
        both = [dict(p(images=shown, return_tensors="pt", **asked)) for p in (own, lean)]
        assert both[0].keys() == both[1].keys()
        assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])
    for processor in (own, lean):
        with pytest.raises(ValueError, match="aspect ratio"):
            processor(images=[Image.new("RGB", (300, 1))], return_tensors="pt")


def test_processor_that_answers_otherwise_without_copies_is_left_as_it_is() -> None:
    class Odd:
        """Counts how pixels lie in memory."""

        backend = "torchvision"

        def process_image(self, image: Image.Image) -> torch.Tensor:
            return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()

        def resize(self, image: torch.Tensor) -> torch.Tensor:
            return image

        def __call__(self, images: list[Image.Image], return_tensors: str) -> dict[str, int]:
            return {"stride": self.resize(self.process_image(images[0])).stride()[0]}

    odd = Odd()
    assert not without_copies(odd)
    assert "process_image" not in vars(odd)
    assert not without_copies(odd)
