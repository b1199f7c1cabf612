"""Decoding in a process of its own: what crashes, hangs or eats memory there loses one row."""

import os
import resource
import signal
from pathlib import Path

import pytest
from PIL import Image

from pairmill.errors import RunError
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.decoder import MOST_FAILED_STARTS, Decoder
from tests.conftest import jpeg

PICTURE = jpeg(Image.effect_noise((64, 48), 60).convert("RGB"))


@pytest.mark.slow
def test_decoder_that_crashes_or_hangs_loses_one_row() -> None:
    large = jpeg(
        Image.effect_noise((2200, 1800), 90).convert("RGB"), quality=95
    )  # more than a pipe holds
    decoder = Decoder(DownloadConfig(decode_timeout_s=3.0))
    try:
        assert decoder(PICTURE, None).stored is not None
        for number, body, words in (
            (signal.SIGSEGV, PICTURE, "died on it (SIGSEGV)"),
            (signal.SIGSTOP, PICTURE, "more than decode_timeout_s"),
            (signal.SIGSTOP, large, "more than decode_timeout_s"),
        ):
            assert decoder.child is not None
            os.kill(decoder.child.pid, number)
            lost = decoder(body, None)
            assert lost.error is not None
            assert lost.error[0] == "decode"
            assert words in lost.error[1]
            assert decoder(PICTURE, None).stored is not None
    finally:
        decoder.stop()


def test_decoder_imports_nothing_from_the_folder_that_it_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("struct", "json", "pairmill", "cv2"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    decoder = Decoder(DownloadConfig())
    try:
        assert decoder(PICTURE, None).stored is not None
    finally:
        decoder.stop()


@pytest.mark.slow
def test_decoder_has_bounded_memory() -> None:
    big = jpeg(Image.new("RGB", (12_000, 12_000)), quality=30)
    decoder = Decoder(
        DownloadConfig(max_image_area=150_000_000, image_size=None, skip_reencode=False)
    )
    small = Decoder(DownloadConfig(max_image_area=1_000_000))
    try:
        assert decoder(big, None).stored is not None
        refused = small(big, None)
        assert refused.error is not None
        assert refused.error[0] == "too_large"
        assert small.child is not None
        limits = Path(f"/proc/{small.child.pid}/limits").read_text()
        bound = next(
            line.split()[3] for line in limits.splitlines() if line.startswith("Max address space")
        )
        assert int(bound) < 12 * 2**30
        assert decoder.child is not None
        held = (
            int(Path(f"/proc/{decoder.child.pid}/statm").read_text().split()[0])
            * resource.getpagesize()
        )
        resource.prlimit(
            decoder.child.pid, resource.RLIMIT_AS, (held + 100 * 2**20,) * 2
        )  # as if the picture were far larger
        eaten = decoder(big, None)
        assert eaten.stored is None
        assert eaten.error is not None
        assert eaten.error[0] == "decode"
        assert decoder(PICTURE, None).stored is not None
    finally:
        decoder.stop()
        small.stop()


@pytest.mark.slow
def test_decoder_that_is_killed_while_it_starts_costs_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        f"if os.path.exists({str(tmp_path / 'kill')!r}) and any('decoder' in a for a in sys.orig_argv):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    decoder = Decoder(DownloadConfig())
    try:
        assert decoder(PICTURE, None).stored is not None
        assert decoder.child is not None
        os.kill(decoder.child.pid, signal.SIGKILL)
        assert decoder(PICTURE, None).error is not None
        (tmp_path / "kill").touch()
        lost = decoder(PICTURE, None)
        assert lost.error is not None
        assert "died while it started (SIGKILL)" in lost.error[1]
        (tmp_path / "kill").unlink()
        assert decoder(PICTURE, None).stored is not None
        decoder.stop()
        (tmp_path / "kill").touch()
        for _ in range(MOST_FAILED_STARTS - 1):
            assert decoder(PICTURE, None).error is not None
        with pytest.raises(RunError, match="does not start"):
            decoder(PICTURE, None)
    finally:
        decoder.stop()
