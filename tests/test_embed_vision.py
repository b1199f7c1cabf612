"""Embeddings by encoders of pictures alone: equal to a direct call, and read by what reads
others.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.errors import StageBroken
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.filters.embed import EmbedConfig, EmbedStage
from pairmill.images import decode_rgb
from pairmill.models.library import transformers
from pairmill.models.towers import origin_of
from pairmill.models.vectors import unit, vectors_of
from pairmill.stage import check_stage
from pairmill.stages.select.queries import Query, vectors_asked
from tests.conftest import CLIP
from tests.tiny import built

Pictures = list[tuple[bytes, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vision")


def keys(model: str, **more: object) -> dict[str, object]:
    return {
        "model": model, "embeddings": ["image"], "stored": "float32", "dtype": "float32", **more
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("dinov2", None), ("dinov2", "mean"), ("dinov2_with_registers", "mean"), ("vit", None),
        ("beit", "mean"), ("resnet", None),
    ],
)  # fmt: skip
def test_an_encoder_of_pictures_embeds_as_its_family_does(
    folder: Path, pictures: Pictures, kind: str, pooling: str | None
) -> None:
    import torch

    model = built(kind, folder)
    data = [bytes_ for bytes_, _ in pictures[:4]]
    rows = pa.table({"image": [*data, b"no picture"]})
    answer = check_stage(EmbedStage, rows, 1e-4, **keys(model, pooling=pooling))
    t = transformers()
    whole = t.AutoModel.from_pretrained(model, add_pooling_layer=False) if kind == "vit" else (
        t.AutoModel.from_pretrained(model)
    )  # fmt: skip
    processor = t.AutoImageProcessor.from_pretrained(model)
    with torch.inference_mode():
        said = whole.eval()(**processor([decode_rgb(d) for d in data], return_tensors="pt"))
    if pooling == "mean":
        registers = 3 if kind == "dinov2_with_registers" else 0
        direct = said.last_hidden_state[:, 1 + registers :].mean(1)
    elif kind == "resnet":
        direct = said.pooler_output.flatten(1)
    else:
        direct = said.last_hidden_state[:, 0]
    found = vectors_of(answer["image_embedding"].slice(0, 4))
    assert found == pytest.approx(unit(direct.numpy()), abs=1e-4)
    assert [e and e["class"] for e in answer["error"].to_pylist()] == [None] * 4 + ["decode"]


def test_what_such_an_encoder_cannot_do_is_said_before_it_runs(folder: Path) -> None:
    dino, beit = built("dinov2", folder), built("beit", folder)
    with pytest.raises(StageBroken, match=r"set `embeddings: \[image\]`"):
        EmbedStage(EmbedConfig(model=dino)).examine()
    with pytest.raises(StageBroken, match="say it with `pooling`: cls, mean or pooler"):
        EmbedStage(EmbedConfig(**keys(beit))).examine()
    with pytest.raises(StageBroken, match="has a vector of its own"):
        EmbedStage(EmbedConfig(**keys(CLIP, pooling="cls"))).examine()
    with pytest.raises(StageBroken, match="needs a two-tower model"):
        ClipStage(ClipConfig(model=dino)).examine()
    assert "pooling: cls" in EmbedStage(EmbedConfig(**keys(dino))).examine()[0]


def test_a_picture_asks_by_the_model_of_the_column_and_a_text_is_refused(
    folder: Path, pictures: Pictures
) -> None:
    stage = EmbedStage(EmbedConfig(**keys(built("dinov2", folder), pooling="mean")))
    stage.setup()
    data = [bytes_ for bytes_, _ in pictures[:3]]
    rows = stage(pa.table({"image": data}))
    stage.close()
    made = origin_of(stage.writes().field("image_embedding"))
    assert made is not None
    queries = [Query(str(i), decode_rgb(d)) for i, d in enumerate(data)]
    asked = vectors_asked("near", queries, made.spec("cpu"), "{}")
    assert asked == pytest.approx(vectors_of(rows["image_embedding"]), abs=1e-4)
    with pytest.raises(StageBroken, match="sees pictures alone and embeds no text"):
        vectors_asked("near", [Query("a boat", "a boat")], made.spec("cpu"), "{}")


def test_pairs_and_duplicates_are_found_by_an_encoder_of_pictures(
    tmp_path: Path, folder: Path, pictures: Pictures
) -> None:
    data = [bytes_ for bytes_, _ in pictures[:5]]
    urls = [f"https://demo/{i}" for i in range(6)]
    rows = pa.table({"url": urls, "image": [*data, data[2]], "text": ["a picture"] * 6})
    pq.write_table(rows, tmp_path / "rows.parquet")
    (tmp_path / "p.yaml").write_text(f"""
name: opinions
source: {{type: parquet, path: rows.parquet}}
stages:
  - {{stage: embed, name: dino, model: {built("dinov2", folder)}, embeddings: [image]}}
  - {{stage: embed, name: clip, model: {CLIP}, embeddings: [image]}}
  - stage: second_opinion
    first: clip_image_embedding
    second: dino_image_embedding
    alike: -1
    unlike: 1
  - {{stage: dedup, kind: semantic, on: [dino_image_embedding], threshold: 0.9999}}
outputs:
  - {{type: parquet, path: out}}
""")
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, progress=False, processes=0)
    found = {row["url"]: row for row in result.table().to_dicts()}
    groups = [r["dup_of"] for r in found.values() if r["dup_of"] is not None]
    assert len(groups) == 1
    assert {found[urls[2]]["dup_of"], found[urls[5]]["dup_of"]} - {None} == set(groups)
    cosine = found[urls[0]]["second_opinion_second"]
    assert cosine is not None
    assert np.isfinite(cosine)
