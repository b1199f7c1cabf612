"""The gallery's small pictures, made once for the same bytes."""

import base64
import io
from pathlib import Path

from PIL import Image

from pairmill.report.thumbnails import SIDE_PX, Thumbnails
from pairmill.workspace.contents import thumbnails_of
from pairmill.workspace.storage import Storage


def picture(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (400, 200), colour).save(out, "PNG")
    return out.getvalue()


def colour_of(url: str | None) -> tuple[int, int, int]:
    """Of the middle of a thumbnail, in steps of 32."""
    assert url is not None
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert image.size == (SIDE_PX, SIDE_PX // 2)
    red, green, blue = image.getpixel((SIDE_PX // 2, 10))  # type: ignore[misc]
    return round(red / 32), round(green / 32), round(blue / 32)


def test_next_report_takes_thumbnails_of_the_same_bytes_alone(tmp_path: Path) -> None:
    storage, file = Storage(str(tmp_path)), tmp_path / thumbnails_of("p")
    first = Thumbnails(storage, "p")
    told = [first.of(data) for data in (picture("red"), picture("lime"), b"no picture", None)]
    first.keep()
    assert told[2:] == [None, None]
    assert [colour_of(url) for url in told[:2]] == [(8, 0, 0), (0, 8, 0)]

    second = Thumbnails(storage, "p")
    assert second.known.keys() == first.shown.keys()
    again = [second.of(data) for data in (picture("red"), picture("blue"))]
    second.keep()
    assert again[0] == told[0]
    assert colour_of(again[1]) == (0, 0, 8)
    assert Thumbnails(storage, "p").known.keys() == second.shown.keys()

    file.write_bytes(file.read_bytes()[:-40] + b"damaged" * 10)
    third = Thumbnails(storage, "p")
    assert not third.known
    assert third.of(picture("red")) == told[0]
