"""BabyLM's budget of words and CTP's stream of tasks over a small world's texts."""

import shutil
import tarfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pairmill.api import Pipeline
from pairmill.demo.tables import chunks
from pairmill.demo.world import World
from tests.conftest import jpeg

RECIPES = Path(__file__).parent.parent / "recipes"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    for name in ("babylm", "ctp", "less-bimodal"):
        shutil.copy(RECIPES / f"{name}.yaml", folder)
    return folder


def run(place: Path, name: str) -> pl.DataFrame:
    pipeline = Pipeline.from_yaml(place / f"{name}.yaml")
    return pipeline.run(local=True, processes=0, progress=False).table()


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
