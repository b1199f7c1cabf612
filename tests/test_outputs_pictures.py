"""Pictures in packages: one format, upright, under true names, and the very ones that were read."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pairmill.api import Pipeline
from pairmill.errors import RunError
from pairmill.packages.package import verify
from tests.everything import picture

Write = Callable[[str], Path]
FILE = """
name: pictures
source: {type: parquet, path: in.parquet, rows_per_shard: 4}
outputs: [{type: webdataset, path: out, shuffle: false, OPTIONS}]
"""


def made(write: Write, folder: Path, options: str = "samples_per_shard: 4") -> dict[str, Any]:
    """The manifest of a package of `in.parquet`."""
    result = Pipeline.from_yaml(write(FILE.replace("OPTIONS", options))).run(
        local=True, progress=False, replace=True
    )
    return result.packages[str(folder / "out")]


def pack(write: Write, folder: Path, images: list[bytes], options: str = "") -> dict[str, Any]:
    texts = [str(i) for i in range(len(images))]
    pq.write_table(pa.table({"image": images, "text": texts}), folder / "in.parquet")
    return made(write, folder, options or "samples_per_shard: 100")


def members(folder: Path) -> dict[str, bytes]:
    found = {}
    for tar in sorted((folder / "out").glob("*.tar")):
        with tarfile.open(tar) as opened:
            found |= {m.name: opened.extractfile(m).read() for m in opened}  # type: ignore[union-attr]
    return found


def pictures_of(folder: Path) -> dict[str, bytes]:
    return {n: d for n, d in members(folder).items() if not n.endswith(("txt", "json"))}


def turned(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(10, kind, (60, 20), exif=exif.tobytes())


def test_a_package_has_the_format_that_most_pictures_have(write: Write, tmp_path: Path) -> None:
    images = [picture(1), picture(2, "PNG"), picture(3), picture(4, "WEBP"), picture(5)]
    manifest = pack(write, tmp_path, images)
    found = pictures_of(tmp_path)
    assert {name.rpartition(".")[2] for name in found} == {"jpg"}
    assert [found[f"00000{i:02d}.jpg"] for i in (0, 2, 4)] == [images[i] for i in (0, 2, 4)]
    assert manifest["told"] == {
        "png pictures were encoded as jpg (`format: original` keeps them)": 1,
        "webp pictures were encoded as jpg (`format: original` keeps them)": 1,
    }


def test_pictures_that_are_all_png_stay_the_bytes_they_are(write: Write, tmp_path: Path) -> None:
    images = [picture(i, "PNG") for i in range(3)]
    manifest = pack(write, tmp_path, images)
    assert list(pictures_of(tmp_path).values()) == images
    assert manifest["told"] == {}


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF", "AVIF", "JPEG2000"])
def test_formats_that_consumers_do_not_open_are_encoded_or_truly_named(
    write: Write, tmp_path: Path, kind: str
) -> None:
    data = picture(200, kind)
    pack(write, tmp_path, [data])
    (name, found), *rest = pictures_of(tmp_path).items()
    assert (name.rpartition(".")[2], Image.open(io.BytesIO(found)).format, rest) == (
        "jpg",
        "JPEG",
        [],
    )
    pack(write, tmp_path, [data], "format: original")
    ((name, found),) = pictures_of(tmp_path).items()
    suffix = {"TIFF": "tiff", "BMP": "bmp", "GIF": "gif", "AVIF": "avif", "JPEG2000": "jp2"}[kind]
    assert (name.rpartition(".")[2], found) == (suffix, data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("format", ["auto", "original"])
def test_what_exif_turns_is_stored_upright_and_told(
    write: Write, tmp_path: Path, kind: str, format: str
) -> None:
    manifest = pack(write, tmp_path, [turned(kind)], f"format: {format}")
    ((name, data),) = pictures_of(tmp_path).items()
    image = Image.open(io.BytesIO(data))
    assert (image.size, image.format) == ((20, 60), kind)
    assert image.getexif().get(0x0112, 1) == 1
    meta = json.loads(members(tmp_path)[name.partition(".")[0] + ".json"])
    assert (meta["width"], meta["height"]) == (20, 60)
    assert meta["sha256"] == hashlib.sha256(data).hexdigest()
    assert list(manifest["told"].values()) == [1]


def test_transparency_stays_in_png_and_is_white_in_jpeg(write: Write, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(out, "WEBP", lossless=True)
    pack(write, tmp_path, [out.getvalue()], "format: png")
    ((_, data),) = pictures_of(tmp_path).items()
    assert Image.open(io.BytesIO(data)).convert("RGBA").getpixel((5, 5))[3] == 0
    pack(write, tmp_path, [out.getvalue()], "format: jpg")
    ((_, data),) = pictures_of(tmp_path).items()
    assert Image.open(io.BytesIO(data)).getpixel((5, 5)) == (255, 255, 255)


def test_sha256_matches_the_bytes_in_every_sample(write: Write, tmp_path: Path) -> None:
    images = [picture(1), picture(2, "PNG"), turned("JPEG"), picture(3)]
    pack(write, tmp_path, images)
    found = members(tmp_path)
    sidecar = pq.read_table(tmp_path / "out/00000.parquet").to_pylist()
    for row in sidecar:
        meta = json.loads(found[f"{row['key']}.json"])
        data = found[f"{row['key']}.jpg"]
        assert meta["sha256"] == row["sha256"] == hashlib.sha256(data).hexdigest()


def test_bytes_that_changed_in_the_workspace_are_not_packed(write: Write, tmp_path: Path) -> None:
    """A bit flips in the pool after it was written; the page's checksum is not asked here."""
    file = write(FILE.replace("OPTIONS", "samples_per_shard: 4"))
    file.write_text(file.read_text().replace("rows_per_shard: 4", "rows_per_shard: 40"))
    pq.write_table(
        pa.table({"image": [picture(i) for i in range(4)], "text": list("abcd")}),
        tmp_path / "in.parquet",
    )
    Pipeline.from_yaml(file).run(local=True, progress=False)
    (shard,), (narrow,) = (
        list(tmp_path.glob(f"workspace/{n}/*.parquet")) for n in ("payload", "shards")
    )
    table = pq.read_table(shard)
    at = table.schema.get_field_index("image")
    images = table.column("image").to_pylist()
    images[2] = images[2][:-3] + bytes([images[2][-3] ^ 1]) + images[2][-2:]
    changed = table.set_column(
        at, table.schema.field(at), pa.array(images, table.schema.field(at).type)
    )
    pq.write_table(changed, shard)
    shutil.rmtree(tmp_path / "out")
    uid = pq.read_table(narrow).column("uid")[2].as_py()
    with pytest.raises(RunError, match=f"'image' of row {uid} is not what was read"):
        Pipeline.from_yaml(file).run(local=True, progress=False)


def damage(path: Path) -> None:
    """Other bytes, the same size, the same time of change."""
    facts = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def states(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_ino) for p in files}


@pytest.mark.parametrize("name", ["00001.tar", "00001.parquet", "README.md", "sizes.json"])
def test_a_damaged_file_of_a_finished_package_is_made_again_and_no_sound_shard(
    write: Write, tmp_path: Path, name: str
) -> None:
    images = [picture(i) for i in range(12)]
    pack(write, tmp_path, images, "samples_per_shard: 4")
    before = states(tmp_path / "out")
    damage(tmp_path / "out" / name)
    assert any(name in fault for fault in verify(str(tmp_path / "out")))
    made(write, tmp_path)
    after = states(tmp_path / "out")
    assert {n: data for n, (data, _) in after.items()} == {
        n: data for n, (data, _) in before.items()
    }
    untouched = [n for n in ("00000.tar", "00002.tar") if after[n][1] == before[n][1]]
    assert untouched == ["00000.tar", "00002.tar"]
    assert verify(str(tmp_path / "out")) == []


def test_license_alone_changes_no_shard(write: Write, tmp_path: Path) -> None:
    pack(write, tmp_path, [picture(1)], "samples_per_shard: 4")
    before = states(tmp_path / "out")
    text = FILE.replace("OPTIONS", "samples_per_shard: 4") + "license: cc0-1.0\n"
    Pipeline.from_yaml(write(text)).run(local=True, progress=False)
    after = states(tmp_path / "out")
    assert after["00000.tar"] == before["00000.tar"]
    assert b"license: cc0-1.0" in after["README.md"][0]


def test_documents_are_ordered_by_position(write: Write, tmp_path: Path) -> None:
    """Rows of a document stand side by side in the input, in any order."""
    named = {"doc_id": list("AAABBCC"), "position": pa.array([2, 0, 1, 0, 1, 0, 1], pa.int32())}
    texts = [f"{doc}{place}" for doc, place in zip("AAABBCC", [2, 0, 1, 0, 1, 0, 1], strict=True)]
    images = [picture(n, "PNG", (20, 20)) for n in range(7)]
    rows = pa.table({**named, "text": texts, "image": images})
    pq.write_table(rows, tmp_path / "in.parquet")
    file = FILE.replace("type: webdataset", "type: interleaved").replace(", OPTIONS", "")
    Pipeline.from_yaml(write(file)).run(local=True, progress=False)
    (data,) = (tmp_path / "out").rglob("*.parquet")
    documents = pq.read_table(data).column("texts").to_pylist()
    found = [[text for text in document if text is not None] for document in documents]
    assert found == [["A0", "A1", "A2"], ["B0", "B1"], ["C0", "C1"]]
