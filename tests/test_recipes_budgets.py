"""Budgets, mixtures, streams and edges over a small world's texts, without pictures to look at."""

import io
import json
import random
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pairmill import RunResult
from pairmill.api import Pipeline
from pairmill.demo.show import MODELS
from pairmill.demo.tables import chunks
from pairmill.demo.world import World
from tests.conftest import jpeg

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parent.parent / "recipes"
NAMES = ("babylm", "ctp", "less-bimodal", "slip", "unival", "internvl3", "deepseek-vl", "xcomposer")
SIZES = ((640, 400), (300, 180), (200, 320), (500, 480), (160, 100))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder, world = tmp_path_factory.mktemp("budgets"), World(900, 3)
    seen = pl.from_arrow(pa.concat_tables(part for part, _ in chunks(world)))
    assert isinstance(seen, pl.DataFrame)
    texts = seen.select("url", "text", "lang_tag").unique("url", maintain_order=True)
    pq.write_table(texts[:500].to_arrow(), folder / "pairs.parquet")
    pq.write_table(texts[500:].to_arrow(), folder / "texts.parquet")
    images = [jpeg(Image.new("RGB", (16, 16), (i % 256, i // 256, 9))) for i in range(400)]
    both = texts[:60].select("text", image=pl.Series(images[:60]))
    pq.write_table(both.to_arrow(), folder / "both.parquet")
    alone = {"image": images[60:], "label": [["ball", "tree"]] * 340}
    pq.write_table(pa.table(alone), folder / "pictures.parquet")
    write_products(texts[:300], folder)
    write_kinds(texts, folder)
    write_shapes(folder)
    shutil.copy(RECIPES / "concepts.tsv", folder)
    for name in NAMES:
        shutil.copy(RECIPES / f"{name}.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMO_MODELS", str(MODELS))
        yield folder


def write_products(texts: pl.DataFrame, folder: Path) -> None:
    """Products that were bought with others, now and then with one that is not there."""
    rng = random.Random(1)
    names = [f"p{i}" for i in range(texts.height + 20)]
    bought = [rng.sample(names, rng.randrange(5)) for _ in range(texts.height)]
    columns = {"product": names[: texts.height], "bought_with": bought}
    pq.write_table(texts.with_columns(**{n: pl.Series(v) for n, v in columns.items()}).to_arrow(),
                   folder / "products.parquet")  # fmt: skip


def reasoning(rng: random.Random) -> str:
    """A small sum in words."""
    a, b, c = (rng.randint(2, 40) for _ in range(3))
    long = f" Then {c} more are bought, so that there are {a + b + c} in all." * (a % 2)
    return f"If {a} apples are added to {b} apples there are {a + b} apples.{long}"


def trade(rng: random.Random) -> str:
    """What a shop says."""
    goods = rng.choice(("shoes", "phones", "watches", "lamps", "chairs"))
    return f"{rng.choice(('Buy', 'Order', 'Save on'))} {goods} online, only {rng.randint(5, 90)}.99"


def write_kinds(texts: pl.DataFrame, folder: Path) -> None:
    """Texts of three categories, and which each is."""
    rng = random.Random(2)
    visual = [(t, "visual") for t in texts.filter(pl.col("lang_tag") == "en")["text"][:200]
              if len(t.split()) > 4 and "http" not in t]  # fmt: skip
    made = [(reasoning(rng), "reasoning") for _ in range(200)]
    rows = [*visual, *made, *((trade(rng), "trade") for _ in range(120))]
    rng.shuffle(rows)
    urls = [f"http://k.test/{i}" for i in range(len(rows))]
    pl.DataFrame({"url": urls, "text": [t for t, _ in rows], "true": [k for _, k in rows]})\
        .write_parquet(folder / "kinds.parquet")  # fmt: skip


def write_shapes(folder: Path) -> None:
    """Pictures of several shapes and sizes in three formats."""
    rows = []
    for i in range(60):
        size, out = SIZES[i % len(SIZES)], io.BytesIO()
        picture = Image.new("RGB", size, (i * 4 % 256, 99, i % 7 * 30))
        picture.save(out, ("JPEG", "PNG", "WEBP")[i % 3])
        rows.append({"image": out.getvalue(), "text": f"picture {i}", "number": i})
    pq.write_table(pa.Table.from_pylist(rows), folder / "shapes.parquet")


def run(place: Path, name: str, changes: dict[str, Any] | None = None) -> pl.DataFrame:
    return result_of(place, name, changes).table()


def result_of(place: Path, name: str, changes: dict[str, Any] | None = None) -> RunResult:
    pipeline = Pipeline.from_yaml(place / f"{name}.yaml", changes)
    return pipeline.run(local=True, processes=0, progress=False)


def package(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(f) for f in sorted((folder / "data").glob("*.parquet"))])


def test_babylm_spends_its_words_to_a_row(place: Path) -> None:
    rows = run(place, "babylm")
    kept = rows.filter(pl.col("fate") == "kept")
    spent = dict(kept.group_by("source").agg(pl.col("text_words").sum()).iter_rows())
    longest = rows["text_words"].max()
    print("babylm", rows.height, kept.height, spent, longest)
    assert sum(spent.values()) <= 2000
    assert all(1000 - longest < words <= 1000 for words in spent.values())
    assert package(place / "babylm").height == kept.height


def test_ctps_tasks_are_apart_and_come_to_all_in_order(place: Path) -> None:
    rows = run(place, "ctp").filter(pl.col("fate") == "kept")
    tasks = [package(place / f"tasks/{i}") for i in (1, 2, 3, 4)]
    every = pl.concat(tasks)
    print("ctp", [task.height for task in tasks], rows.height)
    assert all(task.height for task in tasks)
    assert every["uid"].n_unique() == every.height == rows.height
    assert set(every["uid"]) == set(rows["uid"])
    stream = package(place / "stream")["lang_tag"].to_list()
    groups = [tag if tag in ("en", "de", "fr", "es") else "" for tag in stream]
    met = list(dict.fromkeys(groups))
    assert met == ["en", "de", "fr", "es", ""]
    assert groups == sorted(groups, key=met.index)


def test_less_bimodal_mixes_pairs_pictures_and_texts(place: Path) -> None:
    run(place, "less-bimodal")
    said = []
    for tar in sorted((place / "seen").glob("*.tar")):
        with tarfile.open(tar) as file:
            said += [
                file.extractfile(member).read().decode()
                for member in file
                if member.name.endswith(".txt")
            ]
    labelled = said.count("ball, tree")
    texts = package(place / "read")
    print("less-bimodal", len(said) - labelled, labelled, texts.height)
    assert (len(said) - labelled, labelled, texts.height) == (20, 240, 140)
    assert set(texts["source"]) == {"texts"}


def test_slip_keeps_the_edges_whose_ends_are_kept(place: Path) -> None:
    rows = run(place, "slip")
    kept = rows.filter(pl.col("fate") == "kept")
    text_of = dict(kept.select("product", "text").iter_rows())
    edges = dangling = 0
    for own, named, texts, gone in kept.select(
        "product", "bought_with", "bought_text", "bought_dangling"
    ).iter_rows():
        there = [n for n in named if n in text_of and n != own]
        assert texts == [text_of[n] for n in there]
        assert gone == len([n for n in named if n not in text_of])
        edges, dangling = edges + len(there), dangling + gone
    print("slip", rows.height, kept.height, edges, dangling)
    assert kept.height < rows.height
    assert edges > dangling > 0
    assert package(place / "slip").height == kept.height


def test_univals_phases_have_their_mixtures_and_no_row_twice(place: Path) -> None:
    run(place, "unival")
    first, second = (package(place / f"unival/{i}") for i in (1, 2))
    shares = [Counter(part["source"]) for part in (first, second)]
    again = {"stages.second.when": "null", "outputs.1.where": "second_repeats > 0"}
    free = run(place, "unival", {**again, "outputs.0.path": "free/1", "outputs.1.path": "free/2"})
    twice = free.filter((pl.col("first_repeats") > 0) & (pl.col("second_repeats") > 0)).height
    window = [Counter(part["source"][:50]) for part in (first, second)]
    print("unival", shares, twice, window)
    assert shares == [{"labels": 120, "texts": 40}, {"captions": 50, "labels": 100, "texts": 50}]
    assert not set(first["uid"]) & set(second["uid"])
    assert twice > 0  # what `when:` keeps from happening
    for part, count in zip((first, second), window, strict=True):
        for name, total in Counter(part["source"]).items():
            share = total / part.height
            assert abs(count[name] - 50 * share) <= 3 * (50 * share * (1 - share)) ** 0.5


def test_internvl3s_categories_are_right_and_a_sweep_computes_nothing(place: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    from pairmill.filters.embed import EmbedConfig, EmbedStage

    rng = random.Random(9)
    world = World(400, 77)
    texts = [r.text for r in map(world.row, range(400)) if r.text_kind == "matched"
             and r.language == "en"][:50]  # fmt: skip
    texts += [reasoning(rng) for _ in range(50)] + [trade(rng) for _ in range(50)]
    stage = EmbedStage(EmbedConfig(model=str(MODELS / "clip"), embeddings=["text"],
                                   dtype="float32"))  # fmt: skip
    stage.setup()
    vectors = np.array(stage(pa.table({"text": texts}))["text_embedding"].to_pylist(), np.float32)
    labels = np.repeat([0, 1, 2], [len(texts) - 100, 50, 50])
    model = LogisticRegression(C=100, max_iter=2000).fit(vectors, labels)
    np.savez(place / "categories.npz", weight=model.coef_.astype(np.float32),
             bias=model.intercept_.astype(np.float32))  # fmt: skip
    rows = run(place, "internvl3")
    right = (rows["category_label"] == rows["true"]).mean()
    written = package(place / "internvl3")
    got = Counter(written.select("category_label", "length").iter_rows())
    print("internvl3", rows.height, right, got)
    assert right >= 0.95
    assert got == {("visual", "short"): 80, ("reasoning", "long"): 40, ("reasoning", "short"): 40,
                   ("trade", "short"): 20}  # fmt: skip
    for share in (2, 6):
        changes = {"stages.mix.shares.trade / short": str(share), "stages.mix.budget": "84",
                   "outputs.0.path": f"sweep/{share}"}  # fmt: skip
        again = result_of(place, "internvl3", changes)
        computed = {name for name, stage in again.stages.items() if stage["computed"]}
        assert not computed & {"embed", "category", "text_rules"}
        found = Counter(package(place / f"sweep/{share}")["category_label"])
        assert found["trade"] == pytest.approx(84 * share / (share + 8), abs=1)


def test_deepseeks_taxonomy_is_told_leaf_by_leaf_asked_for_and_reached(place: Path) -> None:
    run(place, "deepseek-vl")
    manifest = json.loads((place / "deepseek-vl/manifest.json").read_text())
    groups = manifest["selection"]["mixture"]["groups"]
    print("deepseek", groups)
    asked = {"ball": 2, "tree": 2, "house": 1, "car": 1, "submarine": 1, "text alone": 3}
    assert set(groups) == set(asked)
    assert all(groups[n]["requested"] == pytest.approx(v / 10) for n, v in asked.items())
    assert groups["submarine"]["written"] == 0  # the world has none, and says so
    rest = {n: g["written"] for n, g in groups.items() if n != "submarine"}
    assert sum(rest.values()) == 60
    assert rest["text alone"] == 20
    assert set(package(place / "deepseek-vl")["leaf"]) == set(rest)


def test_xcomposers_pictures_leave_as_they_came_each_in_its_bucket(place: Path) -> None:
    run(place, "xcomposer")
    rows = pq.read_table(place / "shapes.parquet").to_pylist()
    found: dict[str, set[bytes]] = {}
    for tar in sorted((place / "xcomposer").rglob("*.tar")):
        with tarfile.open(tar) as file:
            found[tar.parent.name] = {
                file.extractfile(m).read()
                for m in file
                if m.name.rpartition(".")[2] not in ("txt", "json")
            }
    true: dict[str, set[bytes]] = {}
    for row in rows:
        width, height = SIZES[row["number"] % len(SIZES)]
        large = "large" if width * height >= 100_000 else "small"
        name = f"wide-{large}" if 2 * width >= 3 * height else "square"
        true.setdefault("tall" if 2 * height >= 3 * width else name, set()).add(row["image"])
    print("xcomposer", {name: len(data) for name, data in found.items()})
    assert found == true
