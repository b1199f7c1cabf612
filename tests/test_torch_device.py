"""What is known of the device that models compute on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pairmill.errors import StageBroken
from pairmill.torch_device import Room, TooLittleMemory, in_halves, remembered, seconds_of
from tests.later import torch


def test_batch_that_does_not_fit_memory_is_halved_and_the_size_kept() -> None:
    sizes, room = [], Room()

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        if len(items) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [i * 2 for i in items]

    assert in_halves(work, list(range(10)), room) == [i * 2 for i in range(10)]
    assert sizes == [10, 5, 3, 3, 3, 1]
    assert "batches of 3" in room.note("cuda bfloat16")
    with pytest.raises(RuntimeError, match="broken"):
        in_halves(lambda items: (_ for _ in ()).throw(RuntimeError("broken")), [1, 2], Room())


@pytest.mark.parametrize("make", [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    MemoryError,
])  # fmt: skip
def test_item_that_does_not_fit_by_itself_says_what_to_change(
    make: Callable[[], Exception],
) -> None:
    sizes = []

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        if 3 in items:
            raise make()
        return items

    with pytest.raises(TooLittleMemory, match="one row alone does not fit .*max_pixels"):
        in_halves(work, list(range(4)), Room())
    assert sizes == [4, 2, 2, 1, 1][: len(sizes)]


def test_rows_too_large_by_themselves_fail_unless_none_ever_fits() -> None:
    room, error = Room(), torch.OutOfMemoryError("CUDA out of memory")
    assert {room.failed("s", error).kind for _ in range(2)} == {"out_of_memory"}
    with pytest.raises(StageBroken, match="stage 's': one row alone does not fit"):
        room.failed("s", error)
    room.answered = True
    assert room.failed("s", error).kind == "out_of_memory"


def test_precision_measured_once_is_remembered_on_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    answers = iter(["bfloat16", "float32"])
    found = [remembered({"model": m}, lambda: next(answers)) for m in ("a", "a", "b")]
    assert found == ["bfloat16", "bfloat16", "float32"]


@pytest.mark.parametrize(("call_s", "calls"), [(0.1, 4), (14.0, 1)])
def test_call_of_many_seconds_is_measured_once(call_s: float, calls: int) -> None:
    done: list[float] = []
    assert seconds_of(lambda: done.append(call_s), lambda: sum(done)) == pytest.approx(call_s)
    assert len(done) == calls
