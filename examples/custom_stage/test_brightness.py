"""The custom stage, tested as every stage is: Arrow in, Arrow out, no Ray."""

import io
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from brightness import BrightnessConfig, BrightnessStage


def test_brightness_is_the_mean_pixel_value() -> None:
    images = []
    for value in (0, 51, 255):
        out = io.BytesIO()
        Image.new("RGB", (8, 8), (value,) * 3).save(out, "PNG")
        images.append(out.getvalue())
    stage = BrightnessStage(BrightnessConfig(stage="brightness:BrightnessStage"))
    assert stage(pa.table({"image": images}))["brightness"].to_pylist() == pytest.approx(
        [0, 0.2, 1]
    )
