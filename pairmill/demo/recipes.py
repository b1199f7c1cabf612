"""The caption recipes on the demo world, and what proves each of them.

    python -m pairmill.demo.recipes capsfusion [--rows 300] [--folder FOLDER]

Writes pictures and texts of the world, starts the oracle (no model: it answers from the truth, with
errors at known rates), runs the recipe in this process, and prints its figures.
"""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from pairmill.demo import proofs_merging  # noqa: F401 - proves recipes, too
from pairmill.demo.oracle import asking
from pairmill.demo.patches import OTHERS
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.proofs import PROOFS, Proof
from pairmill.demo.proofs_answers import ASKED
from pairmill.demo.quality import Measure
from pairmill.demo.show import MODELS, quality_table
from pairmill.demo.tables import chunks
from pairmill.demo.texts import DETAILED_PROMPT, FUSION_PROMPT, SHORT_PROMPT, short_caption
from pairmill.demo.world import World

FRAMES = 4
"""Pictures of a clip."""
RECIPES = Path(__file__).parent.parent.parent / "recipes"


def write_pictures(world: World, folder: Path) -> pl.DataFrame:
    """Writes `web/pairs.parquet` (image, url, text) with a row for each original picture of the
    world; gives the truth by url.
    """
    tables = [pa.concat_tables(part).combine_chunks() for part in zip(*chunks(world), strict=True)]
    seen, truth = (pl.from_arrow(table) for table in tables)
    assert isinstance(seen, pl.DataFrame)
    assert isinstance(truth, pl.DataFrame)
    originals = truth["copy"] == "original"
    images = [
        picture_bytes(world, world.row(i)) for i, own in enumerate(originals.to_list()) if own
    ]
    told = [name for name in ("page_text",) if name in seen.columns]
    pairs = seen.filter(originals).select(pl.Series("image", images), "url", "text", *told)
    (folder / "web").mkdir(parents=True, exist_ok=True)
    pq.write_table(pairs.to_arrow(), folder / "web/pairs.parquet")
    own = truth.filter(originals)
    write_clips(pairs, own, folder / "web")
    write_questions(world, pairs, folder / "web")
    return own


def write_questions(world: World, pairs: pl.DataFrame, folder: Path) -> None:
    """Writes `questions.parquet`: a question about each picture; every second one holds its answer
    (`leaky`).
    """
    scene_of = {row.url: row.scene for row in map(world.row, range(world.rows))}
    asked = []
    for i, url in enumerate(pairs["url"]):
        held = FUSION_PROMPT.format(text="photo", caption=short_caption(scene_of[url]))
        asked.append(held if i % 2 else (SHORT_PROMPT, DETAILED_PROMPT)[i // 2 % 2])
    leaky = [i % 2 == 1 for i in range(len(asked))]
    columns = {"question": pl.Series(asked), "leaky": pl.Series(leaky, dtype=pl.Boolean)}
    pq.write_table(pairs.with_columns(**columns).to_arrow(), folder / "questions.parquet")


def write_clips(pairs: pl.DataFrame, truth: pl.DataFrame, folder: Path) -> None:
    """Writes `clips.parquet`: each row has the pictures of FRAMES rows, one after the other, and
    the url of the first; and `clips_truth.parquet`, what all of them show.
    """
    frames = [pairs["image"].gather_every(FRAMES, i) for i in range(FRAMES)]
    count = len(frames[-1])
    columns = {
        f"frame_{i + 1}" if i else "image": frame.head(count) for i, frame in enumerate(frames)
    }
    first = pairs.gather_every(FRAMES).head(count)
    clips = first.select("url", pl.lit("").alias("text"), **columns)
    pq.write_table(clips.to_arrow(), folder / "clips.parquet")
    groups = truth.head(count * FRAMES).with_row_index("row")
    shown = groups.group_by(pl.col("row") // FRAMES, maintain_order=True).agg(
        pl.col("url").first(),
        *(pl.col(n).explode().alias(n) for n in ("kinds", "colours", "counts")),
    )
    shown.drop("row").write_parquet(folder / "clips_truth.parquet")


@contextlib.contextmanager
def served(world: World, **errors: float) -> Iterator[None]:
    """The oracle of a world, and the variables that the recipes name."""
    with asking(world.rows, world.seed, None, world.traits, **errors) as address:
        before = {name: os.environ.get(name) for name in ("ORACLE", "DEMO_MODELS")}
        os.environ.update(ORACLE=address, DEMO_MODELS=str(MODELS))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def run_recipe(name: str, folder: Path, truth: pl.DataFrame) -> list[Measure]:
    """Runs a recipe over the pictures in `folder`; gives what its proof measures.  `served` has to
    be around it.
    """
    return every_proof()[name](recipe_rows(name, folder, truth), folder / name)


def recipe_rows(name: str, folder: Path, truth: pl.DataFrame) -> pl.DataFrame:
    """Runs a recipe over the pictures in `folder`; gives its rows beside their truth."""
    from pairmill.api import Pipeline, silence_libraries

    silence_libraries()
    file = folder / f"{name}.yaml"
    copyfile(RECIPES / f"{name}.yaml", file)
    changes = {f"outputs.{i}.path": f"{name}/{i}" for i in range(outputs_of(file))}
    result = Pipeline.from_yaml(file, changes).run(local=True, console=Console(quiet=True))
    return result.table().join(truth, on="url", suffix="_true")


def every_proof() -> dict[str, Proof]:
    """Recipe → what proves it."""
    return PROOFS | OTHERS | ASKED


def outputs_of(file: Path) -> int:
    """How many outputs a recipe has."""
    from ruamel.yaml import YAML

    return len(YAML(typ="safe").load(file.read_text("utf-8"))["outputs"])


def main() -> None:
    """Runs recipes and prints their figures."""
    parser = argparse.ArgumentParser(description="Caption recipes on the demo world.")
    every = list(every_proof())
    parser.add_argument("names", nargs="*", default=list(PROOFS), help=", ".join(every))
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--things", type=int, default=0, help="fewest different things in a scene")
    parser.add_argument("--facts", type=float, default=0.5, help="share of pages that tell a fact")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recipes-") as temporary:
        folder = args.folder or Path(temporary)
        world = World(args.rows, args.seed, things=args.things, facts=args.facts)
        truth = write_pictures(world, folder)
        with served(world):
            for name in args.names:
                found = quality_table(run_recipe(name, folder, truth))
                found.title = f"{name}, {truth.height} pictures"
                Console().print(found)


if __name__ == "__main__":
    main()
