"""Mixtures in packages: samples as often as `mix` says, requested against achieved."""

import json
import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from tests.conftest import jpeg

PIPELINE = """
name: mixed
workspace: w
source: {{type: parquet, path: in.parquet, rows_per_shard: 16}}
stages:
  - {{stage: mix, by: [kind], shares: {{a: 2, b: 1, c: 1}}, budget: 80, max_repeats: 4,
     keep: mix_repeats > 0}}
outputs:
  - {{type: webdataset, path: out, samples_per_shard: 30, repeats: {repeats}{more}}}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    from PIL import Image

    images = [jpeg(Image.new("RGB", (16, 16), (i, 9, 99))) for i in range(60)]
    kinds = ["a"] * 45 + ["b"] * 11 + ["c"] * 4
    uids = [f"u{i:02d}" for i in range(60)]
    frame = pl.DataFrame({"uid": uids, "image": images, "text": uids, "kind": kinds})
    frame.write_parquet(tmp_path / "in.parquet")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", ", shuffle: false", ", order: [kind, mix_repeats desc]"])
def test_samples_are_written_as_often_as_the_mixture_says(source: Path, more: str) -> None:
    (source / "p.yaml").write_text(PIPELINE.format(repeats="mix_repeats", more=more))
    Pipeline.from_yaml(source / "p.yaml").run(local=True, progress=False)
    texts, repeats, keys = [], {}, []
    for tar in sorted((source / "out").glob("*.tar")):
        with tarfile.open(tar) as file:
            for member in file:
                data = file.extractfile(member).read()  # type: ignore[union-attr]
                if member.name.endswith(".txt"):
                    texts.append(data.decode())
                    keys.append(member.name)
                elif member.name.endswith(".json"):
                    facts = json.loads(data)
                    repeats[facts["uid"]] = facts["mix_repeats"]
    assert Counter(texts) == Counter(repeats)
    assert len(set(keys)) == len(keys) == 80
    kinds = Counter("abc"[(int(t[1:]) >= 45) + (int(t[1:]) >= 56)] for t in texts)
    assert kinds == {"a": 43, "b": 21, "c": 16}  # 40:20:20, but c has 4 rows of at most 4 times
    manifest = json.loads((source / "out/manifest.json").read_text())
    groups = manifest["selection"]["mixture"]["groups"]
    assert groups["c"] == {"requested": 0.25, "achieved": 0.2, "rows": 4, "written": 16}
    assert sum(g["written"] for g in groups.values()) == manifest["samples"] == 80
    assert "c 20.0% of 25.0%" in (source / "out/README.md").read_text()
    if "order" in more:
        assert texts == sorted(texts, key=lambda t: (int(t[1:]) >= 45) + (int(t[1:]) >= 56))
    elif not more:
        apart = [a != b for a, b in pairwise(texts)]
        assert sum(apart) > 70


@pytest.mark.slow
@pytest.mark.parametrize(
    ("repeats", "message"),
    [("mix_group", "'mix_group' holds string, and no whole numbers"), ("mix_repeat", "did you mean 'mix_repeats'")],
)  # fmt: skip
def test_a_column_that_says_no_number_is_refused(source: Path, repeats: str, message: str) -> None:
    (source / "p.yaml").write_text(PIPELINE.format(repeats=repeats, more=""))
    with pytest.raises(PipelineFileError, match=message):
        Pipeline.from_yaml(source / "p.yaml")
