"""Packages, read by those who will read them: webdataset, Hugging Face datasets, an open_clip style
loader.
"""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pairmill.api import Pipeline
from pairmill.schemas.hashing import row_chance
from tests.conftest import CAPTIONER, write_pairs

pytestmark = [
    pytest.mark.slow,
    # webdataset leaves its files to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Write = Callable[[str], Path]
FILE = """
name: outputs
seed: 3
source: {type: parquet, path: pairs.parquet, rows_per_shard: 16}
stages:
  - {stage: text_rules, keep: text_words > 3}
  - {stage: resolution}
  - {stage: caption, name: synthetic, model: CAPTIONER, when: shorter_side < 0}
outputs:
  - {type: webdataset, path: wds, samples_per_shard: 12, caption: [synthetic, text]}
  - {type: webdataset, path: plain, samples_per_shard: 12, shuffle: false, shard_digits: 8, caption: "UPPER(text)"}
  - {type: parquet, path: pq, samples_per_shard: 12, caption: text}
  - {type: interleaved, path: docs, samples_per_shard: 12}
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory, pictures: list[tuple[bytes, str]]) -> Path:
    """A folder with a package of each kind, which tests read."""
    folder = tmp_path_factory.mktemp("packages")
    write_pairs(folder, pictures)
    (folder / "p.yaml").write_text(FILE.replace("CAPTIONER", CAPTIONER))
    Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)
    return folder


def expected(folder: Path) -> pl.DataFrame:
    frame = pl.read_parquet(folder / "pairs.parquet")
    return frame.filter(pl.col("text").str.split(" ").list.len() > 3)


def test_shards_are_exact_numbered_without_gaps_and_follow_img2dataset(packages: Path) -> None:
    truth = expected(packages)
    tars = sorted((packages / "wds").glob("*.tar"))
    assert [t.name for t in tars] == [f"{i:05d}.tar" for i in range(-(-truth.height // 12))]
    for number, tar in enumerate(tars):
        sidecar = pl.read_parquet(tar.with_suffix(".parquet"))
        stats = json.loads((packages / f"wds/{tar.stem}_stats.json").read_text())
        assert (
            sidecar.height
            == stats["successes"]
            == stats["count"]
            == stats["status_dict"]["success"]
        )
        assert sidecar.height == (
            12 if number < len(tars) - 1 else truth.height - 12 * (len(tars) - 1)
        )
        fields = [
            "url",
            "caption",
            "key",
            "status",
            "error_message",
            "width",
            "height",
            "original_width",
            "original_height",
            "exif",
            "sha256",
        ]
        assert sidecar.columns[:11] == fields
        assert sidecar.schema["width"] == pl.Int32
        with tarfile.open(tar) as opened:
            members = opened.getmembers()
        assert [m.name for m in members[:3]] == [
            f"{number:05d}00.{s}" for s in ("jpg", "txt", "json")
        ]
        assert {m.mtime for m in members} == {0}
    assert json.loads((packages / "wds/sizes.json").read_text()) == {
        t.name: pl.read_parquet(t.with_suffix(".parquet")).height for t in tars
    }


def test_webdataset_reads_images_texts_and_quality_columns(packages: Path) -> None:
    import webdataset

    shards = [str(p) for p in sorted((packages / "wds").glob("*.tar"))]
    found = list(
        webdataset.WebDataset(shards, shardshuffle=False)
        .decode("pil")
        .to_tuple("jpg", "txt", "json")
    )
    truth = {row["url"]: row for row in expected(packages).to_dicts()}
    assert len(found) == len(truth)
    for image, text, meta in found:
        row = truth.pop(meta["url"])
        assert (
            image.size
            == Image.open(io.BytesIO(row["image"])).size
            == (meta["width"], meta["height"])
        )
        assert text == meta["caption"] == row["text"]
        assert meta["text_words"] == len(row["text"].split())
        assert len(meta["uid"]) == 32
        assert "image" not in meta
    assert truth == {}


def test_open_clip_style_loader_of_several_caption_fields(packages: Path) -> None:
    """The pipeline that open_clip builds: decode, rename to image and text with its keys, tuples,
    batches.
    """
    import webdataset as wds

    shards = [str(p) for p in sorted((packages / "wds").glob("*.tar"))]
    pipeline = wds.DataPipeline(
        wds.SimpleShardList(shards), wds.tarfile_to_samples(), wds.select(lambda s: "txt" in s), wds.decode("pilrgb"),
        wds.rename(image="jpg;png;jpeg;webp", text="txt"), wds.to_tuple("image", "text"), wds.batched(5, partial=True, collation_fn=lambda b: list(zip(*b, strict=True))),
    )  # fmt: skip
    assert sum(len(texts) for _, texts in pipeline) == expected(packages).height


def test_source_order_and_datacomp_digits_and_caption_expression(packages: Path) -> None:
    truth = expected(packages)
    names = sorted(p.name for p in (packages / "plain").glob("*.tar"))
    assert names[0] == "00000000.tar"
    frame = pl.concat([pl.read_parquet(p) for p in sorted((packages / "plain").glob("0*.parquet"))])
    assert frame["url"].to_list() == truth["url"].to_list()
    assert frame["caption"].to_list() == truth["text"].str.to_uppercase().to_list()


def test_shuffle_is_by_seed_and_uid(packages: Path) -> None:
    frame = pl.concat([pl.read_parquet(p) for p in sorted((packages / "wds").glob("0*.parquet"))])
    uids = frame["uid"].to_list()
    assert (
        uids
        != pl.concat([pl.read_parquet(p) for p in sorted((packages / "plain").glob("0*.parquet"))])[
            "uid"
        ].to_list()
    )
    assert uids == sorted(uids, key=lambda u: row_chance(u, 3, "sample order"))


def test_parquet_is_an_image_dataset_for_hugging_face(packages: Path, tmp_path: Path) -> None:
    import datasets

    files = [str(p) for p in sorted((packages / "pq/data").glob("0*.parquet"))]
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "hf")
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    truth = {r["url"]: r for r in expected(packages).to_dicts()}
    assert len(loaded) == len(truth)
    first = loaded[0]
    assert first["image"].size == Image.open(io.BytesIO(truth[first["url"]]["image"])).size
    assert first["caption"] == truth[first["url"]]["text"]
    tars = datasets.load_dataset(
        "webdataset",
        data_files=[str(p) for p in (packages / "wds").glob("*.tar")],
        split="train",
        streaming=True,
    )
    assert next(iter(tars))["jpg"].size[0] > 0


def test_interleaved_lists_are_parallel_with_exactly_one_non_null(packages: Path) -> None:
    rows = pl.concat(
        [
            pl.from_arrow(pq.read_table(p))
            for p in sorted((packages / "docs/data").glob("0*.parquet"))
        ]
    )
    assert rows.height == expected(packages).height
    for row in rows.to_dicts():
        assert len(row["images"]) == len(row["texts"]) == len(json.loads(row["metadata"])) == 2
        assert [
            (i is None) != (t is None) for i, t in zip(row["images"], row["texts"], strict=True)
        ] == [True, True]
        assert json.loads(row["metadata"])[0]["text_words"] > 3


def test_card_and_manifest_tell_counts_columns_funnel_and_models(packages: Path) -> None:
    manifest = json.loads((packages / "wds/manifest.json").read_text())
    assert manifest["samples"] == expected(packages).height
    assert manifest["funnel"]["steps"][1]["stage"] == "text_rules"
    assert len(manifest["models"]["synthetic.model"]) == 64
    card = (packages / "wds/README.md").read_text()
    assert "| text_words | int32 | words |" in card
    made = manifest["made_by"]["synthetic"]
    assert made["name"] == "captioner"
    assert f"- synthetic: captioner, transformers {made['engine_version']}\n" in card
    assert f"{manifest['samples']:,} samples" in card


def test_package_is_the_same_for_any_shard_size_of_the_pool(write: Write, pairs: Path) -> None:
    found = []
    for rows in (7, 16, 40):
        text = (
            FILE.split("outputs:")[0]
            .replace("rows_per_shard: 16", f"rows_per_shard: {rows}")
            .split("  - {stage: caption")[0]
        )
        file = write(
            text
            + f"outputs:\n  - {{type: webdataset, path: same{rows}, samples_per_shard: 12, shuffle: false}}\n"
        )
        Pipeline.from_yaml(file).run(local=True, progress=False)
        found.append([p.read_bytes() for p in sorted((pairs.parent / f"same{rows}").glob("*.tar"))])
    assert found[0] == found[1] == found[2]
