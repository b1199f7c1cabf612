"""What the demo's small models allow where a recipe misses its goal, computed apart from its stages.

`python benchmarks/recipe_limits.py [laion nevlp mmra rs-sqa]` prints the figures of docs/recipes/:
heads trained on more labels than the recipe has, calibration with the truth in hand and with more
rows, other worlds, every threshold.
"""

import argparse
import random
from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.demo.pictures import picture_bytes
from pairmill.demo.quality import auc
from pairmill.demo.show import MODELS
from pairmill.demo.tables import chunks
from pairmill.demo.texts import detailed_caption, short_caption
from pairmill.demo.words import BOILERPLATE
from pairmill.demo.world import World
from pairmill.filters.embed import EmbedConfig, EmbedStage
from pairmill.stages.select.measured_noise import MeasuredNoise
from pairmill.stages.select.noise import NoiseConfig, NoiseStage

AT_ONCE = 64


def embedded(images: Sequence[bytes], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings by the demo's CLIP, of unit length, of as many of either as there are."""
    found = []
    for name, column, values in (("image", "image", images), ("text", "text", texts)):
        config = {"model": str(MODELS / "clip"), "image_processor": "pil", "dtype": "float32"}
        stage = EmbedStage(EmbedConfig.model_validate({**config, "embeddings": [name]}))
        stage.setup()
        parts = [
            stage(pa.table({column: values[at : at + AT_ONCE]}))[f"{name}_embedding"].to_pylist()
            for at in range(0, len(values), AT_ONCE)
        ]
        found.append(np.array([v for part in parts for v in part], np.float32))
    return found[0], found[1]


def drawn(world: World) -> tuple[pl.DataFrame, list[bytes]]:
    """The rows of a world with their truth, and their pictures."""
    seen, truth = (
        pl.DataFrame(pa.concat_tables(part)) for part in zip(*chunks(world), strict=True)
    )
    images = [picture_bytes(world, row) for row in map(world.row, range(world.rows))]
    return pl.concat([seen, truth.drop("url")], how="horizontal"), images


def laion() -> None:
    """AUC of the ridge head for the marked motif, by labels; tested on 500 rows of the recipe's
    world.
    """
    from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    parts = []
    for seed in (11, 12, 13):
        rows, images = drawn(World(700, seed, zipf=1.2, motifs=0.2))
        parts.append((embedded(images, [])[0], rows["motif"].to_numpy()))
    test = [side[200:] for side in parts[0]]
    pool = [np.concatenate([part[i] for part in parts[1:]]) for i in (0, 1)]
    pool = [np.concatenate([parts[0][i][:200], pool[i]]) for i in (0, 1)]
    for count in (200, 500, 1000, 1600):
        for name, model in (
            ("logistic, C=100", LogisticRegression(C=100, max_iter=3000)),
            ("ridge", make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-2, 5, 22)))),
        ):
            areas = []
            for seed in range(4):
                some = np.random.default_rng(seed).permutation(len(pool[0]))[:count]
                head = model.fit(pool[0][some], pool[1][some])
                said = head.decision_function(test[0])
                areas.append(auc(said[test[1]], said[~test[1]]))
            print(f"laion: {name}, {count} labels: AUC {np.mean(areas):.3f}", flush=True)


def off(said: np.ndarray, wrong: np.ndarray) -> float:
    """The expected calibration error over ten bins."""
    bins = np.minimum((said * 10).astype(int), 9)
    return float(sum(
        abs(said[bins == b].mean() - wrong[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ))  # fmt: skip


def nevlp() -> None:
    """Calibration of `noise` on four worlds of the recipe's kind and on all of them together,
    beside that of one that knows the truth, and of one that is right.
    """
    frames, images, texts = [], [], []
    for seed in (7, 1, 2, 3):
        rows, pictures = drawn(World(500, seed, noise=0.4, names=5))
        frames.append(rows.with_columns(world=pl.lit(seed)))
        images += pictures
        texts += rows["text"].to_list()
    every = pl.concat(frames, how="vertical_relaxed")
    image, text = embedded(images, texts)
    for worlds in ([7], [1], [2], [3], [7, 1, 2, 3]):
        at = np.flatnonzero(every["world"].is_in(worlds).to_numpy())
        rows, own, other = every[at], image[at], text[at]
        table = pa.table({
            "uid": [f"{i:05d}" for i in at], "lang_tag": rows["lang_tag"].to_list(),
            "image_embedding": own.tolist(), "text_embedding": other.tolist(),
        })  # fmt: skip
        pairs = rows["text_kind"].is_in(["matched", "mismatched"]).to_numpy()
        wrong, score = ~rows["matched"].to_numpy(), (own * other).sum(1)
        said = {}
        for name, per in (("each language", ["lang_tag"]), ("one for all", [])):
            config = NoiseConfig(embedded=["image_embedding", "text_embedding"], per=per)
            said[name] = NoiseStage(config)(table)["noise"].to_numpy()[pairs]
        knows = MeasuredNoise.fitted(score[pairs], score[pairs & wrong])
        said["knows what mismatched pairs score"] = knows.noise(score[pairs])
        rng = np.random.default_rng(0)
        right = [off(p, rng.random(len(p)) < p) for p in [said["each language"]] * 200]
        figures = ", ".join(f"{n} {off(p, wrong[pairs]):.3f}" for n, p in said.items())
        print(f"nevlp: worlds {worlds}, {pairs.sum()} pairs: {figures}; calibrated exactly "
              f"{np.mean(right):.3f}, one time in twenty {np.quantile(right, 0.95):.3f}",
              flush=True)  # fmt: skip


def mmra() -> None:
    """Whether pictures as near as .8 show a thing in common, world by world."""
    for seed in (31, 32, 33, 34):
        world = World(330, seed)
        rows = [r for r in map(world.row, range(330)) if r.copy != "exact"]
        image, _ = embedded([picture_bytes(world, r) for r in rows], [])
        likeness = image @ image.T
        np.fill_diagonal(likeness, 1)
        likeness[likeness >= 0.995] = -1
        kinds = [{g.kind for g in r.scene.groups} for r in rows]
        near = np.argsort(-likeness, axis=1)[:, :3]
        pairs = [(i, j) for i, js in enumerate(near) for j in js if likeness[i, j] >= 0.8]
        same = np.array([bool(kinds[i] & kinds[j]) for i, j in pairs])
        error = same.std() / len(same) ** 0.5
        print(f"mmra: world {seed}: {same.mean():.3f} ± {error:.3f} of {len(same)}", flush=True)


def rs_sqa() -> None:
    """Sentences about the picture and about nothing: by the score, and by how much higher it is
    than the sentence's mean score with other pictures.
    """
    world = World(300, 21, noise=0.3)
    rows = [r for r in map(world.row, range(300)) if r.copy == "original"][:120]
    sentences, of, about = [], [], []
    for i, row in enumerate(rows):
        rng = random.Random(i)
        told = f"{short_caption(row.scene).capitalize()}. {detailed_caption(row.scene)}"
        true = [f"{part.rstrip('.')}." for part in told.split(". ")]
        strange = [
            rng.choice(["Free shipping on all orders over fifty crowns.",
                        "Sign up for our newsletter today.",
                        "All rights are reserved by the owner of this page."]),
            rng.choice([s for s in BOILERPLATE if "{" not in s]).capitalize() + " again and again.",
        ]  # fmt: skip
        sentences += [*true, *strange]
        of += [i] * (len(true) + 2)
        about += [True] * len(true) + [False] * 2
    image, text = embedded([picture_bytes(world, r) for r in rows], sentences)
    every, right = text @ image.T, np.array(about)
    score = every[np.arange(len(of)), of]
    others = (every.sum(1) - score) / (len(rows) - 1)
    for name, said in (("score", score), ("score less its mean with others", score - others)):
        limit = np.quantile(said[right], 0.02)
        print(f"rs-sqa: {name}: AUC {auc(said[right], said[~right]):.3f}; where .98 of the true are "
              f"left, {np.mean(said[~right] < limit):.2f} of the others are cut; best of both "
              f"{best(said, right):.3f}", flush=True)  # fmt: skip


def best(said: np.ndarray, right: np.ndarray) -> float:
    """The largest share that a threshold gets right of either kind."""
    return max(
        min(float((said[right] >= t).mean()), float((said[~right] < t).mean())) for t in said
    )


PARTS = {"laion": laion, "nevlp": nevlp, "mmra": mmra, "rs-sqa": rs_sqa}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="|".join(PARTS))
    for name in parser.parse_args().parts:
        PARTS[name]()


if __name__ == "__main__":
    main()
