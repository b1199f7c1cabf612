"""Mirror images, pictures with borders and parts of pictures: found where they are asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps

from pairmill.demo.pictures import picture_bytes
from pairmill.demo.world import World
from pairmill.filters.image_hash import ImageHashConfig, ImageHashStage
from pairmill.images import decode_rgb
from pairmill.schemas.config import value_fields
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.stage import DedupStage
from pairmill.stages.dedup.views import View, joined
from tests.conftest import jpeg
from tests.test_dedup import dedup, in_partitions

HASHES: dict[str, Any] = {"hashes": ["phash", "pdq"]}


def hashed(images: list[bytes], **options: Any) -> pa.Table:
    """What `image_hash` says of pictures, with all that goes with it."""
    asked = {"mirrored": True, "trimmed": True, "large": True, **HASHES, **options}
    stage = ImageHashStage(ImageHashConfig.model_validate(asked))
    rows = stage(pa.table({"image": images})).drop_columns(["error"])
    uids = [f"u{i:02d}" for i in range(len(images))]
    return rows.append_column("uid", pa.array(uids)).append_column(
        "#order", pa.array(range(len(images)))
    )


def repeats(rows: pa.Table, on: str = "image_hash", **options: Any) -> list[int | None]:
    """For each row the number of the one that it repeats."""
    found = dedup(rows, kind="perceptual", on=[on], **options)
    said: list[str | None] = found["dup_of"].to_pylist()
    return [None if uid is None else int(uid[1:]) for uid in said]


def cut_off(
    image: Image.Image, left: float, top: float, right: float, bottom: float
) -> Image.Image:
    """A picture less some shares of its sides."""
    w, h = image.size
    return image.crop(
        (round(left * w), round(top * h), round((1 - right) * w), round((1 - bottom) * h))
    )


def confusable() -> list[Image.Image]:
    """Words and dots on white: alike, and no copies."""
    found = []
    for word in "alpha bravo charlie delta echo foxtrot golf hotel".split():
        image = Image.new("RGB", (300, 300), "white")
        ImageDraw.Draw(image).text((60, 130), word, "black", ImageFont.load_default(40))
        found.append(image)
    for colour in ("red", "blue", "black"):
        for side in (10, 20, 40, 60):
            image = Image.new("RGB", (300, 300), "white")
            box = (150 - side, 150 - side, 150 + side, 150 + side)
            ImageDraw.Draw(image).ellipse(box, colour)
            found.append(image)
    return found


@pytest.fixture(scope="module")
def whole(photos: list[bytes]) -> list[Image.Image]:
    """Photographs, small so that the tests are quick."""
    found = [decode_rgb(data) for data in photos]
    for image in found:
        image.thumbnail((320, 320))
    return found


def test_mirror_images_are_found_by_either_hash_where_they_are_asked_for(
    whole: list[Image.Image],
) -> None:
    turned = [jpeg(ImageOps.mirror(image), 70) for image in whole]
    rows = hashed([*map(jpeg, whole), *turned])
    apart: list[int | None] = [None] * len(whole)
    for on in ("image_hash", "image_hash_pdq"):
        assert repeats(rows, on) == apart * 2
        assert repeats(rows, on, mirrored=True) == [*apart, *range(len(whole))]
    found = dedup(rows, kind="perceptual", on=["image_hash"], mirrored=True)
    assert max(found["dup_score"].drop_null().to_pylist()) <= 8  # of the mirror image
    parts = in_partitions(rows, 3, kind="perceptual", on=["image_hash"], mirrored=True)
    assert parts["dup_of"].to_pylist() == found["dup_of"].to_pylist()


def test_borders_of_one_colour_are_cut_off_and_told(whole: list[Image.Image]) -> None:
    bordered = [
        *(ImageOps.expand(image, 14, "black") for image in whole),
        *(ImageOps.expand(image, (0, image.height // 8), "white") for image in whole),
    ]
    rows = hashed([*map(jpeg, whole), *(jpeg(image, 80) for image in bordered)])
    true = [None] * len(whole) + list(range(len(whole))) * 2
    assert repeats(rows, "image_hash_trimmed") == true
    assert repeats(rows, "image_hash_trimmed_pdq").count(None) < repeats(rows).count(None)
    shares = np.array(rows["image_hash_border"].to_pylist())
    assert (shares[: len(whole)] == 0).all()
    assert shares[-len(whole) :] == pytest.approx(0.2, abs=0.02)  # a JPEG smears a line or two


def test_a_flat_edge_that_fades_into_the_picture_is_no_border() -> None:
    ramp = np.repeat(np.minimum(np.arange(300), 255)[:, None].astype(np.uint8), 300, 1)
    sky = np.repeat(np.clip(np.arange(300) - 40, 0, 255)[:, None].astype(np.uint8), 300, 1)
    rows = hashed([jpeg(Image.fromarray(values).convert("RGB"), 95) for values in (ramp, sky)])
    assert rows["image_hash_border"].to_pylist() == [0, 0]


CUTS = {
    "centre": (0.05, 0.05, 0.05, 0.05), "corner": (0.1, 0.1, 0, 0), "side": (0, 0, 0.12, 0),
    "anywhere": (0.05, 0.01, 0.02, 0.02),
}  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
def test_parts_of_pictures_are_found_and_confusable_ones_stay_apart(
    cut: str, whole: list[Image.Image]
) -> None:
    parts = [jpeg(cut_off(image, *CUTS[cut]), 80) for image in whole]
    others = [jpeg(image, 90) for image in confusable()] if cut == "corner" else []
    images = [*map(jpeg, whole), *parts, *others]
    rows = hashed(images, hashes=["phash"], trimmed=False)
    found = repeats(rows, crops=0.15)
    apart: list[int | None] = [None] * len(whole)
    photographs, cut_ones, rest = np.split(np.array(found), [len(whole), 2 * len(whole)])
    assert [*photographs, *rest] == [*apart, *[None] * len(others)]
    right = [at == i for i, at in enumerate(cut_ones)]
    assert sum(right) >= len(whole) - 1
    assert all(right[i] or at is None for i, at in enumerate(cut_ones))
    if cut != "anywhere":
        assert sum(at is not None for at in repeats(rows)) <= 1
    turned = rows.take(pa.array(np.random.default_rng(0).permutation(len(images))))
    answer = dedup(turned, kind="perceptual", on=["image_hash"], crops=0.15).append_column(
        "uid", turned["uid"]
    )
    by_uid = answer.sort_by("uid")["dup_of"].to_pylist()
    if cut == "side":
        parted = in_partitions(rows, 3, kind="perceptual", on=["image_hash"], crops=0.15)
        assert parted["dup_of"].to_pylist() == by_uid
    assert by_uid == [None if at is None else f"u{at:02d}" for at in found]


def test_what_is_cut_further_than_asked_stays_apart(whole: list[Image.Image]) -> None:
    half = [jpeg(cut_off(image, 0.2, 0.2, 0.2, 0.2), 80) for image in whole]
    rows = hashed([*map(jpeg, whole), *half], hashes=["phash"])
    assert repeats(rows, crops=0.15) == [None] * len(rows)


@pytest.mark.slow
def test_pictures_that_differ_in_one_small_thing_are_no_parts_of_one_another() -> None:
    """The demo's confusable pictures, the hardest there are: of those that whole pictures tell
    apart, parts bring none together.
    """
    world = World(240, 5)
    rows = [world.row(i) for i in range(240)]
    seen = [r for r in rows if r.expected_error is None and r.copy != "exact"]
    twins = {r.picture for r in seen if r.copy == "confusable"}
    some = [r for r in seen if r.picture in twins or r.index < 60]
    images = []
    for row in some:
        image = decode_rgb(picture_bytes(world, row))
        image.thumbnail((256, 256))
        images.append(jpeg(image, 90))
    table = hashed(images, hashes=["phash"])
    shown = [(r.picture, r.scene) for r in some]

    def wrong(**options: Any) -> int:
        pairs = enumerate(repeats(table, **options))
        return sum(at is not None and shown[at] != shown[i] for i, at in pairs)

    assert len(twins) >= 5
    assert wrong(crops=0.15, mirrored=True) <= wrong()


@pytest.mark.slow
def test_other_sets_are_searched_for_parts_borders_and_mirror_images(
    tmp_path: Path, whole: list[Image.Image]
) -> None:
    """A row that is a part of an evaluation picture, and one of which that is a part."""
    folder = tmp_path / "eval"
    folder.mkdir()
    corners = [cut_off(image, 0, 0, 0.1, 0.1) for image in whole]
    members = [whole[1], corners[2], whole[0], ImageOps.expand(whole[3], 14, "black")]
    for i, image in enumerate(members):
        (folder / f"{i}.jpg").write_bytes(jpeg(image))
    rows = hashed([jpeg(i, 80) for i in (
        corners[1], whole[2], ImageOps.mirror(whole[0]), whole[3], whole[4])])  # fmt: skip
    asked: dict[str, Any] = {
        "kind": "perceptual", "on": ["image_hash_trimmed"], "mirrored": True, "crops": 0.15,
        "within": False, "against": {"eval": str(folder)},
    }  # fmt: skip
    for found in (dedup(rows, **asked), in_partitions(rows, 3, **asked)):
        members_said = [m and Path(m).name for m in found["against_member"].to_pylist()]
        assert members_said == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", None]
    plain = dedup(rows, kind="perceptual", on=["image_hash"], within=False,
                  against={"eval": str(folder)})  # fmt: skip
    assert plain["against_member"].null_count == 5


def test_columns_that_are_not_there_are_named_with_what_writes_them(
    whole: list[Image.Image],
) -> None:
    plain = hashed([jpeg(whole[0])], mirrored=False, large=False, trimmed=False)
    for key, value, asked in (("mirrored", True, "mirrored: true"), ("crops", 0.1, "large: true")):
        with pytest.raises(
            ValueError, match=f"`{key}` reads .* `image_hash` writes it with `{asked}"
        ):
            dedup(plain, DedupStage, kind="perceptual", on=["image_hash"], **{key: value})
    rows = hashed([jpeg(whole[0])])
    with pytest.raises(ValueError, match=r"write `on: \[image_hash\]`"):
        dedup(rows, kind="perceptual", on=["image_hash_pdq"], crops=0.1)


def test_settings_that_were_there_before_keep_their_identity() -> None:
    new = {"mirrored", "trimmed", "large", "crops"}
    assert not new & set(value_fields(ImageHashConfig()))
    perceptual = DedupConfig(kind="perceptual", on=["image_hash"])
    assert not new & set(value_fields(perceptual))
    assert "crops" in value_fields(perceptual.model_copy(update={"crops": 0.1}))


def test_a_crowd_of_one_look_and_its_parts_costs_by_rows_and_not_by_pairs() -> None:
    rng = np.random.default_rng(0)
    rows, compared = 4000, 0
    words = np.full((rows, 1), 0x55AA55AA55AA55AA, np.uint64)
    words[::3] ^= np.uint64(1) << rng.integers(0, 64, (len(words[::3]), 1)).astype(np.uint64)

    def agree(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(left)
        return np.ones(len(left), bool)

    found = joined(np.arange(rows), words, View(words.copy(), agree), 8)
    assert len(np.unique(found.labels())) == 1
    assert compared <= 40 * rows
