"""Download: limits of a host over all workers, hosts that are down, and the peer engine."""

import random
import threading
import time
from collections import Counter

import pyarrow as pa
import pytest

from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.stage import DownloadStage
from pairmill.work.host_limits import TTL_S, HostBoard
from tests.downloading import download, errors, fine
from tests.hostile_web import Answer, hostile_web, http

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_host_that_is_down_costs_a_few_time_outs_and_keeps_its_class() -> None:
    urls = [f"http://down.test/{i}" for i in range(100)] + [
        f"http://up.test/{i}" for i in range(20)
    ]
    with hostile_web(
        lambda host, path: (b"", "stall") if host == "down.test" else fine(host, path)
    ) as web:
        found = download(urls, web.port, timeout=2.0, retries=2, host_failures=8)
    assert set(errors(found[:100])) == {"timeout"}
    assert set(errors(found[100:])) == {""}
    assert (
        web.asked.total() <= 20 + 16
    )  # no more than a round or two of the host's eight connections
    assert "left alone" in found[99]["error"]["message"]  # type: ignore[index]


def test_board_never_gives_a_host_more_than_its_limit_and_serves_everyone() -> None:
    """Five simulated workers with rows for shared hosts, to whom answers come late: requests in
    flight never exceed the limit, and all rows end.
    """
    rng, board, limit, now = random.Random(5), HostBoard(), 4, 0.0
    rows = {w: Counter({f"h{h}": rng.randint(0, 30) for h in range(6)}) for w in "abcde"}
    busy: dict[str, Counter[str]] = {w: Counter() for w in rows}
    shares: dict[str, dict[str, int]] = {w: {} for w in rows}
    answers: dict[str, dict[str, int]] = {}
    for _ in range(20_000):
        now += 0.02
        worker = rng.choice(list(rows))
        if worker in answers:
            if rng.random() < 0.3:
                shares[worker] = answers.pop(worker)
        elif rng.random() < 0.5:
            wanted = {
                h: busy[worker][h] for h in rows[worker] if rows[worker][h] or busy[worker][h]
            }
            answers[worker] = board.share(worker, limit, wanted, now)
        for host in (f"h{h}" for h in range(6)):
            while busy[worker][host] and rng.random() < 0.3:
                busy[worker][host] -= 1
            while rows[worker][host] and busy[worker][host] < shares[worker].get(host, 0):
                rows[worker][host] -= 1
                busy[worker][host] += 1
            if rng.random() < 0.002 and now < 100:
                rows[worker][host] += 5  # new rows for a host that the worker had done with
        for host in (f"h{h}" for h in range(6)):
            assert sum(b[host] for b in busy.values()) <= limit
    assert sum(r.total() for r in rows.values()) == 0


def test_board_takes_back_what_a_dead_worker_held() -> None:
    board = HostBoard()
    assert board.share("dead", 4, {"h": 4}, 0.0) == {"h": 4}
    assert board.share("alive", 4, {"h": 0}, 1.0) == {"h": 0}
    assert board.share("alive", 4, {"h": 0}, TTL_S + 2) == {"h": 4}


@pytest.mark.slow
def test_two_workers_keep_one_limit_together() -> None:
    board, lock, found = HostBoard(), threading.Lock(), []

    def ask(worker: str, limit: int, in_flight: dict[str, int]) -> dict[str, int]:
        with lock:
            answer = board.share(worker, limit, in_flight, time.monotonic())
        time.sleep(0.1)  # an answer takes its time
        return answer

    with hostile_web(fine, pause_s=0.02) as web:
        urls = [f"http://one.test/{i}" for i in range(120)]
        threads = [
            threading.Thread(
                target=lambda part=part: found.extend(
                    download(part, web.port, ask, host_connections=3)
                )
            )
            for part in (urls[:60], urls[60:])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert errors(found) == [""] * 120
    assert web.most_at_once["one.test"] <= 3


def test_engine_img2dataset_gives_its_images_in_our_columns(photos: list[bytes]) -> None:
    pytest.importorskip(
        "img2dataset", reason="pip install 'pairmill[img2dataset]'", exc_type=ImportError
    )

    def answers(host: str, path: str) -> Answer:
        return {
            "/ok": (http(200, photos[0]), ""),
            "/gone": (http(404), ""),
            "/junk": (http(200, b"junk"), ""),
        }.get(path, (http(500), ""))

    with hostile_web(answers) as web:
        base = f"http://127.0.0.1:{web.port}"
        options = DownloadConfig(
            engine="img2dataset", allow_private_hosts=["*"], image_size=128, timeout=3.0, retries=0
        )
        stage = DownloadStage(options)
        stage.setup()
        found = stage(
            pa.table({"url": [f"{base}/ok", f"{base}/gone", f"{base}/junk", f"{base}/broken"]})
        ).to_pylist()
        stage.close()
    assert errors(found) == ["", "http_4xx", "decode", "http_5xx"]
    assert min(found[0]["width"], found[0]["height"]) == 128  # type: ignore[type-var]
    assert found[0]["original_bytes"] == len(photos[0])


def test_engine_img2dataset_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="knows no robots_txt"):
        DownloadConfig(engine="img2dataset", robots_txt=True, allow_private_hosts=["*"])
    with pytest.raises(ValueError, match="private addresses"):
        DownloadConfig(engine="img2dataset")
