"""The second example: real photographs, with hand-written captions, through everything but the
network.
"""

import importlib.util
import shutil
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.packages.package import verify
from tests.conftest import CAPTIONER, CLIP

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_real_photographs_go_through_the_whole_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("make_photos", EXAMPLES / "make_photos.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_photos(tmp_path)
    shutil.copy(EXAMPLES / "photos.yaml", tmp_path)
    monkeypatch.setenv("CLIP", CLIP)
    monkeypatch.setenv("CAPTIONER", CAPTIONER)
    result = Pipeline.from_yaml(tmp_path / "photos.yaml").run(local=True, progress=False)
    package = tmp_path / "photos-package"
    assert verify(str(package)) == []
    rows = pl.read_parquet(package / "00000.parquet")
    assert rows.height == result.funnel.kept >= 10
    assert not rows["caption"].str.contains("IMG_2041|click to enlarge").any()
    languages = dict(rows.select("text", "lang").iter_rows())
    assert {lang for text, lang in languages.items() if "Katze" in text or "Retrato" in text} <= {
        "de",
        "es",
    }
    assert rows.filter(pl.col("lang") == "en")["synthetic"].null_count() == 0
    assert (
        rows.filter(pl.col("lang") != "en")["synthetic"].null_count()
        == rows.filter(pl.col("lang") != "en").height
    )
