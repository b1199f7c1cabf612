"""Recipes of retrieval and of plain filters over a small generated world, measured against its
truth.
"""

import random
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill import Pipeline, RunResult
from pairmill.demo.oracle import asking
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.quality import auc
from pairmill.demo.scenes import Scene, rng_for
from pairmill.demo.show import MODELS
from pairmill.demo.tables import chunks
from pairmill.demo.texts import alt_text
from pairmill.demo.words import KINDS
from pairmill.demo.world import World
from pairmill.terminal.searching import search
from pairmill.texts.words import plain_words
from tests.test_recipes_scores import colour_blind

RECIPES = Path(__file__).parent.parent / "recipes"
ROWS, TRAINED = 700, 200
SHARED, RARE = "our shop in the old town", "a view from the bridge"
"""Texts that fifteen pictures and five share."""
JUNK = ("spam", "boilerplate", "truncated")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures of a world whose kinds of things follow Zipf's law, its truth,
    and the recipes, which share a workspace.
    """
    folder = tmp_path_factory.mktemp("recipes")
    world = World(ROWS, 11, zipf=1.2, motifs=0.2)
    seen, truth = (
        pl.from_arrow(pa.concat_tables(part)) for part in zip(*chunks(world), strict=True)
    )
    images = [picture_bytes(world, row) for row in map(world.row, range(ROWS))]
    planted = pl.Series([SHARED] * 15 + [RARE] * 5 + [None] * (ROWS - 20), dtype=pl.String)
    text = pl.coalesce(planted, seen["text"]).alias("text")
    (folder / "web").mkdir()
    pairs = seen.with_columns(pl.Series("image", images), text)
    pq.write_table(pairs.to_arrow(), folder / "web/pairs.parquet")
    truth.write_parquet(folder / "truth.parquet")
    (folder / "names.txt").write_text("\n".join(KINDS))
    for name in ("real", "laion", "align", "points", "tfup"):
        shutil.copy(RECIPES / f"{name}.yaml", folder)
    return folder


def run(place: Path, name: str, changes: dict[str, Any] | None = None) -> RunResult:
    return Pipeline.from_yaml(place / f"{name}.yaml", changes).run(local=True, progress=False)


def with_truth(place: Path, result: RunResult) -> pl.DataFrame:
    truth = pl.read_parquet(place / "truth.parquet")
    return result.table().join(truth, on="url", suffix="_true")


def test_real_gives_the_tail_its_share(place: Path) -> None:
    rows = with_truth(place, run(place, "real"))
    kept = rows.filter(pl.col("fate") == "kept")
    drawn = rows.sample(kept.height, seed=0)
    shown = [Counter(k for kinds in part["kinds"] for k in kinds) for part in (rows, drawn, kept)]
    tail = [kind for kind, _ in shown[0].most_common()[8:]]
    shares = [sum(c[k] for k in tail) / c.total() for c in shown]
    print("real", kept.height, shares, tail, shown)
    assert shares[2] > 1.5 * max(shares[:2])
    found, drawn_too = (sum(c[k] for k in tail) for c in (shown[2], shown[1]))
    assert found > 1.25 * drawn_too


def ridge_head(embeddings: pl.Series, labels: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """(weight, bias), float32: ridge regression on standardised embeddings, as strong as
    cross-validation finds best.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.preprocessing import StandardScaler

    vectors = np.array(embeddings.to_list(), np.float64)
    scale = StandardScaler().fit(vectors)
    head = RidgeClassifierCV(np.logspace(-2, 5, 22)).fit(scale.transform(vectors), labels)
    weight = head.coef_ / scale.scale_
    bias = head.intercept_ - weight @ scale.mean_
    return weight.astype(np.float32), bias.astype(np.float32)


def test_laion_scores_once_and_chooses_by_a_line(place: Path) -> None:
    embedded = with_truth(place, run(place, "real"))
    train = embedded.sample(TRAINED, seed=1)
    weight, bias = ridge_head(train["image_embedding"], train["motif"])
    np.savez(place / "unsafe.npz", weight=weight, bias=bias)
    result = run(place, "laion")
    assert result.stages["embed"]["computed"] == 0
    rest = with_truth(place, result).join(train, on="url", how="anti")
    marked = auc(*(rest.filter(pl.col("motif") == m)["unsafe_score"] for m in (True, False)))
    queries = [f"photo of a {kind}" for kind in KINDS[:6]]
    near = search(str(place / "laion/all"), queries, 10, None, None)
    truth = pl.read_parquet(place / "truth.parquet")
    near = near.join(truth, on="url")
    hits = near["kinds"].list.contains(near["query"].str.split(" ").list.last()).mean()
    base = np.mean([truth["kinds"].list.contains(kind).mean() for kind in KINDS[:6]])
    print("laion", rest.height, marked, near.height, hits, base)
    assert marked >= 0.85  # goal .95, which takes more labels (benchmarks/recipe_limits.py)
    assert hits >= 0.9
    subset = "lang = 'de' AND unsafe_score < 0.5"
    changes = {"outputs.1.where": subset, "outputs.1.path": "laion/german"}
    again = run(place, "laion", changes)
    assert all(stage["computed"] == 0 for stage in again.stages.values())
    uids = np.load(place / "laion/german/uids.npy")
    expected = again.rows(where=subset, fate="kept").height
    assert len(uids) == expected > 0


def test_align_stops_what_more_than_ten_pictures_are_called(place: Path) -> None:
    result = run(place, "align")
    rows = result.table()
    counts = Counter(rows["text"])
    stopped = rows.filter((pl.col("fate") == "dropped") & (pl.col("stage") == "shared_text"))
    print("align", stopped["text"].value_counts(), rows["fate"].value_counts())
    assert counts[SHARED] == 15
    assert set(stopped["text"]) == {SHARED}
    kept = rows.filter(pl.col("fate") == "kept")
    assert kept.filter(pl.col("text") == RARE).height == 5


def test_align_refuses_texts_with_a_word_or_pair_that_occurs_once(place: Path) -> None:
    """The rule for a small set, against a count by hand."""
    changes = {"stages.0.times": "2", "outputs.0.path": "align-small"}
    rows = with_truth(place, run(place, "align", changes))
    texts = [plain_words(text) for text in rows["text"]]
    said = [[*words, *pairwise(words)] for words in texts]
    every = Counter(gram for grams in said for gram in grams)
    expected = [sum(every[gram] < 2 for gram in grams) for grams in said]
    differing = sum(a != b for a, b in zip(rows["rare_words"], expected, strict=True))
    passed = rows.group_by("text_kind").agg((pl.col("rare_words") == 0).mean(), pl.len())
    print("align rare words", passed.sort("text_kind").rows(), differing)
    stopped = rows.filter((pl.col("fate") == "dropped") & (pl.col("stage") == "rare_words"))
    assert set(stopped["uid"]) == set(rows.filter(pl.col("rare_words") > 0)["uid"])
    assert 0 < stopped.height < rows.height
    assert differing <= 0.05 * rows.height  # inner apostrophes and points, which split words here


@pytest.fixture(scope="module")
def clean_lm(place: Path) -> Path:
    """A byte-pair GPT-2 that has read clean English alone, none of it the web's."""
    import torch
    import transformers as t
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    world = World(1200, 99)
    rng = random.Random(0)
    texts = [alt_text(world.picture_scene(i), "en", rng, None) for i in range(world.rows)]
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<s>"], initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A <s>", special_tokens=[("<s>", 0)]
    )
    words = t.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="<s>", pad_token="<s>"
    )
    torch.manual_seed(0)
    config = t.GPT2Config(
        vocab_size=len(words), n_positions=256, n_embd=96, n_layer=2, n_head=4,
        bos_token_id=0, eos_token_id=0, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
    )  # fmt: skip
    model = t.GPT2LMHeadModel(config)
    steps = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(150):
        batch = [texts[(step * 32 + i) % len(texts)] for i in range(32)]
        given = words(batch, return_tensors="pt", padding=True)
        mask = given["attention_mask"]
        labels = given["input_ids"].masked_fill(mask == 0, -100)
        loss = model(input_ids=given["input_ids"], attention_mask=mask, labels=labels).loss
        steps.zero_grad()
        loss.backward()
        steps.step()
    model.eval().save_pretrained(place / "clean-lm")
    words.save_pretrained(place / "clean-lm")
    return place / "clean-lm"


def test_points_keeps_what_a_language_model_expects(place: Path, clean_lm: Path) -> None:
    every = with_truth(place, run(place, "points")).drop_nulls("perplexity")
    rows = every.filter(~pl.col("text").is_in([SHARED, RARE]))
    junk = rows.filter(pl.col("text_kind").is_in(JUNK))["perplexity"].to_numpy()
    matched = rows.filter("matched")["perplexity"].to_numpy()
    score = auc(-matched, -junk)
    chosen, control = every.filter("selected"), every.filter("selected_control")
    limit = every["perplexity"].sort()[int(0.3 * every.height)]  # DataComp's rule of ties
    bad = [part["text_kind"].is_in(JUNK).mean() for part in (chosen, control)]
    print("points", score, len(matched), len(junk), chosen.height, control.height, bad)
    assert set(chosen["uid"]) == set(every.filter(pl.col("perplexity") <= limit)["uid"])
    assert score >= 0.95
    assert bad[0] < bad[1]


def test_tfup_is_right_where_it_is_sure(place: Path) -> None:
    rows = with_truth(place, run(place, "tfup"))
    rows = rows.with_columns(right=pl.col("kinds").list.contains(pl.col("kind_label")))
    kept = rows.filter("selected")
    sure = rows.filter(pl.col("kind_score") >= 0.9)
    counts = dict(kept.group_by("kind_label").len().iter_rows())
    print("tfup", rows["right"].mean(), kept.height, kept["right"].mean(), sure.height,
          sure["right"].mean(), counts)  # fmt: skip
    assert kept["right"].mean() >= 0.9
    assert sure["right"].mean() >= rows["right"].mean()
    assert 160 - len(counts) < kept.height <= 160
    assert max(counts.values()) == 160 // len(counts)


def truly_copies(found: pl.DataFrame, scene_of: dict[str, Any]) -> tuple[float, float]:
    """Precision and recall of what was dropped: the same scene, drawn in the same picture."""
    url_of = dict(found.select("uid", "url").iter_rows())
    said = found.drop_nulls("dup_of").select("url", "dup_of").iter_rows()
    right = [scene_of[url] == scene_of[url_of[kept]] for url, kept in said]
    copies = found.height - len(set(scene_of.values()))
    return sum(right) / len(right), sum(right) / copies


def test_cross_the_gap_does_not_take_a_scorers_blindness_for_likeness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(500, 0)
    rows = [row for row in map(world.row, range(500)) if row.expected_error is None]
    copied = {row.picture for row in rows if row.copy != "original"}
    some = [row for row in rows if row.picture in copied]
    (tmp_path / "gap").mkdir()
    columns = {"image": [picture_bytes(world, r) for r in some], "url": [r.url for r in some]}
    pq.write_table(
        pa.table({**columns, "text": [r.text for r in some]}), tmp_path / "gap/pairs.parquet"
    )
    scene_of = {row.url: (row.picture, row.scene) for row in some}
    blind = str(colour_blind(tmp_path / "blind"))
    shutil.copy(RECIPES / "cross-the-gap.yaml", tmp_path)
    monkeypatch.setenv("PAIR_SCORER", blind)
    measured = []
    for encoder in (str(MODELS / "clip"), blind):
        monkeypatch.setenv("LOOKS_ENCODER", encoder)
        measured.append(truly_copies(run(tmp_path, "cross-the-gap").table(), scene_of))
    print("gap", len(some), measured)
    second, scorer = measured
    assert second[0] >= 0.95
    assert second[1] >= 0.8
    assert scorer[0] < second[0] - 0.05


def asked(scene: Scene, leaky: bool) -> tuple[str, str]:
    """A question about a colour, and the answer, which a leaky question gives away."""
    group = scene.groups[0]
    thing = f"a {group.colour} {group.kind}" if leaky else f"the {group.kind}"
    return f"In the picture is {thing}: which colour does it have?", group.colour


def test_mmstar_refuses_exactly_the_questions_that_need_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(80, 4)
    rows = [row for row in map(world.row, range(world.rows)) if row.copy == "original"]
    leaky = [rng_for("leaky", row.index).random() < 0.3 for row in rows]
    questions = [asked(row.scene, leak) for row, leak in zip(rows, leaky, strict=True)]
    images = [picture_bytes(world, row) for row in rows]
    columns = {"image": images, "question": [q for q, _ in questions]}
    table = pa.table({**columns, "answer": [a for _, a in questions], "leak": leaky})
    pq.write_table(table, tmp_path / "questions.parquet")
    shutil.copy(RECIPES / "mmstar.yaml", tmp_path)
    errors: dict[str, Any] = {"refused": 0.0, "invented": 0.0, "slow": 0.0}
    with asking(world.rows, world.seed, **errors) as address:
        monkeypatch.setenv("ORACLE", address)
        found = run(tmp_path, "mmstar").table()
    known = pl.col("blind_right") > 0.25
    answered = found.filter("answered").height / found.filter(~known).height
    print("mmstar", found.height, sum(leaky), found.filter(known).height, answered)
    assert found.filter(known != pl.col("leak")).height == 0
    assert found.filter(pl.col("fate") == "kept")["leak"].sum() == 0
    assert answered > 0.7
