"""Download: blocklists and robots.txt."""

from pathlib import Path

import pytest
from PIL import Image

from pairmill.errors import RunError
from pairmill.stages.download.blocklists import HashList, PdqList
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.pdq import pdq
from pairmill.stages.download.stage import DownloadStage
from tests.conftest import jpeg
from tests.downloading import download, errors, fine
from tests.hostile_web import Answer, hostile_web, http

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.mark.slow
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
    with hostile_web(lambda host, path: (http(200, bodies[path]), "")) as web:
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


@pytest.mark.slow
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
