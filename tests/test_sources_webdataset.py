"""WebDataset tars: members of any kind in any order, and nothing of them lost without a word."""

import gzip
import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairmill.sources.base import NoInput
from pairmill.sources.webdataset import WebDatasetConfig, WebDatasetSource
from tests.inputs import given_by, mask, picture, sample, write_tar


def source(file: Path | str, **keys: Any) -> WebDatasetSource:
    return WebDatasetSource(WebDatasetConfig(path=str(file), **keys))


def told(remarks: list[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for remark in remarks:
        counts[remark.kind] = counts.get(remark.kind, 0) + remark.count
    return counts


def test_caption_is_the_txt_else_the_jsons(tmp_path: Path) -> None:
    members = [
        *sample("0", 0, "from txt", caption="from json", n=1),
        *sample("1", 1, None, caption="only json", n=2),
        *sample("2", 2, "", caption="", n=3),
        *sample("3", 3, None, n=4),
    ]
    rows, bad, _ = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert bad == []
    assert rows["text"].to_list() == ["from txt", "only json", "", None]
    assert rows["caption"].to_list() == ["from json", "only json", "", None]
    assert rows["n"].to_list() == [1, 2, 3, 4]


def test_a_caption_that_the_json_repeats_is_one_column(tmp_path: Path) -> None:
    members = [*sample("0", 0, "a", caption="a"), *sample("1", 1, None, caption="b")]
    rows, _, _ = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert rows["text"].to_list() == ["a", "b"]
    assert "caption" not in rows.columns


def test_the_image_is_the_image_in_whatever_order_and_the_others_are_columns(
    tmp_path: Path,
) -> None:
    members = {
        "0.mask.png": mask(),
        "0.seg.png": mask(41),
        "0.thumb.jpg": picture(9, 8, 6),
        "0.jpg": picture(0),
        "0.flac": b"fLaC audio",
        "0.npz": b"PK arrays",
        "0.cls": "7",
        "0.syn.json": '{"short": "a", "long": "b"}',
        "0.txt": "text",
    }
    for name, order in (("a", list(members)), ("b", list(reversed(members)))):
        file = write_tar(tmp_path / f"{name}.tar", [(n, members[n]) for n in order])
        rows, bad, _ = given_by(source(file))
        assert bad == []
        row = rows.row(0, named=True)
        assert row["image"] == picture(0)
        assert row["mask_png"] == members["0.mask.png"]
        assert row["seg_png"] == members["0.seg.png"]
        assert row["thumb_jpg"] == members["0.thumb.jpg"]
        assert (row["flac"], row["npz"]) == (b"fLaC audio", b"PK arrays")
        assert (row["cls"], row["syn_json"]) == (7, members["0.syn.json"])


def test_an_image_can_be_named_and_a_sample_of_masks_has_none(tmp_path: Path) -> None:
    file = write_tar(
        tmp_path / "a.tar",
        [("0.depth.png", mask()), ("0.jpg", picture(1)), ("1.mask.png", mask())],
    )
    rows, bad, _ = given_by(source(file, image="depth.png;jpg"))
    assert rows["image"].to_list() == [mask()]
    rows, bad, _ = given_by(source(file))
    assert rows["image"].to_list() == [picture(1)]
    assert [(b.location, b.reason) for b in bad] == [
        ("a.tar sample 1", "no image among its members (mask.png)")
    ]


def test_files_of_macos_and_others_without_a_key_are_skipped_and_counted(tmp_path: Path) -> None:
    members = [
        ("._0.jpg", b"\0\5\26\7"), *sample("0", 0, "text"), ("__MACOSX/._0.txt", "x"),
        (".DS_Store", b"x"), ("README", "hello"), ("__index__/a.json", "{}"),
    ]  # fmt: skip
    rows, bad, remarks = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert (rows["text"].to_list(), bad) == (["text"], [])
    assert {r.what.split(" are no")[0]: r.count for r in remarks} == {
        "files that macOS or Windows adds": 3,
        "files without a key or without a suffix": 1,
        "files named __x__, which WebDataset keeps for itself": 1,
    }


def test_a_repeated_key_gives_as_many_rows_and_is_told(tmp_path: Path) -> None:
    members = [*sample("a", 1, "one"), *sample("a", 2, "two"), *sample("b", 3, "three")]
    rows, bad, remarks = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert bad == []
    assert dict(zip(rows["text"], rows["image"], strict=True)) == {
        "one": picture(1), "two": picture(2), "three": picture(3)
    }  # fmt: skip
    assert told(remarks) == {"repeated keys": 1}


def test_a_key_that_repeats_without_end_takes_no_longer_than_others(tmp_path: Path) -> None:
    data = picture(0)
    members = [m for i in range(1000) for m in (("a.jpg", data), ("a.txt", str(i)))]
    rows, _, remarks = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert rows["text"].to_list() == [str(i) for i in range(1000)]
    assert told(remarks)["repeated keys"] == 999


def test_texts_of_many_megabytes_and_names_that_terminals_obey(tmp_path: Path) -> None:
    large = "x" * 40_000_000
    members = [*sample("0", 0, "t"), ("a.jpg", picture(1)), ("a.txt", large)]
    members += [("b\x1b[31m.jpg", b"no image")]
    rows, bad, remarks = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert rows["text"].to_list() == ["t", None]
    assert told(remarks) == {"members not read": 1}
    assert [b.location for b in bad] == ["a.tar sample b\ufffd[31m"]


def test_dots_in_names_are_cut_as_webdataset_cuts_them(tmp_path: Path) -> None:
    names = ["./a.b/c.v2.jpg", "./a.b/c.txt", "d/e.JPG", "d/e.TXT"]
    data = [picture(1), "t", picture(2), "u"]
    rows, _, _ = given_by(source(write_tar(tmp_path / "a.tar", zip(names, data, strict=True))))
    assert rows["declared_key"].to_list() == ["a.b/c", "d/e"]
    assert rows["text"].to_list() == ["t", "u"]


def test_integers_keep_every_digit(tmp_path: Path) -> None:
    values = [(2**64 - 1, 10**30, 1, 2**53 + 1), (0, 5, -1, 0.5)]
    members = [
        m
        for i, (a, b, c, d) in enumerate(values)
        for m in sample(str(i), i, "t", hash=a, huge=b, small=c, mixed=d)
    ]
    rows, _, _ = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert rows["hash"].to_list() == [2**64 - 1, 0]
    assert rows["huge"].to_list() == [str(10**30), "5"]
    assert rows["small"].to_list() == [1, -1]
    assert rows["mixed"].to_list() == [str(2**53 + 1), "0.5"]


def test_keys_of_late_samples_are_columns_and_types_are_wide_enough_for_all(
    tmp_path: Path,
) -> None:
    members = []
    for i in range(250):
        late = {"late": "x", "n": 0.5} if i > 200 else {"n": i}
        members += sample(f"{i:05d}", i, "t", **late)
    rows, _, remarks = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert rows["late"].null_count() == 201
    assert rows["n"].to_list() == [*(float(i) for i in range(201)), *[0.5] * 49]
    assert told(remarks) == {}


def test_what_fits_no_column_stays_in_metadata_and_is_counted(tmp_path: Path) -> None:
    """Of tars on a store the first hundred samples are looked at."""
    members = [m for i in range(150) for m in sample(f"{i}", i, "t", n=i)]
    members += sample("z", 200, "t", n="many", rare=[1, {"a": 2**70}])
    members += [("z.odd", b"bytes")]
    file = write_tar(tmp_path / "a.tar", members)
    store = fsspec.filesystem("memory")
    store.pipe_file("/sources/a.tar", file.read_bytes())
    rows, _, remarks = given_by(source("memory://sources/a.tar"))
    assert rows["n"].to_list() == [*range(150), None]
    assert json.loads(rows["metadata"][-1]) == {"n": "many", "rare": [1, {"a": 2**70}]}
    assert told(remarks) == {"values kept in metadata": 2, "members not read": 1}


def test_keys_without_end_do_not_become_columns(tmp_path: Path) -> None:
    odd = {f"k{i}": i for i in range(5_000)}
    members = [*sample("0", 0, "t", **odd), *sample("1", 1, "t", n=1), *sample("2", 2, "t", n=2)]
    rows, bad, remarks = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert bad == []
    assert rows["n"].to_list() == [None, 1, 2]
    assert len(rows.columns) < 1100
    kept = json.loads(rows["metadata"][0])
    assert len(kept) + sum(c.startswith("k") for c in rows.columns) == 5_000
    assert told(remarks) == {"values kept in metadata": len(kept)}


@pytest.mark.parametrize(
    "json_text", ["[" * 100_000, "[" * 300 + "]" * 300, '{"a": 1', "\xff", '{"a": ' + "9" * 5000]
)
def test_a_json_that_cannot_be_read_is_one_row(tmp_path: Path, json_text: str) -> None:
    members = [*sample("0", 0, "t", n=1), ("1.jpg", picture(1)),
               ("1.json", json_text.encode("latin-1")), *sample("2", 2, "t", n=2)]  # fmt: skip
    rows, bad, _ = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert rows["n"].to_list() == [1, 2]
    assert [b.location for b in bad] == ["a.tar sample 1"]


def test_halves_of_surrogates_become_u_fffd(tmp_path: Path) -> None:
    members = [("0.jpg", picture(0)), ("0.json", r'{"caption": "a\ud83d b", "\udc00": "c"}')]
    rows, bad, remarks = given_by(source(write_tar(tmp_path / "a.tar", members)))
    assert bad == []
    assert rows["text"].to_list() == ["a\ufffd b"]
    assert told(remarks) == {"repaired values": 1}


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    order=st.permutations(range(24)),
    junk=st.lists(st.tuples(st.integers(0, 24), st.sampled_from(
        ["._3.jpg", ".DS_Store", "README", "__meta__.json", "3"]
    )), max_size=6),
    packed=st.booleans(),
)  # fmt: skip
def test_any_order_and_any_junk_give_the_same_rows(
    tmp_path: Path, order: list[int], junk: list[tuple[int, str]], packed: bool
) -> None:
    members = [m for i in range(6) for m in sample(f"k{i}", i, f"text {i}", n=i)]
    members += [(f"k{i}.mask.png", mask(10 + i)) for i in range(6)]
    shuffled = [members[i] for i in order]
    for place, name in sorted(junk, reverse=True):
        shuffled.insert(place, (name, b"junk"))
    file = tmp_path / ("a.tar.gz" if packed else "a.tar")
    rows, bad, remarks = given_by(source(write_tar(file, shuffled, "w:gz" if packed else "w")))
    found = rows.sort("declared_key").select("text", "n", "image", "mask_png").rows()
    assert bad == []
    assert found == [(f"text {i}", i, picture(i), mask(10 + i)) for i in range(6)]
    assert told(remarks).get("skipped members", 0) == len(junk)


@pytest.mark.slow
def test_members_of_a_packed_tar_that_stand_too_far_apart_are_told(
    tmp_path: Path,
) -> None:
    filling = [(f"f{i}.jpg", picture(i) + bytes(2**20)) for i in range(70)]
    members = [("a.jpg", picture(1)), *filling, ("a.txt", "late")]
    plain = write_tar(tmp_path / "a.tar", members)
    file = tmp_path / "a.tar.gz"
    file.write_bytes(gzip.compress(plain.read_bytes(), 1))
    rows, bad, _ = given_by(source(file))
    assert rows.height == 71
    assert [(b.location, b.reason) for b in bad] == [
        ("a.tar.gz sample a", "no image among its members (txt)")
    ]
    rows, bad, _ = given_by(source(plain))
    assert (rows.height, rows["text"][0], bad) == (71, "late", [])


def test_a_tar_without_samples_says_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match=r"no sample can be read.*no image"):
        source(write_tar(tmp_path / "a.tar", [("0.txt", "t")])).schema()


def test_columns_can_be_named_by_key_or_suffix(tmp_path: Path) -> None:
    members = [("0.jpg", picture(0)), ("0.seg.png", mask()), ("0.txt", "t"),
               ("0.json", '{"blip": "b", "where": {"u": 1}}')]  # fmt: skip
    file = write_tar(tmp_path / "a.tar", members)
    rows, _, _ = given_by(source(file, columns={"text": "blip", "segmentation": "seg.png"}))
    row = rows.row(0, named=True)
    assert (row["text"], row["txt"], row["segmentation"]) == ("b", "t", mask())
    with pytest.raises(NoInput, match="no sample has 'nothing' for 'text'"):
        source(file, columns={"text": "nothing"}).schema()


def test_uid_of_the_set_is_used_and_its_keys_are_not(tmp_path: Path) -> None:
    for name in "ab":
        write_tar(tmp_path / f"{name}.tar", sample("000", ord(name), "t", uid=name * 32))
    rows, _, _ = given_by(source(tmp_path / "*.tar"))
    assert rows["uid"].to_list() == ["a" * 32, "b" * 32]
    assert rows["declared_key"].to_list() == ["000", "000"]
    assert "key" not in rows.columns


def test_names_that_the_pool_uses_hold_text_whatever_the_json_says(tmp_path: Path) -> None:
    facts = {"uid": 5, "url": ["u"], "source": {"a": 1}, "doc_id": 0.5, "image": "x", "metadata": 1}
    rows, bad, _ = given_by(source(write_tar(tmp_path / "a.tar", sample("0", 0, "t", **facts))))
    row = rows.row(0, named=True)
    assert bad == []
    assert [row[n] for n in facts if n not in ("image", "metadata")] == [
        "5", '["u"]', '{"a": 1}', "0.5"
    ]  # fmt: skip
    assert (row["image_"], row["metadata_"], row["image"]) == ("x", 1, picture(0))
