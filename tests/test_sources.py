"""Sources: formats and column names of known data sets, and rows that cannot be read."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest
import zstandard

from pairmill.sources.base import NoInput, column_names
from pairmill.sources.tables import PairsConfig, ParquetConfig, TableSource
from pairmill.sources.webdataset import WebDatasetConfig, WebDatasetSource
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.fingerprints import table_id, unread_bytes
from pairmill.workspace.storage import Storage
from tests.workspaces import built, shards_of

CSV = 'URL,TEXT,WIDTH,similarity\nhttp://a.test/1.jpg,"a, b",100,0.31\nhttp://user:pw@a.test/2.jpg,"line\nbreak",200,0.28\n'


def pool(source: object, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows, unreadable) as the pool stores them."""
    table = built(source, folder / "ws")  # type: ignore[arg-type]
    rows = pl.concat(shards_of(folder / "ws", table))
    return rows, pl.read_parquet(folder / f"ws/tables/{table.id}-unreadable.parquet")


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.parquet"]
)
def test_every_table_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    frame = pl.read_csv(io.StringIO(CSV))
    plain = name.removesuffix(".gz").removesuffix(".zst")
    if plain.endswith("parquet"):
        frame.write_parquet(tmp_path / name)
    else:
        text = (
            CSV
            if plain.endswith("csv")
            else frame.write_csv(separator="\t")
            if plain.endswith("tsv")
            else frame.write_ndjson()
        )
        data = text.encode()
        (tmp_path / name).write_bytes(
            gzip.compress(data)
            if name.endswith("gz")
            else zstandard.compress(data)
            if name.endswith("zst")
            else data
        )
    rows, bad = pool(
        TableSource(PairsConfig(path=str(tmp_path / name), quoting="sv" in name or None)), tmp_path
    )
    assert rows["url"].to_list() == ["http://a.test/1.jpg", "http://a.test/2.jpg"]
    assert rows["text"].to_list() == ["a, b", "line\nbreak"]
    assert rows["declared_width"].to_list() == [100, 200]
    assert rows["similarity"].to_list() == [0.31, 0.28]
    assert bad.height == 0


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            ["URL", "TEXT", "WIDTH", "HEIGHT", "similarity", "LANGUAGE", "punsafe"],
            {"URL": "url", "TEXT": "text", "WIDTH": "declared_width", "LANGUAGE": "language"},
        ),
        (
            ["uid", "url", "text", "original_width", "sha256"],
            {
                "uid": "uid",
                "original_width": "declared_original_width",
                "sha256": "declared_sha256",
            },
        ),
        (["id", "url", "text", "image_phash"], {"id": "uid", "image_phash": "image_phash"}),
        (["uid", "url", "alt", "page_url"], {"alt": "text", "page_url": "page_url"}),
        (["SAMPLE_ID", "URL", "TEXT", "NSFW"], {"SAMPLE_ID": "uid", "NSFW": "nsfw"}),
    ],
)
def test_column_names_of_known_data_sets_are_recognised(
    columns: list[str], expected: dict[str, str]
) -> None:
    found = column_names(columns, {}, image=False)
    assert {k: found[k] for k in expected} == expected


def test_rows_that_cannot_be_read_are_kept_with_place_and_reason(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"url": "http://a.test/1", "text": "x"}\n{"url": \n[1]\n{"url": "http://a.test/2", "text": "y"}\n'
    )
    (tmp_path / "b.csv").write_text("url,text\nhttp://a.test/3,z\nhttp://a.test/4,z,too,many\n")
    rows, bad = pool(
        TableSource(PairsConfig(path=[str(tmp_path / "a.jsonl"), str(tmp_path / "b.csv")])),
        tmp_path,
    )
    assert rows.height == 3
    assert [b[0] for b in bad.rows()] == ["a.jsonl line 2", "a.jsonl line 3", "b.csv line 3"]
    assert "4 fields where the header has 2" in bad["reason"][2]


def test_uid_depends_on_content_alone_and_a_given_one_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("url,text\nhttp://a.test/1,x\nhttp://a.test/2,x\n")
    (tmp_path / "b.csv").write_text("uid,url,text\nmine,http://a.test/1,x\n,http://a.test/2,x\n")
    one, _ = pool(
        TableSource(PairsConfig(path=str(tmp_path / "a.csv"), rows_per_shard=1)), tmp_path / "1"
    )
    two, _ = pool(TableSource(PairsConfig(path=str(tmp_path / "b.csv"))), tmp_path / "2")
    assert two["uid"].to_list() == ["mine", one["uid"][1]]
    assert len(one["uid"][0]) == 32


def test_documents_are_never_cut_by_shards(tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "url": [str(i) for i in range(10)],
            "text": ["t"] * 10,
            "page": ["a", "a", "a", "a", "b", "c", "c", "c", "c", "c"],
        }
    ).write_csv(tmp_path / "a.csv")
    source = TableSource(
        PairsConfig(path=str(tmp_path / "a.csv"), rows_per_shard=2, columns={"doc_id": "page"})
    )
    shards = shards_of(tmp_path / "ws", built(source, tmp_path / "ws"))
    assert [s["doc_id"].unique(maintain_order=True).to_list() for s in shards] == [
        ["a"],
        ["b"],
        ["c"],
    ]
    assert shards[2]["position"].to_list() == [0, 1, 2, 3, 4]


def test_pool_identity_is_the_input_content(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "ws"))
    identities = []
    for text in ("url,text\na,b\n", "url,text\na,c\n", "url,text\na,b\n"):
        (tmp_path / "a.csv").write_text(text)
        identities.append(table_id(storage, TableSource(PairsConfig(path=str(tmp_path / "a.csv")))))
    assert identities[0] == identities[2] != identities[1]


def test_what_nobody_remembers_has_to_be_read_and_a_workspace_remembers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("url,text\na,b\n")
    source = TableSource(PairsConfig(path=str(tmp_path / "a.csv")))
    storage = Storage(str(tmp_path / "ws"))
    first = table_id(storage, source)
    assert unread_bytes(storage, source) == 13
    assert not (tmp_path / "ws").exists()  # looking at a plan makes no workspace
    assert table_id(open_workspace(str(tmp_path / "ws")), source) == first
    assert unread_bytes(storage, source) == 0


def test_path_that_matches_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="matches no file"):
        TableSource(PairsConfig(path=str(tmp_path / "*.csv"))).schema()


def test_parquet_with_hugging_face_images_and_a_broken_one(
    tmp_path: Path, pictures: list[tuple[bytes, str]]
) -> None:
    images = [
        {"bytes": pictures[0][0], "path": "a.jpg"},
        {"bytes": b"no image", "path": None},
        {"bytes": None, "path": None},
    ]
    pl.DataFrame({"photo": images, "caption": ["x", "y", "z"]}).write_parquet(
        tmp_path / "a.parquet"
    )
    rows, bad = pool(
        TableSource(ParquetConfig(path=str(tmp_path / "a.parquet"), image="photo")), tmp_path
    )
    assert rows["image"].to_list() == [pictures[0][0]]
    assert rows["image#size"].to_list() == [len(pictures[0][0])]
    assert (rows["width"][0], rows["height"][0], rows["text"][0]) == (240, 200, "x")
    assert bad["location"].to_list() == ["a.parquet row 1", "a.parquet row 2"]


def test_parquet_without_images_is_told_which_source_reads_it(tmp_path: Path) -> None:
    pl.DataFrame({"caption": ["x"]}).write_parquet(tmp_path / "a.parquet")
    source = TableSource(ParquetConfig(path=str(tmp_path / "a.parquet")))
    with pytest.raises(NoInput, match="`image:`, or write `type: pairs`"):
        source.schema()


def test_webdataset_tar_with_missing_text_corrupt_members_and_truncated_end(
    tmp_path: Path, pictures: list[tuple[bytes, str]]
) -> None:
    def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))

    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for key, image, text, extra in (
            ("000", 0, "words", {"similarity": 0.3, "tags": ["x"]}),
            ("001", 1, None, {"similarity": 0.2}),
            ("002", None, "t", {}),
        ):
            add(tar, f"{key}.jpg", pictures[image][0] if image is not None else b"\xff\xd8 broken")
            if text:
                add(tar, f"{key}.txt", text.encode())
            add(tar, f"{key}.json", json.dumps({"url": f"http://a.test/{key}", **extra}).encode())
        add(tar, "003.json", b"{broken")
        add(tar, "003.jpg", pictures[3][0])
        add(tar, "003.txt", b"t")
        add(tar, "004.jpg", pictures[4][0])
    whole = (tmp_path / "0.tar").read_bytes()
    end = whole.rindex(pictures[4][0][:64])
    (tmp_path / "0.tar").write_bytes(whole[: end + 700])
    rows, bad = pool(WebDatasetSource(WebDatasetConfig(path=str(tmp_path / "*.tar"))), tmp_path)
    assert rows["url"].to_list() == ["http://a.test/000", "http://a.test/001"]
    assert rows["text"].to_list() == ["words", None]
    assert rows["similarity"].to_list() == [0.3, 0.2]
    assert {b.split(" ")[0] for b in bad["location"]} == {"0.tar"}
    reasons = " | ".join(bad["reason"])
    assert bad.height == 3
    assert "broken JSON member" in reasons
    assert "broken tar" in reasons
    assert "not an image but unknown bytes" in reasons
