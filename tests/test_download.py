"""Download: every fault by its class, addresses, opt-outs, decoding, resizing."""

import io
import socket
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pairmill.demo.pictures import picture_bytes
from pairmill.demo.world import FAULTS, World
from pairmill.images import DecodeError, NotAnImage
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.fetch import Fetcher, retry_after
from pairmill.stages.download.imaging import TooLarge, Unwanted, process
from pairmill.stages.download.opt_out import decision, directives
from pairmill.stages.download.special_ranges import is_public
from pairmill.stages.download.stage import DownloadStage
from tests.conftest import jpeg

WORLD = World(1500, 0)


def download(
    urls: list[str], resolve: dict[str, str], **options: object
) -> list[dict[str, object]]:
    base = {
        "timeout": 4.0,
        "retries": 1,
        "backoff_s": 0.05,
        "user_agent_token": "demo-bot",
        "resolve": resolve,
        "max_bytes": 5_000_000,
    }
    stage = DownloadStage(DownloadConfig(**{**base, **options}))  # type: ignore[arg-type]
    stage.setup()
    try:
        return stage(pa.table({"url": urls})).to_pylist()
    finally:
        stage.close()


@pytest.mark.slow
def test_every_fault_of_the_web_ends_in_its_class(web: dict[str, str]) -> None:
    rows = [WORLD.row(i) for i in range(1500)]
    chosen = {fault: [r for r in rows if r.fault == fault][:4] for fault in FAULTS}
    assert all(chosen.values()), [f for f, r in chosen.items() if not r]
    flat = [r for group in chosen.values() for r in group]
    found = download([r.url for r in flat], web)
    wrong = [
        (r.fault, o["error"])
        for r, o in zip(flat, found, strict=True)
        if (o["error"] or {}).get("class") != r.expected_error
    ]  # type: ignore[union-attr]
    assert wrong == []
    for row, got in zip(flat, found, strict=True):
        assert (got["image"] is None) == (row.expected_error is not None)
        assert got["error"] is None or got["error"]["message"]  # type: ignore[index]


def test_arrived_image_has_its_facts(web: dict[str, str]) -> None:
    row = next(r for i in range(1500) if (r := WORLD.row(i)).fault == "redirect")
    got = download([row.url], web, image_size=None)[0]
    original = Image.open(io.BytesIO(picture_bytes(WORLD, row)))
    assert got["final_url"] == f"{row.url}?to=1"
    assert got["http_status"] == 200
    assert got["original_bytes"] == len(picture_bytes(WORLD, row))
    assert sorted([got["width"], got["height"]]) == sorted(original.size)  # type: ignore[type-var]


@pytest.mark.slow
def test_opt_out_modes(web: dict[str, str]) -> None:
    row = next(r for i in range(1500) if (r := WORLD.row(i)).fault == "tdm")
    assert download([row.url], web)[0]["error"]["class"] == "policy"  # type: ignore[index]
    allowed = download([row.url], web, opt_out="allow")[0]
    assert (allowed["error"], allowed["opt_out"]) == (None, "tdm-reservation")
    plain = next(r for i in range(1500) if (r := WORLD.row(i)).fault == "none")
    assert "opt in" in download([plain.url], web, opt_out="require_opt_in")[0]["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:9/x", "no public address"), ("http://[::1]/x", "no public address"), ("http://[::ffff:127.0.0.1]/", "no public address"),
        ("http://2130706433/", "unusual spelling"), ("http://127.1/", "unusual spelling"), ("http://0x7f.0.0.1/", "unusual spelling"), ("http://169.254.169.254/latest", "no public address"), ("ftp://a.test/x", "not http"),
        ("file:///etc/passwd", "not http"), ("http:///x", "no "), ("", "https:// is missing"),
    ],
)  # fmt: skip
def test_addresses_that_are_never_fetched(url: str, message: str) -> None:
    got = download([url], {})[0]
    assert got["error"]["class"] == "policy"  # type: ignore[index]
    assert message in got["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "172.16.0.1", "127.1.2.3", "0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255",
                                     "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "fec0::1", "::10.0.0.1"])  # fmt: skip
def test_private_addresses_in_every_form_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_rebinding_name_is_checked_on_the_address_that_is_used() -> None:
    """A resolver that answers public first and private then: each connection uses just the address
    that was checked.
    """
    import asyncio

    answers = iter(["93.184.216.34", "10.0.0.1"])
    asked: list[str] = []

    def lookup(host: str, port: int, family: int, kind: int) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, kind, 6, "", (next(answers), port))]

    async def run() -> None:
        fetcher = Fetcher(DownloadConfig(timeout=1), lookup)
        first = await fetcher.resolver.resolve("evil.test", 80)
        assert [a["host"] for a in first] == ["93.184.216.34"]
        second = await fetcher.attempts("http://evil.test/x")
        assert second.error is not None
        assert second.error[0] == "policy"
        assert "10.0.0.1" in second.error[1]
        await fetcher.close()

    asyncio.run(run())
    assert asked == ["evil.test", "evil.test"]


NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("headers", "agent", "expected"),
    [
        (["noai"], None, {"noai"}), (["NoAI, NoImageAI"], None, {"noai", "noimageai"}), (["none"], None, {"none", "noindex", "nofollow"}),
        (["mybot: noai, noimageai"], "mybot", {"noai", "noimageai"}), (["mybot: noai, noimageai"], None, set()),
        (["otherbot: noai, noindex"], "mybot", set()), (["otherbot: noindex, mybot: noai"], "mybot", {"noai"}),
        (["mybot: noai, otherbot: noindex"], "mybot", {"noai"}), (["otherbot: noai", "noindex"], "mybot", {"noindex"}),
        (["unavailable_after: Sat, 01 Mar 2025 15:00:00 GMT"], None, {"unavailable"}), (["unavailable_after: 25-Jun-2030 15:00:00 PST, noai"], None, {"noai"}),
        (["mybot: unavailable_after: 2025-03-01, noindex"], "mybot", {"unavailable", "noindex"}), (["max-image-preview: large, noai"], None, {"noai"}),
        ([], None, set()), ([" , ,noai "], None, {"noai"}),
    ],
)  # fmt: skip
def test_x_robots_tag_in_its_spellings(
    headers: list[str], agent: str | None, expected: set[str]
) -> None:
    assert {d for d in directives(headers, agent, NOW) if not d[0].isdigit()} == expected


def test_tdm_reservation_and_consent() -> None:
    assert decision([], "1", None, ["noai"]) == ("tdm-reservation", False)
    assert decision([], "0", None, ["noai"]) == (None, True)
    assert decision(["all"], None, None, ["noai"]) == (None, True)
    assert decision([], None, None, ["noai"]) == (None, False)


def test_retry_after_as_number_date_and_nonsense() -> None:
    assert retry_after("12") == 12
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("soon") is None


def options(**given: object) -> DownloadConfig:
    return DownloadConfig(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [("keep_ratio", (800, 400), (512, 256)), ("keep_ratio_largest", (800, 400), (256, 128)), ("center_crop", (800, 400), (256, 256)),
     ("border", (800, 400), (256, 256)), ("no", (800, 400), (800, 400)), ("keep_ratio", (100, 50), (100, 50))],
)  # fmt: skip
def test_resize_modes(mode: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    stored = process(jpeg(Image.new("RGB", size, (200, 10, 10))), options(resize_mode=mode))
    assert (stored.width, stored.height) == expected == Image.open(io.BytesIO(stored.data)).size
    assert (stored.original_width, stored.original_height) == size


def test_bytes_that_need_no_change_are_kept_and_others_are_close_to_pillow() -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize(
        (640, 480), Image.Resampling.BICUBIC
    )
    small = jpeg(smooth.resize((320, 240)))
    assert process(small, options()).data == small
    stored = process(jpeg(smooth, 95), options())
    ours = np.asarray(Image.open(io.BytesIO(stored.data)), np.float64)
    theirs = np.asarray(
        Image.open(io.BytesIO(jpeg(smooth, 95))).resize((341, 256), Image.Resampling.BOX),
        np.float64,
    )
    assert 10 * np.log10(255**2 / ((ours - theirs) ** 2).mean()) > 35


def test_colour_modes_rotation_animation_and_alpha_become_upright_rgb_on_white() -> None:
    red = Image.new("RGB", (300, 200), (220, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    variants: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "cmyk": (red.convert("CMYK"), "JPEG", {}), "palette": (red.convert("P"), "PNG", {}), "alpha": (Image.new("RGBA", (300, 200), (0, 0, 0, 0)), "PNG", {}),
        "sixteen": (Image.new("I;16", (300, 200), 65535), "PNG", {}), "grey": (red.convert("L"), "JPEG", {}), "rotated": (red, "JPEG", {"exif": exif}),
        "animated": (red, "GIF", {"save_all": True, "append_images": [Image.new("RGB", (300, 200))]}),
    }  # fmt: skip
    for name, (image, form, extra) in variants.items():
        out = io.BytesIO()
        image.save(out, form, **extra)
        stored = process(out.getvalue(), options(image_size=None))
        shown = Image.open(io.BytesIO(stored.data))
        assert shown.mode == "RGB", name
        assert (stored.width, stored.height) == ((200, 300) if name == "rotated" else (300, 200)), (
            name
        )
        if name in ("alpha", "sixteen"):
            assert shown.getpixel((5, 5)) == (255, 255, 255), name
        if name == "animated":
            assert shown.getpixel((5, 5))[0] > 180  # type: ignore[index]


def test_refusals_name_their_reason() -> None:
    picture = jpeg(Image.new("RGB", (400, 100)))
    for given, error, text in (
        ({"min_image_size": 200}, Unwanted, "shorter side 100"), ({"max_aspect_ratio": 3.0}, Unwanted, "aspect 4.00"),
        ({"max_image_area": 1000}, TooLarge, "40"),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            process(picture, options(**given))
    with pytest.raises(NotAnImage, match="SVG"):
        process(b"<svg xmlns='x'/>", options())
    with pytest.raises(DecodeError):
        process(picture[: len(picture) // 2], options())


def test_mutated_images_never_raise_anything_else() -> None:
    rng = np.random.default_rng(0)
    outcomes = set()
    noise = Image.fromarray(rng.integers(0, 255, (60, 90, 3), dtype=np.uint8))
    for form in ("JPEG", "PNG", "WEBP", "GIF"):
        out = io.BytesIO()
        noise.save(out, form)
        for _ in range(150):
            data = bytearray(out.getvalue())
            for at in rng.integers(0, len(data), rng.integers(1, 12)):
                data[at] = rng.integers(0, 256)
            try:
                process(bytes(data[: rng.integers(10, len(data) + 1)]), options(image_size=32))
                outcomes.add("image")
            except (NotAnImage, DecodeError, TooLarge, Unwanted) as error:
                outcomes.add(type(error).__name__)
    assert {"image", "DecodeError"} <= outcomes


@pytest.mark.slow
def test_host_that_asks_for_a_long_pause_is_left_alone_and_others_are_not_held_up(
    web: dict[str, str],
) -> None:
    busy = [r for i in range(1500) if (r := WORLD.row(i)).fault == "busy"]
    fine = [r for i in range(100) if (r := WORLD.row(i)).fault == "none"][:20]
    found = download([r.url for r in busy + fine], web, host_connections=1)
    messages = [o["error"]["message"] for o in found[: len(busy)]]  # type: ignore[index]
    assert messages[0] == "HTTP 429"
    assert all("asked for a pause" in m for m in messages[1:])
    assert all(o["error"] is None for o in found[len(busy) :])
    assert max(o["download_s"] for o in found) < 10  # type: ignore[type-var]
