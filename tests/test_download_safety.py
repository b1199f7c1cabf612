"""Download: blocklists, robots.txt, limits of hosts over all workers, and a long soak."""

import gc
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pairmill.errors import RunError
from pairmill.stages.download.blocklists import HashList, PdqList
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.pdq import pdq
from pairmill.stages.download.stage import DownloadStage
from pairmill.work.host_limits import TTL_S, HostBoard
from tests.conftest import jpeg
from tests.hostile_web import Answer, hostile_web, http

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
PICTURE = jpeg(Image.effect_noise((64, 48), 60).convert("RGB"))


def fine(host: str, path: str) -> Answer:
    return http(200, PICTURE, Content_Type="image/jpeg"), "close"


def download(
    urls: list[str], port: int, ask: object = None, **options: object
) -> list[dict[str, object]]:
    base = {
        "timeout": 2.0,
        "retries": 0,
        "backoff_s": 0.05,
        "resolve": {"*.test": f"127.0.0.1:{port}"},
        "user_agent_token": "pairbot",
    }
    stage = DownloadStage(DownloadConfig(**{**base, **options}))  # type: ignore[arg-type]
    stage.ask = ask  # type: ignore[assignment]
    stage.setup()
    try:
        return stage(pa.table({"url": urls})).to_pylist()
    finally:
        stage.close()


def errors(rows: list[dict[str, object]]) -> list[str]:
    return [r["error"]["class"] if r["error"] else "" for r in rows]  # type: ignore[index]


def test_blocklists_store_the_decision_and_no_bytes(tmp_path: Path, photos: list[bytes]) -> None:
    import hashlib
    import io

    small = [Image.open(io.BytesIO(p)).convert("RGB").resize((300, 260)) for p in photos[:4]]
    bodies = {f"/{i}.jpg": jpeg(p, quality=92) for i, p in enumerate(small)}
    (tmp_path / "urls").write_text("# known bad\nbad.test\nhttp://a.test/0.jpg , seen twice\n")
    (tmp_path / "hashes").write_text(hashlib.md5(bodies["/1.jpg"]).hexdigest() + "\n")
    recompressed = Image.open(io.BytesIO(jpeg(small[2].resize((280, 240)), quality=50)))
    (tmp_path / "pdq").write_text(pdq(recompressed)[0].hex() + ",100\n")
    lists = {f"block_{n}": str(tmp_path / n) for n in ("urls", "hashes", "pdq")}
    urls = [f"http://a.test/{i}.jpg" for i in range(4)] + [
        "http://www.bad.test/3.jpg",
        "http://notbad.test/3.jpg",
    ]
    with hostile_web(lambda host, path: (http(200, bodies[path]), "close")) as web:
        found = download(urls, web.port, **lists)
    assert errors(found) == ["policy", "policy", "policy", "", "policy", ""]
    reasons = [f["error"]["message"] if f["error"] else "" for f in found]  # type: ignore[index]
    assert [
        "block_urls" in reasons[0],
        "MD5" in reasons[1],
        "PDQ distance" in reasons[2],
        "domain bad.test" in reasons[4],
    ] == [True] * 4
    assert all(f["image"] is None for f in found if f["error"])
    assert found[1]["sha256"] == hashlib.sha256(bodies["/1.jpg"]).hexdigest()
    assert web.asked["a.test/0.jpg"] == web.asked["www.bad.test/3.jpg"] == 0


def test_wrong_blocklist_says_file_line_and_what_is_right(tmp_path: Path) -> None:
    (tmp_path / "hashes").write_text("# list\nabc\n")
    with pytest.raises(RunError, match="hashes line 2: 'abc' is neither a SHA-256"):
        HashList.read(str(tmp_path / "hashes"))
    with pytest.raises(RunError, match="cannot be read"):
        PdqList.read(str(tmp_path / "none"), 31)
    stage = DownloadStage(
        DownloadConfig(block_hashes=str(tmp_path / "hashes"), resolve={"a.test": "127.0.0.1:1"})
    )
    with pytest.raises(RunError, match="hashes line 2"):
        stage.setup()


REFERENCE_PDQ = {
    0: "4d6b12f3ad76cf29c79ca3d2506fa83494196c899edd04de0a26b851fc99b724",
    3: "8591786c8f9370e49f1b00e43d1bc2e43f1cc3c33d2482d37dac821b7cecf376",
}


@pytest.mark.parametrize("index", REFERENCE_PDQ)
def test_pdq_is_the_reference_implementations(photos: list[bytes], index: int) -> None:
    """Hashes by Meta's own implementation (through the pdqhash package), of the photographs at 256
    × 256 pixels.
    """
    import io

    image = Image.open(io.BytesIO(photos[index])).convert("RGB").resize((256, 256))
    found, quality = pdq(image)
    assert quality == 100
    assert int.from_bytes(found, "big") ^ int(REFERENCE_PDQ[index], 16) == 0


def test_robots_txt_is_fetched_once_per_origin_and_obeyed() -> None:
    def answers(host: str, path: str) -> Answer:
        if path == "/robots.txt":
            rules = b"User-agent: pairbot\nDisallow: /private/\nAllow: /private/open\n\nUser-agent: *\nDisallow: /\n"
            return {
                "a.test": (http(200, rules), ""),
                "b.test": (http(404), ""),
                "c.test": (http(503), ""),
            }[host]
        return fine(host, path)

    urls = [
        "http://a.test/1",
        "http://a.test/private/2",
        "http://a.test/private/open3",
        "http://b.test/4",
        "http://c.test/5",
    ]
    with hostile_web(answers) as web:
        found = download(urls, web.port, robots_txt=True)
        assert errors(found) == ["", "policy", "", "", "policy"]
        assert found[1]["error"]["message"] == "robots.txt forbids it"  # type: ignore[index]
        assert "HTTP 503" in found[4]["error"]["message"]  # type: ignore[index]
        assert web.asked["a.test/robots.txt"] == 1
        assert web.asked["a.test/private/2"] == 0
        assert errors(download(urls, web.port)) == [""] * 5


def test_host_that_is_down_costs_a_few_time_outs_and_keeps_its_class() -> None:
    urls = [f"http://down.test/{i}" for i in range(100)] + [
        f"http://up.test/{i}" for i in range(20)
    ]
    with hostile_web(
        lambda host, path: (b"", "stall") if host == "down.test" else fine(host, path)
    ) as web:
        found = download(urls, web.port, timeout=0.5, retries=2, host_failures=8)
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


def test_two_workers_keep_one_limit_together() -> None:
    board, lock, found = HostBoard(), threading.Lock(), []

    def ask(worker: str, limit: int, in_flight: dict[str, int]) -> dict[str, int]:
        with lock:
            answer = board.share(worker, limit, in_flight)
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


@pytest.mark.timeout(240)
def test_soak_of_20_000_requests_loses_no_row_and_leaks_nothing() -> None:
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
            urls = [f"http://h{i % 40}.test/{part * 1000 + i}" for i in range(1000)]
            ended.update(errors(stage(pa.table({"url": urls})).to_pylist()))
            if part == 4:
                gc.collect()
                files, memory = open_files(), memory_mb()
        gc.collect()
        grown_files, grown_mb = open_files() - files, memory_mb() - memory
        stage.close()
    assert ended.total() == 20_000
    each = 20_000 / 13
    assert ended.keys() == {
        "",
        "http_4xx",
        "http_5xx",
        "connect",
        "not_image",
        "too_large",
        "decode",
    }
    assert ended[""] == pytest.approx(4 * each, rel=0.01)
    assert ended["not_image"] == pytest.approx(2 * each, rel=0.01)
    assert ended["connect"] == pytest.approx(3 * each, rel=0.01)
    assert grown_files < 100  # connections kept alive, of at most 40 hosts
    assert grown_mb < 60


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
