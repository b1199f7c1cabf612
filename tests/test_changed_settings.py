"""Settings that decide which rows fail: where one changes, the failures are tried again, once."""

from pathlib import Path

import polars as pl
import pytest

from pairmill import Pipeline
from pairmill.errors import StageFailed
from pairmill.schemas.config import Reach
from pairmill.stages.download.config import DownloadConfig
from tests.downloading import PICTURE
from tests.hostile_web import HostileWeb, hostile_web, http

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def kept(folder: Path, settings: str, limit: int | None = None) -> int:
    file = folder / "p.yaml"
    file.write_text(
        "name: s\nsource: {type: pairs, path: in.parquet}\nstages:\n"
        f"  - {{stage: download, retries: 0, {settings}}}\noutputs: [{{type: parquet, path: out}}]\n"
    )
    found = Pipeline.from_yaml(file)
    return found.run(progress=False, local=True, limit=limit, replace=True).funnel.kept


def urls(folder: Path, web: HostileWeb) -> None:
    here = f"http://127.0.0.1:{web.port}"
    found = [f"{here}/ok", f"{here}/gone", "http://b.test/ok"]
    pl.DataFrame({"url": found, "text": ["a", "b", "c"]}).write_parquet(folder / "in.parquet")


@pytest.mark.slow
def test_changed_setting_tries_the_failures_again_that_it_may_free(tmp_path: Path) -> None:
    private = "allow_private_hosts: [127.0.0.1]"
    with hostile_web(
        lambda host, path: (http(200, PICTURE), "") if path == "/ok" else (http(404), "")
    ) as web:
        urls(tmp_path, web)
        resolved = f"{private}, resolve: {{b.test: '127.0.0.1:{web.port}'}}"
        assert kept(tmp_path, "timeout: 5") == 0
        assert kept(tmp_path, f"timeout: 5, {private}", limit=1) == 1
        assert kept(tmp_path, f"timeout: 5, {private}") == 1
        assert web.asked.total() == 2
        assert kept(tmp_path, f"timeout: 5, {private}") == 1
        assert kept(tmp_path, f"timeout: 9, host_rate: 50, {private}") == 1
        assert web.asked.total() == 2  # neither of them may free what a 404 is
        assert kept(tmp_path, f"timeout: 9, {resolved}") == 2
        assert web.asked.total() == 3


def test_a_setting_mended_after_a_run_that_failed_needs_no_retry(tmp_path: Path) -> None:
    """What failed in a run that ended badly, or over some rows, was tried under its settings."""
    with hostile_web(lambda host, path: (http(200, PICTURE), "")) as web:
        addresses = [f"http://127.0.0.1:{web.port}/{i}" for i in range(30)]
        texts = [f"text {i}" for i in range(30)]
        rows = pl.DataFrame({"url": [*addresses, None, None], "text": [*texts, "no", "url"]})
        rows.write_parquet(tmp_path / "in.parquet")
        for _ in ("tried", "stored"):  # rows without an address are no reason to let it pass
            with pytest.raises(StageFailed, match="failed on 30 of 3[02] rows"):
                kept(tmp_path, "timeout: 5", limit=32)
        assert kept(tmp_path, "timeout: 5, allow_private_hosts: [127.0.0.1]") == 30


@pytest.mark.parametrize(
    ("way", "before", "now", "frees"),
    [
        ("more", 5.0, 9.0, True), ("more", 9.0, 5.0, False), ("more", 9.0, None, True), ("less", None, 2.0, True), ("less", 2.0, 3.0, False),
        ("other", ["a"], ["b"], True), ("other", ["a"], ["a"], False),
    ],
)  # fmt: skip
def test_a_change_frees_failures_by_its_direction(
    way: str, before: object, now: object, frees: bool
) -> None:
    assert Reach(way, "timeout").frees(before, now) is frees  # type: ignore[arg-type]


def test_classes_that_settings_free_are_those_of_the_download_stage() -> None:
    from pairmill.stages.download.stage import DownloadStage

    known = (DownloadStage.__doc__ or "").replace("\n", " ") + " deadline"
    marks = [m for f in DownloadConfig.model_fields.values() for m in f.metadata]
    classes = {name for mark in marks if isinstance(mark, Reach) for name in mark.classes}
    assert {"policy", "tls", "timeout", "connect"} <= classes
    assert all(name in known for name in classes)
