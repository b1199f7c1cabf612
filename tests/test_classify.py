"""Embeddings computed once, and what is read off them: likeness, labels, published heads."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pairmill.api import Pipeline
from pairmill.demo.drawing import render
from pairmill.demo.scenes import random_scene, rng_for
from pairmill.errors import StageBroken
from pairmill.filters.classify import ClassifyConfig, ClassifyStage
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.filters.embed import EmbedConfig, EmbedStage
from pairmill.filters.heads import read_head
from pairmill.stage import check_stage
from pairmill.stages.base import Stage
from tests.conftest import CLIP, jpeg
from tests.later import tensors, torch

EXACT = {"dtype": "float32", "image_processor": "pil"}


def answer(stage: Stage, rows: pa.Table) -> pa.Table:
    stage.setup()
    try:
        return stage(rows)
    finally:
        stage.close()


@pytest.fixture(scope="module")
def embedded(pictures: list[tuple[bytes, str]]) -> pa.Table:
    """40 drawn scenes with both embeddings; the third has a damaged picture."""
    images = [p for p, _ in pictures]
    images[2] = b"damaged"
    rows = pa.table({"image": images, "text": [t for _, t in pictures]})
    stage = EmbedStage(EmbedConfig(model=CLIP, stored="float32", **EXACT))
    found = answer(stage, rows)
    assert [e and e["class"] for e in found["error"].to_pylist()][:4] == [
        None,
        None,
        "decode",
        None,
    ]
    for name in found.column_names[:-1]:
        rows = rows.append_column(name, found[name])
    return rows


def test_clip_reads_stored_embeddings_and_scores_as_the_model_does(embedded: pa.Table) -> None:
    whole = answer(ClipStage(ClipConfig(model=CLIP, **EXACT)), embedded)["clip_score"].to_numpy()
    columns = ["image_embedding", "text_embedding"]
    config = ClipConfig(embedded=columns)
    stored = answer(ClipStage(config), embedded)["clip_score"].to_numpy()
    assert np.isnan(stored[2])
    np.testing.assert_allclose(np.delete(stored, 2), np.delete(whole, 2), atol=1e-5)


def test_one_tower_alone_reads_its_column_alone() -> None:
    stage = EmbedStage(EmbedConfig(model=CLIP, embeddings=["text"], **EXACT))
    assert stage.reads() == ["text"]
    found = check_stage(EmbedStage, pa.table({"text": ["a red ball", "two", "a car"]}), 0.01,
                        model=CLIP, embeddings=["text"], **EXACT)  # fmt: skip
    lengths = np.linalg.norm(np.array(found["text_embedding"].to_pylist()), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-3)


def test_prompts_name_what_is_drawn(tmp_path: Path) -> None:
    """Zero-shot among three kinds of things, on single things."""
    scenes = []
    for i in range(400):
        scene = random_scene(rng_for("zero-shot", i))
        if len(scene.groups) == 1 and scene.groups[0].kind in ("ball", "tree", "car"):
            scenes.append(scene)
    images = [jpeg(render(s, 200, 200, rng_for("draw", i))) for i, s in enumerate(scenes[:24])]
    rows = answer(EmbedStage(EmbedConfig(model=CLIP, embeddings=["image"], **EXACT)),
                  pa.table({"image": images}))  # fmt: skip
    prompts = {kind: [f"a {c} {kind}" for c in ("red", "blue", "white")] for kind in ("ball", "tree", "car")}  # fmt: skip
    found = check_stage(
        ClassifyStage, rows, model=CLIP, embedding="image_embedding", prompts=prompts
    )
    right = [s.groups[0].kind == label
             for s, label in zip(scenes, found["classify_label"].to_pylist(), strict=False)]  # fmt: skip
    assert sum(right) >= 20
    for row in found.to_pylist():
        assert sum(row["classify_probability"].values()) == pytest.approx(1, abs=1e-5)
        assert row["classify_score"] == max(row["classify_probability"].values())
    (tmp_path / "kinds.txt").write_text("ball\ntree\n\ncar\nball\n")
    config = ClassifyConfig(model=CLIP, embedding="image_embedding", template="a red {}",
                            concepts=str(tmp_path / "kinds.txt"))  # fmt: skip
    stage = ClassifyStage(config)
    assert stage.labels() == ["ball", "tree", "car"]
    assert set(answer(stage, rows)["classify_label"].to_pylist()) <= {"ball", "tree", "car"}
    (tmp_path / "kinds.txt").write_text("red ball\nred-ball\nred ball 2\n")
    (alike,) = answer(ClassifyStage(config), rows)["classify_probability"].to_pylist()[:1]
    assert list(alike) == ["red_ball", "red_ball_2", "red_ball_2_2"]


def sequential(*layers: Any) -> torch.nn.Module:
    made = torch.nn.Module()
    made.layers = torch.nn.Sequential(*layers)
    return made


def published(name: str) -> tuple[torch.nn.Module, Any]:
    """LAION's heads as their code builds them, and what they answer with."""
    n, relu, drop = torch.nn.Linear, torch.nn.ReLU, torch.nn.Dropout
    if name == "aesthetic":
        made = sequential(n(24, 1024), drop(0.2), n(1024, 128), drop(0.2), n(128, 64), drop(0.1),
                          n(64, 16), n(16, 1))  # fmt: skip
        return made, made.layers
    if name == "nsfw_h14":
        sizes = (24, 1024, 2048, 1024, 256, 128)
        parts = [p for a, b in pairwise(sizes) for p in (n(a, b), relu(), drop(0.2))]
        made = sequential(*parts, n(128, 16), n(16, 1))
        return made, made.layers
    if name == "nsfw_l14":
        made = torch.nn.Module()
        made.norm = torch.nn.Module()
        made.norm.register_buffer("mean", torch.rand(24))
        made.norm.register_buffer("variance", torch.rand(24) + 0.5)
        for i, (a, b) in enumerate(((24, 64), (64, 512), (512, 256), (256, 1)), 1):
            setattr(made, f"linear_{i}", n(a, b))

        def whole(x: torch.Tensor) -> torch.Tensor:
            x = (x - made.norm.mean) / made.norm.variance.sqrt()
            for i in range(1, 4):
                x = getattr(made, f"linear_{i}")(x).relu()
            return made.linear_4(x).sigmoid()

        return made, whole
    made = n(24, 1)
    return made, made


@pytest.mark.parametrize("name", ["aesthetic", "nsfw_h14", "nsfw_l14", "linear"])
def test_published_heads_answer_as_their_own_code(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    made, whole = published(name)
    made.eval()
    for parameter in made.parameters():
        parameter.data *= 2  # so that activations matter
    vectors = torch.nn.functional.normalize(torch.randn(9, 24), dim=-1)
    files = [tmp_path / "head.safetensors", tmp_path / "head.pth", tmp_path / "head.npz"]
    state = {k: v.contiguous() for k, v in made.state_dict().items()}
    tensors.save_file(state, files[0])
    torch.save(made.state_dict(), files[1])
    np.savez(files[2], **{k: v.numpy() for k, v in state.items()})
    with torch.inference_mode():
        expected = whole(vectors)[:, 0].numpy()
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.numpy().ravel()), 24)
    for file in files:
        rows = pa.table({"embedding": column})
        found = check_stage(ClassifyStage, rows, embedding="embedding", head=str(file))
        np.testing.assert_allclose(
            found["classify_score"].to_numpy(), expected, rtol=1e-3, atol=1e-4
        )


@pytest.mark.slow
def test_a_head_learned_on_embeddings_finds_a_motif(embedded: pa.Table, tmp_path: Path) -> None:
    """A logistic head of two labels, trained on other scenes, tells warm colours from others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    scenes = [random_scene(rng_for("head", i)) for i in range(240)]
    images = [jpeg(render(s, 160, 160, rng_for("draw", i))) for i, s in enumerate(scenes)]
    stage = EmbedStage(EmbedConfig(model=CLIP, embeddings=["image"], **EXACT))
    rows = answer(stage, pa.table({"image": images}))
    vectors = np.array(rows["image_embedding"].to_pylist(), np.float32)
    warm = np.array([s.groups[0].colour in ("red", "orange") for s in scenes])
    model = LogisticRegression(C=100, max_iter=500).fit(vectors[:160], warm[:160])
    weight = np.concatenate([-model.coef_ / 2, model.coef_ / 2]).astype(np.float32)
    bias = np.concatenate([-model.intercept_ / 2, model.intercept_ / 2]).astype(np.float32)
    np.savez(tmp_path / "head.npz", weight=weight, bias=bias)
    config = ClassifyConfig(embedding="image_embedding", head=str(tmp_path / "head.npz"),
                            labels=["cold", "warm"])  # fmt: skip
    found = answer(ClassifyStage(config), rows.slice(160))
    probability = [row["warm"] for row in found["classify_probability"].to_pylist()]
    expected = model.predict_proba(vectors[160:])[:, 1]
    np.testing.assert_allclose(probability, expected, atol=5e-3)
    assert found["classify_label"].to_pylist() == [
        "warm" if p > 0.5 else "cold" for p in probability
    ]
    assert roc_auc_score(warm[160:], probability) >= 0.95


@pytest.mark.parametrize("kind", ["text", "image"])
def test_classifiers_of_transformers_answer_as_called_directly(
    kind: str, tmp_path: Path, pictures: list[tuple[bytes, str]]
) -> None:
    import transformers as t
    from PIL import Image
    from tiny_models.tower_parts import bert_words

    torch.manual_seed(5)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "id2label": {0: "clean", 1: "NSFW!", 2: "2nd kind"},
            "label2id": {"clean": 0, "NSFW!": 1, "2nd kind": 2}}  # fmt: skip
    if kind == "text":
        model = t.BertForSequenceClassification(t.BertConfig(vocab_size=320, **size))
        processor = bert_words()
        values: list[Any] = [text for _, text in pictures[:5]]
        inputs = processor(values, padding=True, return_tensors="pt")
    else:
        model = t.ViTForImageClassification(t.ViTConfig(image_size=32, patch_size=16, **size))
        processor = t.ViTImageProcessor(size={"height": 32, "width": 32})
        values = [picture for picture, _ in pictures[:5]]
        import io

        images = [Image.open(io.BytesIO(v)).convert("RGB") for v in values]
        inputs = processor(images=images, return_tensors="pt")
    model.eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.3
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with torch.inference_mode():
        expected = model(**inputs).logits.softmax(-1).numpy()
    found = check_stage(
        ClassifyStage, pa.table({kind: values}), model=str(tmp_path), **{kind: kind}
    )
    names = ["clean", "nsfw", "_2nd_kind"]
    got = [[row[name] for name in names] for row in found["classify_probability"].to_pylist()]
    np.testing.assert_allclose(got, expected, atol=0.02 if kind == "image" else 1e-4)
    labels = np.array(["clean", "NSFW!", "2nd kind"])[np.array(got).argmax(1)]
    assert found["classify_label"].to_pylist() == labels.tolist()


def test_misfits_are_named(embedded: pa.Table, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", **{"a.weight": np.ones((3, 5)), "b.weight": np.ones((1, 4))})
    with pytest.raises(StageBroken, match="the layer 'b' .* does not follow one of 3 outputs"):
        read_head("x", str(tmp_path / "two.npz"), "auto", "auto")
    np.savez(tmp_path / "five.npz", weight=np.ones((1, 5)))
    config = ClassifyConfig(embedding="image_embedding", head=str(tmp_path / "five.npz"))
    with pytest.raises(StageBroken, match=r"numbers, and 5 are wanted"):
        answer(ClassifyStage(config), embedded)
    for keys in (
        {},
        {"embedding": "e"},
        {"image": "image"},
        {"embedding": "e", "prompts": {"a": []}},
    ):
        with pytest.raises(ValueError, match="`"):
            ClassifyConfig(**keys)  # type: ignore[arg-type]


def test_one_forward_pass_serves_score_and_labels_in_a_run(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "name: once\nworkspace: w\nsource: {type: pairs, path: pairs.parquet}\nstages:\n"
        f"  - {{stage: embed, model: {CLIP}, dtype: float32}}\n"
        "  - {stage: clip, embedded: [image_embedding, text_embedding], keep: clip_score > 0.2}\n"
        f"  - {{stage: classify, name: place, model: {CLIP}, embedding: image_embedding, "
        "prompts: {night: [at night], day: [on a beach, in a meadow]}, "
        "keep: place_probability.night < 0.5}\n"
    )
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, progress=False)
    assert 0 < result.funnel.kept < 40
