"""Tars that are damaged, hostile or odd: the rows around the damage are there, and it is told."""

import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairmill.sources.tar import MAX_MEMBER_BYTES
from pairmill.sources.webdataset import WebDatasetConfig, WebDatasetSource
from tests.inputs import Given, add, given_by, picture, sample, write_tar


def read(file: Path) -> Given:
    return given_by(WebDatasetSource(WebDatasetConfig(path=str(file))))


def ten(file: Path) -> Path:
    return write_tar(file, [m for i in range(10) for m in sample(f"{i}", i, f"t{i}", n=i)])


def header_at(data: bytes, name: str) -> int:
    """Where the header of a member begins."""
    at = data.index(name.encode() + b"\0")
    assert at % 512 == 0
    return at


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda h: h[:148] + b"garbage!" + h[156:], "a damaged header; "),
        (lambda h: bytes(300) + h[300:], "a damaged header; "),
    ],
)
def test_a_damaged_header_costs_its_sample_alone(
    tmp_path: Path, packed: bool, damage: object, said: str
) -> None:
    data = ten(tmp_path / "a.tar").read_bytes()
    at = header_at(data, "4.jpg")
    data = data[:at] + damage(data[at : at + 512]) + data[at + 512 :]  # type: ignore[operator]
    file = tmp_path / ("a.tar.gz" if packed else "a.tar")
    file.write_bytes(gzip.compress(data) if packed else data)
    rows, bad, _ = read(file)
    assert rows["n"].to_list() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert {b.reason.split(" (")[0] for b in bad if "sample 4" in b.location} >= {
        "no image among its members"
    }
    assert any(b.reason.startswith(f"broken tar: {said}") for b in bad)


def with_size(header: bytes, size: bytes) -> bytes:
    """The header with another size and the checksum that goes with it."""
    info = header[:124] + size.ljust(12, b"\0") + header[136:148] + b" " * 8 + header[156:]
    return info[:148] + b"%06o\0 " % sum(info) + info[156:]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [b"\x80" + (2**60).to_bytes(11, "big"), b"\xff" * 12])
def test_a_header_that_promises_what_no_file_has(tmp_path: Path, packed: bool, size: bytes) -> None:
    data = ten(tmp_path / "a.tar").read_bytes()
    at = header_at(data, "4.jpg")
    data = data[:at] + with_size(data[at : at + 512], size) + data[at + 512 :]
    file = tmp_path / ("a.tar.gz" if packed else "a.tar")
    file.write_bytes(gzip.compress(data) if packed else data)
    rows, bad, _ = read(file)
    assert rows["n"].to_list() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert any("4.jpg" in b.reason and "more than the file" in b.reason for b in bad)


@pytest.mark.parametrize("end", [700, 1400, 5000])
@pytest.mark.parametrize("packed", [False, True])
def test_a_tar_that_is_cut_gives_what_is_there(tmp_path: Path, packed: bool, end: int) -> None:
    data = ten(tmp_path / "a.tar").read_bytes()
    data = data[: header_at(data, "8.jpg") + end - 512]
    file = tmp_path / ("a.tar.gz" if packed else "a.tar")
    file.write_bytes(gzip.compress(data) if packed else data)
    rows, bad, _ = read(file)
    assert rows["n"].to_list()[:8] == list(range(8))
    assert any(b.reason.startswith("broken tar: ") for b in bad)


def test_a_packed_stream_that_breaks_off_gives_what_is_there(tmp_path: Path) -> None:
    data = gzip.compress(ten(tmp_path / "a.tar").read_bytes(), 0)
    (tmp_path / "b.tar.gz").write_bytes(data[: len(data) // 2])
    rows, bad, _ = read(tmp_path / "b.tar.gz")
    assert rows.height >= 3
    assert any("broken tar" in b.reason for b in bad)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", [0, 100, 512, 515])
def test_the_sample_in_which_a_tar_is_cut_is_no_row(tmp_path: Path, packed: bool, end: int) -> None:
    """The caption of sample 8 is cut off, within its header or its bytes, or where it begins."""
    data = ten(tmp_path / "a.tar").read_bytes()
    data = data[: header_at(data, "8.txt") + end]
    file = tmp_path / ("a.tar.gz" if packed else "a.tar")
    file.write_bytes(gzip.compress(data) if packed else data)
    rows, bad, _ = read(file)
    assert rows["n"].to_list() == list(range(8))
    assert rows["text"].to_list() == [f"t{i}" for i in range(8)]
    (why,) = [b.reason for b in bad if b.location.endswith("sample 8") and "broken" not in b.reason]
    assert why.startswith("the tar is cut here, so members may be missing (there: jpg")


def test_a_gzip_cut_within_the_last_sample_costs_it(tmp_path: Path) -> None:
    data = ten(tmp_path / "a.tar").read_bytes()
    until = header_at(data, "8.txt") + 100
    packed = gzip.compress(data[:until], 0)
    (tmp_path / "b.tar.gz").write_bytes(packed[:-20])
    rows, bad, _ = read(tmp_path / "b.tar.gz")
    assert rows["n"].to_list() == list(range(8))
    assert [b.reason.split(",")[0] for b in bad][-1] == "the tar is cut here"


def test_a_tar_of_one_sample_that_is_cut_gives_no_row(tmp_path: Path) -> None:
    members = [*sample("0", 0), *sample("1", 1, "t")]
    data = write_tar(tmp_path / "a.tar", members).read_bytes()
    whole = write_tar(tmp_path / "b.tar", sample("b", 1, "b")).read_bytes()
    (tmp_path / "a.tar").write_bytes(data[: header_at(data, "1.jpg")])
    (tmp_path / "b.tar").write_bytes(whole)
    rows, bad, _ = read(tmp_path)
    assert rows["text"].to_list() == ["b"]
    assert "the tar is cut here" in bad[-1].reason


def test_a_whole_last_sample_stays_where_the_end_mark_alone_is_missing(tmp_path: Path) -> None:
    data = ten(tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[: header_at(data, "9.json") + 1024])
    rows, bad, _ = read(tmp_path / "a.tar")
    assert rows["n"].to_list() == list(range(10))
    assert len(bad) == 1


def test_a_cut_tar_of_images_before_captions_gives_the_captioned_ones(tmp_path: Path) -> None:
    images = [m for i in range(6) for m in sample(f"{i}", i)]
    data = write_tar(tmp_path / "a.tar", [*images, *((f"{i}.txt", f"t{i}") for i in range(6))])
    cut = data.read_bytes()
    data.write_bytes(cut[: header_at(cut, "3.txt")])
    rows, bad, _ = read(tmp_path / "a.tar")
    assert rows["text"].to_list() == ["t0", "t1", "t2"]
    assert sum("the tar is cut here" in b.reason for b in bad) == 3


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_header_of_a_caption_costs_its_sample(tmp_path: Path, packed: bool) -> None:
    data = ten(tmp_path / "a.tar").read_bytes()
    at = header_at(data, "4.txt")
    data = data[: at + 148] + b"garbage!" + data[at + 156 :]
    file = tmp_path / ("a.tar.gz" if packed else "a.tar")
    file.write_bytes(gzip.compress(data) if packed else data)
    rows, bad, _ = read(file)
    assert rows["n"].to_list() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert "the tar is damaged here" in bad[-1].reason


def test_two_tars_in_one_file_are_both_read(tmp_path: Path) -> None:
    one = write_tar(tmp_path / "a.tar", sample("a", 1, "one")).read_bytes()
    two = write_tar(tmp_path / "b.tar", sample("b", 2, "two")).read_bytes()
    (tmp_path / "c.tar").write_bytes(one + two)
    rows, bad, _ = read(tmp_path / "c.tar")
    assert (rows["text"].to_list(), bad) == (["one", "two"], [])


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_names_in_other_alphabets(tmp_path: Path, form: int) -> None:
    key = "folder/" * 40 + "Иван" * 30
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        add(tar, f"{key}.jpg", picture(1))
        add(tar, f"{key}.txt", "text")
    rows, bad, _ = read(tmp_path / "a.tar")
    assert (rows["declared_key"].to_list(), rows["text"].to_list(), bad) == ([key], ["text"], [])


def test_links_are_told(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "a.tar", sample("0", 0, "t"))
    with tarfile.open(file, "a") as tar:
        link = tarfile.TarInfo("1.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, "0.jpg"
        tar.addfile(link)
    rows, _, remarks = read(file)
    assert rows.height == 1
    assert [(r.what, r.count) for r in remarks] == [("links are no part of a sample", 1)]


def sparse_header(name: str, real: int) -> bytes:
    """A GNU sparse member of one block of data and `real` bytes in all."""
    info = tarfile.TarInfo(name)
    info.size, info.type = 512, tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"00000000000\x00" + b"00000001000\x00"
    header[483:495] = b"%011o\0" % min(real, 8**11 - 1)
    return with_size(bytes(header), b"00000001000")


def test_sparse_members_are_told_and_never_unfolded(tmp_path: Path) -> None:
    data = write_tar(tmp_path / "a.tar", sample("b", 2, "two")).read_bytes()
    head = sparse_header("a.jpg", 2**32) + bytes(512)
    (tmp_path / "a.tar").write_bytes(head + data)
    rows, bad, _ = read(tmp_path / "a.tar")
    assert rows["text"].to_list() == ["two"]
    assert [b.reason for b in bad] == [
        "no image among its members (none); .jpg is not read: it is a sparse file"
    ]


def test_members_of_gigabytes_are_passed_over_with_a_message(tmp_path: Path) -> None:
    """A file with a hole stands for a tar with a member of 5 GiB."""
    size = 5 * 2**30
    info = tarfile.TarInfo("a.jpg")
    info.size = size
    tail = write_tar(tmp_path / "tail.tar", [("a.txt", "t"), *sample("b", 1, "b")]).read_bytes()
    with open(tmp_path / "a.tar", "wb") as out:
        out.write(info.tobuf(tarfile.PAX_FORMAT))
        out.seek(size, io.SEEK_CUR)
        out.write(tail)
    tracemalloc.start()
    rows, bad, _ = read(tmp_path / "a.tar")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows["text"].to_list() == ["b"]
    assert (
        f".jpg is not read: it has {size:,} bytes, more than {MAX_MEMBER_BYTES:,}" in bad[0].reason
    )
    assert peak < 20e6


def test_headers_of_gigabytes_are_not_read_into_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.size, info.type = 2**31, tarfile.GNUTYPE_LONGNAME
    tail = write_tar(tmp_path / "tail.tar", sample("b", 1, "b")).read_bytes()
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(512) + tail)
    rows, bad, _ = read(tmp_path / "a.tar")
    assert rows["text"].to_list() == ["b"]
    assert "a damaged header" in bad[0].reason


def test_zeros_without_end_in_a_small_file_are_given_up(tmp_path: Path) -> None:
    sound = write_tar(tmp_path / "t.tar", sample("b", 1, "b")).read_bytes().rstrip(b"\0")
    info = tarfile.TarInfo("a.jpg")
    info.size = 2**32
    begin = gzip.compress(sound + bytes(-len(sound) % 512) + info.tobuf(tarfile.PAX_FORMAT))
    (tmp_path / "a.tar.gz").write_bytes(begin + gzip.compress(bytes(2**26)) * 10)
    rows, bad, _ = read(tmp_path / "a.tar.gz")
    assert rows["text"].to_list() == ["b"]
    assert any("expands to more than" in b.reason for b in bad)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 40_000), junk=st.binary(min_size=1, max_size=600), packed=st.booleans())
def test_no_damage_is_silent_and_none_raises(
    tmp_path: Path, at: int, junk: bytes, packed: bool
) -> None:
    """Rows that are left are those that were written, or something was told."""
    data = bytearray(ten(tmp_path / "a.tar").read_bytes())
    at = at % len(data)
    before = bytes(data[at : at + len(junk)])
    data[at : at + len(junk)] = junk
    file = tmp_path / ("b.tar.gz" if packed else "b.tar")
    file.write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))
    rows, bad, remarks = read(file)
    if not bad and not remarks and before != junk[: len(before)]:
        assert rows.height == 10
    assert rows.height + len(bad) + len(remarks) >= 9
