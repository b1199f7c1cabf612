"""Sources of image bytes: when they look at pixels, and that both tell damage alike."""

import io
import tarfile
from pathlib import Path

import polars as pl
import pytest

from pairmill import Pipeline
from pairmill.images import open_image
from pairmill.sources.base import Unreadable
from tests.picture_files import FILES_OF_TWO, damaged_png, png


def inputs(folder: Path) -> dict[str, str]:
    """The same images in a Parquet and in a tar: type of source → pattern."""
    images = {"sound": FILES_OF_TWO[0], "cut": FILES_OF_TWO[1][:-300], "crc": damaged_png(), "zlib": png((9, 9), 8, 2, None)}  # fmt: skip
    pl.DataFrame({"image": list(images.values()), "text": list(images)}).write_parquet(
        folder / "in.parquet"
    )
    with tarfile.open(folder / "in.tar", "w") as tar:
        for name, data in images.items():
            for suffix, content in (("jpg", data), ("txt", name.encode())):
                member = tarfile.TarInfo(f"{name}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return {"parquet": "in.parquet", "webdataset": "in.tar"}


def pipeline(folder: Path, kind: str, path: str, extra: str = "", stages: str = "") -> Pipeline:
    file = folder / f"{kind}.yaml"
    file.write_text(
        f"name: c\nsource: {{type: {kind}, path: {path}{extra}}}\n{stages}"
        f"outputs: [{{type: parquet, path: out_{kind}}}]\n"
    )
    return Pipeline.from_yaml(file)


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
@pytest.mark.parametrize(("check", "sound"), [("pixels", 1), ("header", 3)])
def test_both_sources_tell_damage_alike(tmp_path: Path, kind: str, check: str, sound: int) -> None:
    path = inputs(tmp_path)[kind]
    rows, bad = [], []
    for part in pipeline(tmp_path, kind, path, f", check: {check}").checked.source.read():
        if isinstance(part, Unreadable):
            bad.append(part.reason)
        elif hasattr(part, "to_pylist"):
            rows += part.to_pylist()
    assert len(rows) == sound
    assert len(bad) == 4 - sound
    assert any("wrong CRC" in reason for reason in bad)
    assert open_image(rows[0]["image"]).size == (rows[0]["width"], rows[0]["height"])


DECODES = "stages: [{stage: image_hash}]\n"


@pytest.mark.parametrize(
    ("extra", "stages", "check"),
    [
        ("", "", "pixels"), ("", "stages: [{stage: resolution}]\n", "pixels"), ("", DECODES, "header"), (", check: pixels", DECODES, "pixels"),
        ("", "stages: [{stage: image_hash, when: width > 10}]\n", "pixels"), (", check: header", "", "header"),
        ("", "stages: [{stage: image_hash, on_missing: keep}]\n", "pixels"),
    ],
)  # fmt: skip
def test_source_looks_at_pixels_unless_a_stage_decodes_every_image(
    tmp_path: Path, extra: str, stages: str, check: str
) -> None:
    path = inputs(tmp_path)["parquet"]
    checked = pipeline(tmp_path, "parquet", path, extra, stages).checked
    assert checked.source.config.check == check


def test_damaged_image_is_lost_by_name_whoever_decodes_first(tmp_path: Path) -> None:
    """Unreadable where the source looks at pixels, a `decode` failure where a stage does."""
    path = inputs(tmp_path)["parquet"]
    plain = pipeline(tmp_path, "parquet", path).run(progress=False, local=True)
    hashed = pipeline(tmp_path, "parquet", path, stages=DECODES).run(
        progress=False, local=True, replace=True
    )
    for run, at_source in ((plain, 3), (hashed, 1)):
        steps = run.funnel.steps
        assert steps[0].failed == at_source
        assert sum(step.failed for step in steps) == 3
        assert steps[-1].kept == 1
    assert hashed.funnel.steps[1].reasons == {"decode": 2}
