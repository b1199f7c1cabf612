"""Images: one verdict and the right colours on every path, whatever format, mode or damage."""

import ast
import io
import json
import random
import struct
import warnings
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from pairmill.images import (
    DecodeError,
    NotAnImage,
    TooManyPixels,
    check_pixels,
    decode_rgb,
    flat_rgb,
    open_image,
    shown_size,
)
from pairmill.outputs.pictures import packed
from pairmill.sources.image_bytes import measure
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.examine import Examiner
from tests.picture_files import NOISE, chunk, files_of, forms, in_modes, png, swapped_profile, tiff

READ = "AVIF BMP DDS GIF ICO JPEG JPEG2000 MPO PCX PNG PPM QOI SGI TGA TIFF WEBP".split()
WAYS = {
    "kept": {"image_size": None},
    "encoded": {"image_size": None, "skip_reencode": False},
    "reduced": {"image_size": 32},
    "bordered": {"image_size": 64, "resize_mode": "border"},
}
EXAMINERS = {way: Examiner(DownloadConfig(**given)) for way, given in WAYS.items()}  # type: ignore[arg-type]


def verdicts(data: bytes) -> tuple[set[bool], list[str]]:
    """Whether the bytes are an image, by the check of sources, by what stages decode, and by each
    way of the download stage; and what each of them says.
    """
    sound, said = [], []
    measured = measure(data, "pixels")
    sound.append(not isinstance(measured, str))
    said += [measured] if isinstance(measured, str) else []
    try:
        decode_rgb(data)
        sound.append(True)
    except DecodeError as error:
        sound.append(False)
        said.append(str(error))
    for examiner in EXAMINERS.values():
        found = examiner(data, None)
        sound.append(found.stored is not None)
        said += [found.error[1]] if found.error else []
    return set(sound), said


@pytest.mark.slow
@pytest.mark.parametrize("form", forms())
def test_every_format_and_mode_has_one_verdict_whole_cut_off_or_damaged(form: str) -> None:
    rng = random.Random(form)
    assert files_of(form)
    for mode, data in files_of(form).items():
        sound, _ = verdicts(data)
        assert sound == {form in READ}, mode
        for n in range(8 if form in READ else 0):
            bad = bytearray(data[: rng.randrange(1, len(data))] if n % 2 else data)
            for _ in range(0 if n % 2 else 4):
                bad[rng.randrange(len(bad))] = rng.randrange(256)
            sound, said = verdicts(bytes(bad))
            assert len(sound) == 1, (mode, n, said)
            assert not any("0x" in words for words in said), said
            if form == "PNG" and bad != data:
                assert sound == {False}, (mode, n)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "CMYK", "LAB", "I;16", "I", "F", "YCbCr"])  # fmt: skip
def test_lossless_files_of_every_mode_show_the_picture(mode: str) -> None:
    shown = np.asarray(NOISE.convert("L"), np.float64)
    for form in ("PNG", "TIFF", "JPEG2000"):
        if mode in files_of(form):
            found = np.asarray(decode_rgb(files_of(form)[mode]).convert("L"), np.float64)
            assert abs(found - shown).mean() < 3, form


def test_look_at_the_header_decodes_nothing_and_hides_no_damage() -> None:
    """PNGs have their EXIF anywhere; whoever asks Pillow for it decodes the picture."""
    broken = png((64, 48), 8, 2, None)
    image = open_image(broken)
    assert shown_size(image) == (64, 48)
    with pytest.raises(DecodeError):
        check_pixels(image)
    with pytest.raises(DecodeError):
        decode_rgb(broken)
    huge = png((15_000, 15_000), 8, 2, None)
    found = EXAMINERS["kept"](huge, None)
    assert found.error is not None
    assert found.error[0] == "too_large"
    with pytest.raises(TooManyPixels):
        open_image(png((70_000, 70_000), 8, 2, None))


def test_exif_behind_the_pixels_of_a_png_turns_it_in_header_and_picture() -> None:
    exif = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00" + bytes(4)  # fmt: skip
    rows = b"".join(b"\0" + b"\xff\0\0" * 30 for _ in range(10))
    plain = png((30, 10), 8, 2, rows)
    turned = plain[:-12] + chunk(b"eXIf", exif) + plain[-12:]
    assert shown_size(open_image(plain)) == decode_rgb(plain).size == (30, 10)
    assert shown_size(open_image(turned)) == decode_rgb(turned).size == (10, 30)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sides_in_the_header_are_those_of_the_picture(form: str, orientation: int) -> None:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image = Image.new("RGB", (40, 24), "white")
    image.paste("red", (0, 0, 10, 10))
    image.save(out, form, exif=exif)
    opened = open_image(out.getvalue())
    size = shown_size(opened)
    rgb = flat_rgb(opened)
    assert rgb.size == size == ((24, 40) if orientation >= 5 else (40, 24))
    right, bottom = size[0] - 4, size[1] - 4
    corner = {1: (4, 4), 2: (right, 4), 3: (right, bottom), 4: (4, bottom), 5: (4, 4), 6: (right, 4), 7: (right, bottom), 8: (4, bottom)}[orientation]  # fmt: skip
    assert rgb.getpixel(corner)[1] < 120  # type: ignore[index]
    stored = EXAMINERS["kept"](out.getvalue(), None).stored
    assert stored is not None
    assert (stored.original_width, stored.original_height) == size


TRANSPARENT = {
    "RGB 8": png((1, 1), 8, 2, b"\0\xff\x00\xff", chunk(b"tRNS", struct.pack(">3H", 255, 0, 255))),
    "RGB 16": png((1, 1), 16, 2, b"\0\x12\x34\x56\x78\x9a\xbc", chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))),
    "grey 1": png((1, 1), 1, 0, b"\0\x00", chunk(b"tRNS", b"\0\0")),
    "grey 2": png((1, 1), 2, 0, b"\0\x40", chunk(b"tRNS", b"\0\1")),
    "grey 4": png((1, 1), 4, 0, b"\0\x50", chunk(b"tRNS", b"\0\5")),
    "grey 8": png((1, 1), 8, 0, b"\0\x21", chunk(b"tRNS", b"\0\x21")),
    "grey 16": png((1, 1), 16, 0, b"\0\x12\x34", chunk(b"tRNS", b"\x12\x34")),
    "palette": png((1, 1), 8, 3, b"\0\1", chunk(b"PLTE", bytes(6)), chunk(b"tRNS", b"\xff\x00")),
}  # fmt: skip


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparent_colour_of_a_png_is_white(kind: str) -> None:
    assert decode_rgb(TRANSPARENT[kind]).getpixel((0, 0)) == (255, 255, 255)
    stored = EXAMINERS["kept"](TRANSPARENT[kind], None).stored
    assert stored is not None
    assert stored.data != TRANSPARENT[kind]
    without = TRANSPARENT[kind].replace(b"tRNS", b"teST")
    at = without.find(b"teST") if b"teST" in without else 0
    size = int.from_bytes(without[at - 4 : at], "big")
    crc = struct.pack(">I", zlib.crc32(without[at : at + 4 + size]))
    opaque = without[: at + 4 + size] + crc + without[at + 8 + size :]
    assert decode_rgb(opaque).getpixel((0, 0)) != (255, 255, 255)


def test_large_or_broken_text_beside_a_png_does_not_cost_the_picture() -> None:
    rows = b"".join(b"\0" + b"\x01\x02\x03" * 20 for _ in range(20))
    large = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(3_000_000)))
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(5_000_000)))
    broken = chunk(b"tEXt", b"a\0b")[:-1] + b"?"
    for extra in (large, profile, broken):
        data = png((20, 20), 8, 2, rows, extra)
        assert decode_rgb(data).getpixel((3, 3)) == (1, 2, 3)
        assert measure(data, "pixels")[1:3] == (20, 20)
        stored = EXAMINERS["kept"](data, None).stored
        assert stored is not None
        for kept in (stored.data, packed(data, "auto", Counter()).data):
            Image.open(io.BytesIO(kept)).load()  # a loader opens what is stored


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_package_hides_what_a_picture_hides(kind: str) -> None:
    told: Counter[str] = Counter()
    picture = packed(TRANSPARENT[kind], "auto", told)
    shown = Image.open(io.BytesIO(picture.data)).convert("RGB")
    assert (picture.suffix, shown.getpixel((0, 0))) == ("png", (255, 255, 255))
    assert told.total() == 1
    assert packed(TRANSPARENT[kind], "original", told).data == TRANSPARENT[kind]


def test_large_metadata_of_a_jpeg_does_not_cost_the_picture() -> None:
    data = files_of("JPEG")["RGB"]
    for marker, content in ((0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)), (0xFE, bytes(65_000)), (0xE2, b"ICC_PROFILE\0\1\xff" + bytes(65_000)), (0xE1, b"Exif\0\0II*\0" + b"\xff" * 60_000)):  # fmt: skip
        segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
        assert verdicts(data[:2] + segment * 40 + data[2:])[0] == {True}


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("JPEG", "RGB"), ("TIFF", "RGB"), ("WEBP", "RGB")])  # fmt: skip
def test_colour_profile_is_converted_when_encoded_anew(form: str, mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (32, 32), (230, 40, 20)).save(out, form, icc_profile=swapped_profile())
    shown = decode_rgb(out.getvalue()).getpixel((8, 8))
    assert shown == pytest.approx((20, 40, 230), abs=12)
    for encode in ("jpg", "png", "webp"):
        options = DownloadConfig(skip_reencode=False, image_size=16, encode_format=encode)  # type: ignore[arg-type]
        stored = Examiner(options)(out.getvalue(), None).stored
        assert stored is not None
        again = Image.open(io.BytesIO(stored.data))
        assert again.getpixel((4, 4)) == pytest.approx((20, 40, 230), abs=14)
        assert "icc_profile" not in again.info
    kept = EXAMINERS["kept"](out.getvalue(), None).stored
    assert kept is not None
    assert (kept.data == out.getvalue()) == (mode == "RGB" and form != "TIFF")


RAMP = np.linspace(0, 1, 64).reshape(8, 8)


@pytest.mark.parametrize(
    "samples",
    [
        (RAMP * 65_535).astype(np.uint16), (RAMP * 255).astype(np.uint16), (RAMP * 65_535).astype(np.int32), (RAMP * 255).astype(np.int32),
        RAMP.astype(np.float32), (RAMP * 255).astype(np.float32), (RAMP * 65_535).astype(np.float32),
    ],
)  # fmt: skip
def test_wide_samples_are_scaled(samples: np.ndarray) -> None:
    shown = np.asarray(decode_rgb(tiff(samples)))[..., 0]
    assert abs(shown.astype(int) - RAMP * 255).max() <= 1


@pytest.mark.parametrize(("samples", "words"), [((RAMP * 3 - 1).astype(np.float32), "negative"), ((RAMP * 1e9).astype(np.float32), "cannot be told"), (RAMP.astype(np.float32) * np.nan, "no numbers")])  # fmt: skip
def test_wide_samples_without_a_range_are_refused_by_name(samples: np.ndarray, words: str) -> None:
    sound, said = verdicts(tiff(samples))
    assert sound == {False}
    assert all(words in s for s in said)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS"), (b"\xc5\xd0\xd3\xc6" + bytes(40), "EPS"), (b"\xd7\xcd\xc6\x9a" + bytes(40), "WMF"),
        (b"<svg xmlns='x'/>", "SVG"), (b"<!doctype html><html>", "web page"), (b"", "empty"), (b"8BPS\0\1" + bytes(40), "Photoshop"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"), (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "film"), (b"\xff\x0a" + bytes(40), "JPEG XL"),
    ],
)  # fmt: skip
def test_what_is_no_raster_image_is_told_by_name(data: bytes, words: str) -> None:
    sound, said = verdicts(data)
    assert sound == {False}
    assert all(words in s for s in said), said


def test_icon_with_a_huge_picture_inside_is_not_decoded() -> None:
    inner = png((14_000, 14_000), 8, 2, None)
    directory = struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(inner), 22)
    with pytest.raises(DecodeError, match="14000×14000"):
        open_image(directory + inner)


def test_pillow_opens_images_in_one_place_alone() -> None:
    """Whatever opens an image says which format it may be: EPS would run Ghostscript."""
    package = Path(__file__).parent.parent / "pairmill"
    opening = [f for f in package.rglob("*.py") for call in ast.walk(ast.parse(f.read_text())) if isinstance(call, ast.Call) and ast.unparse(call.func) == "Image.open"]  # fmt: skip
    assert [f.name for f in opening] == ["reading.py"]
    assert "formats=[kind]" in opening[0].read_text()
    with pytest.raises(NotAnImage):
        open_image(files_of("EPS")["RGB"])


def test_threads_that_decode_leave_the_filters_of_warnings_as_they_were() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(decode_rgb, [files_of("TIFF")[m] for m in ("RGB", "L", "CMYK")] * 40))
    assert list(warnings.filters) == before


def test_modes_are_all_there() -> None:
    assert {mode for form in READ for mode in files_of(form)} == set(in_modes())


def test_exif_is_stored_whole_under_the_names_that_img2dataset_gives() -> None:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769).update({0x829A: IFDRational(1, 60), 0x9003: "2026:01:02 03:04:05"})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 0.0)})
    NOISE.save(out, "JPEG", exif=exif)
    stored = Examiner(DownloadConfig(extract_exif=True))(out.getvalue(), None).stored
    assert stored is not None
    assert stored.exif is not None
    told = json.loads(stored.exif)
    assert told["Image Make"] == "Maker"
    assert told["EXIF ExposureTime"] == "1/60"
    assert told["EXIF DateTimeOriginal"] == "2026:01:02 03:04:05"
    assert told["GPS GPSLatitude"] == "[52, 30, 0]"
    assert told["GPS GPSLatitudeRef"] == "N"
    plain = Examiner(DownloadConfig(extract_exif=True))(files_of("PNG")["RGB"], None).stored
    assert plain is not None
    assert plain.exif is None
