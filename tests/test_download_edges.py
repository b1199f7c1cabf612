"""Download: odd answers, spellings and pictures that once went wrong."""

from pathlib import Path

import pytest
from PIL import Image
from yarl import URL

from pairmill.stages.download.blocklists import UrlList
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.examine import Examiner
from pairmill.stages.download.imaging import process
from pairmill.stages.download.pdq import pdq
from tests.conftest import jpeg
from tests.downloading import PICTURE, download, errors, fine
from tests.hostile_web import Answer, hostile_web, http

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_what_servers_send_as_text_is_stored_as_valid_text_without_credentials() -> None:
    def answers(host: str, path: str) -> Answer:
        if path == "/odd":
            return (
                b"HTTP/1.1 200 OK\r\nContent-Type: image/\xff\xfe\r\nContent-Length: %d\r\n\r\n"
                % len(PICTURE)
                + PICTURE,
                "",
            )
        if path == "/secret":
            return http(302, Location="http://user:secret@b.test/gone"), ""
        return http(404), ""

    with hostile_web(answers) as web:
        odd, secret = download(["http://a.test/odd", "http://a.test/secret"], web.port)
    assert odd["error"] is None
    assert web.asked["a.test/odd"] == 1
    assert "secret" not in str(secret)
    assert secret["final_url"] == "http://b.test/gone"


def test_robots_txt_in_pieces_is_read_whole() -> None:
    rules = b"User-agent: *\n" + b"# filler\n" * 20_000 + b"Disallow: /private\n"
    with hostile_web(
        lambda host, path: (http(200, rules), "") if path == "/robots.txt" else fine(host, path)
    ) as web:
        assert errors(download(["http://a.test/private/1"], web.port, robots_txt=True)) == [
            "policy"
        ]


def test_our_own_name_is_heard_when_none_is_given() -> None:
    with hostile_web(
        lambda host, path: (http(200, PICTURE, X_Robots_Tag="pairmill: noai"), "")
    ) as web:
        assert errors(download(["http://a.test/1"], web.port, user_agent_token=None)) == ["policy"]


def test_lists_take_commas_in_addresses_and_international_domains(tmp_path: Path) -> None:
    (tmp_path / "urls").write_text(
        "http://a.test/w_300,h_200/x.jpg\nxn--bcher-kva.example\nb\u00fccher2.example\n,\n"
    )
    found = UrlList.read(str(tmp_path / "urls"))
    assert found.find(URL("http://a.test/w_300,h_200/x.jpg"))
    assert found.find(URL("http://www.b\u00fccher.example/1"))
    assert found.find(URL("http://xn--bcher2-3ya.example/1")) or found.find(
        URL("http://b\u00fccher2.example/1")
    )
    assert found.find(URL("http://cher.example/1")) is None


@pytest.mark.parametrize("orientation", [3, 6])
def test_turned_pictures_are_stored_upright_even_where_the_size_stays(orientation: int) -> None:
    import io

    image = Image.new("RGB", (64, 64), "white")
    image.paste("black", (0, 0, 64, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif)
    stored = process(out.getvalue(), DownloadConfig(image_size=None))
    shown = Image.open(io.BytesIO(stored.data))
    assert not shown.getexif().get(0x0112)
    assert shown.getpixel((32, 60) if orientation == 3 else (60, 32))[0] < 60  # type: ignore[index]


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((300, 40_000), {}),
        ((100, 70_000), {"image_size": None}),
        ((256, 20_000), {"encode_format": "webp"}),
    ],
)
def test_very_long_pictures_are_stored_or_refused_with_a_reason(
    size: tuple[int, int], options: dict[str, object]
) -> None:
    import io

    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, "PNG")
    found = Examiner(DownloadConfig(skip_reencode=False, **options))(out.getvalue(), None)  # type: ignore[arg-type]
    assert found.stored is not None or (found.error is not None and found.error[0] == "too_large")


def test_block_pdq_looks_at_the_whole_picture_not_at_its_crop(
    tmp_path: Path, photos: list[bytes]
) -> None:
    import io

    wide = Image.open(io.BytesIO(photos[2])).convert("RGB").resize((600, 300))
    (tmp_path / "pdq").write_text(pdq(wide)[0].hex())
    found = Examiner(
        DownloadConfig(block_pdq=str(tmp_path / "pdq"), resize_mode="center_crop", image_size=128)
    )(jpeg(wide, quality=90), None)
    assert found.error is not None
    assert "PDQ distance" in found.error[1]


def test_robots_txt_may_begin_with_a_byte_order_mark() -> None:
    rules = b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /private\r\n"
    with hostile_web(
        lambda host, path: (http(200, rules), "") if path == "/robots.txt" else fine(host, path)
    ) as web:
        assert errors(download(["http://a.test/private/1"], web.port, robots_txt=True)) == [
            "policy"
        ]
