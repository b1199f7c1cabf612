"""Download: a long soak: no row is lost, nothing leaks."""

import gc
import os
import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.stage import DownloadStage
from tests.conftest import SEARCH
from tests.downloading import PICTURE, errors, fine
from tests.hostile_web import Answer, hostile_web, http

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

PART = 250 * SEARCH
"""Requests in each of twenty batches."""


def noise(host: str, path: str) -> Answer:
    """A fault by the path's number; every answer there is."""
    kind = int(path[1:]) % 13
    junk = random.Random(path).randbytes(500)
    return {
        0: (http(404), ""), 1: (http(500), ""), 2: (b"", "reset"), 3: (http(200, PICTURE)[:-400], "reset"), 4: (http(200, b"<html>"), ""),
        5: (http(200, b""), ""), 6: (b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n", "reset"), 7: (http(200, b"\xff\xd8\xff" + junk), ""),
        8: (http(302, Location=f"/{int(path[1:]) * 13 + 9}"), ""), 9: fine(host, path), 10: fine(host, path), 11: (junk, "reset"), 12: fine(host, path),
    }[kind]  # fmt: skip


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
def test_soak_loses_no_row_and_leaks_nothing() -> None:
    with hostile_web(noise) as web:
        options = {
            "timeout": 5.0,
            "retries": 0,
            "resolve": {"*.test": f"127.0.0.1:{web.port}"},
            "host_failures": 10**6,
        }
        stage = DownloadStage(DownloadConfig(**options))  # type: ignore[arg-type]
        stage.setup()
        ended: Counter[str] = Counter()
        files, memory = 0, 0.0
        for part in range(20):
            urls = [f"http://h{i % 40}.test/{part * PART + i}" for i in range(PART)]
            ended.update(errors(stage(pa.table({"url": urls})).to_pylist()))
            if part == 4:
                gc.collect()
                files, memory = open_files(), memory_mb()
        gc.collect()
        grown_files, grown_mb = open_files() - files, memory_mb() - memory
        stage.close()
    assert ended.total() == 20 * PART
    each = 20 * PART / 13
    assert ended.keys() == {
        "",
        "http_4xx",
        "http_5xx",
        "connect",
        "protocol",
        "not_image",
        "too_large",
        "decode",
    }
    assert ended[""] == pytest.approx(4 * each, rel=0.01)
    assert ended["not_image"] == pytest.approx(2 * each, rel=0.01)
    assert ended["connect"] == pytest.approx(2 * each, rel=0.01)
    assert ended["protocol"] == pytest.approx(each, rel=0.01)
    assert grown_files < 100  # connections kept alive, of at most 40 hosts
    assert grown_mb < 60
