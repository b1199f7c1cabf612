"""The how-to pages, followed by a reader: what their blocks say is typed, in order, over small
data.  Names of large models stand for the demo's small ones, `A` and `B` for the runs there are.
"""

import json
import re
import runpy
import shlex
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pairmill.cli import app
from tests.conftest import CAPTIONER, CLIP

pytestmark = pytest.mark.slow
DOCS = Path(__file__).parent.parent / "docs"
MODELS = {"openai/clip-vit-": CLIP, "Qwen/": CAPTIONER}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody with a page before them and a folder of their own."""

    def __init__(self, page: str, folder: Path) -> None:
        self.folder = folder
        self.found = BLOCK.findall((DOCS / page).read_text())

    def blocks(self, *languages: str) -> list[str]:
        """The page's blocks in one of the languages; commands stand in blocks without one."""
        return [text for language, text in self.found if language in (languages or ("", "sh"))]

    def commands(self) -> list[str]:
        """Every command of the page, without what follows a `#`."""
        lines = "".join(self.blocks()).splitlines()
        return [" ".join(shlex.split(line, comments=True)) and line for line in lines if line]

    def write(self, number: int, name: str = "pipeline.yaml", **more: Any) -> None:
        """Puts the page's pipeline of that number into a file; `more`: what the page leaves out."""
        value = YAML(typ="safe").load(self.blocks("yaml")[number])
        value = {"stages": value} if isinstance(value, list) else value
        text = json.dumps({"name": "page", "workspace": "workspace", **more, **value})
        (self.folder / name).write_text(with_small_models(text))

    def types(self, line: str, code: int = 0) -> str:
        """Types a command; gives what it prints."""
        words = shlex.split(line, comments=True)
        if words[0] == "cp":
            shutil.copy(self.folder / words[1], self.folder / words[2])
            return ""
        assert words[0] == "pairmill", line
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == code, (line, done.output, done.exception)
        return done.output

    def runs(self) -> list[str]:
        """The folders of the runs, the oldest first."""
        found = self.folder.glob("workspace/runs/*")
        return [
            str(f.relative_to(self.folder)) for f in sorted(found, key=lambda f: f.stat().st_ctime)
        ]


def with_small_models(text: str) -> str:
    """A pipeline or a script with the demo's models in place of those that it names."""
    for start, model in MODELS.items():
        text = re.sub(rf'"{start}[^"]*"', json.dumps(model), text)
    return text


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, in which commands are typed."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def crawl(here: Path, pictures: list[tuple[bytes, str]]) -> pl.DataFrame:
    """24 pictures, a third of them under the text of another."""
    texts = [pictures[i if i % 3 else (i + 7) % 40][1] for i in range(24)]
    return pl.DataFrame(
        {
            "uid": [f"{i:032x}" for i in range(24)],
            "image": [pictures[i][0] for i in range(24)],
            "text": texts,
            "url": [f"http://a.test/{i}.jpg" for i in range(24)],
            "level": ["easy", "hard", "other"] * 8,
        }
    )


def test_first_run(here: Path, crawl: pl.DataFrame) -> None:
    reader = Reader("first-run.md", here)
    lines = ["file,description"]
    for i, (image, text) in enumerate(crawl.select("image", "text").iter_rows()):
        (here / f"{i}.jpg").write_bytes(image)
        lines.append(f"{i}.jpg,{text}")
    (here / "photos.csv").write_text("\n".join(lines) + "\n")
    pip, init, run, *looks, changed = reader.commands()
    assert pip.startswith("pip install")
    assert "text ← description" in reader.types(init)
    assert "package:" in reader.types(run)
    for look in looks:
        reader.types(look)
    reader.types(changed, code=2)  # asks, where somebody is there to answer
    reader.types(f"{changed} --replace")
    assert "source" in reader.types(run.replace("--limit 100", "--replace"))


def test_thresholds(here: Path, crawl: pl.DataFrame) -> None:
    reader = Reader("thresholds.md", here)
    crawl.write_parquet(here / "in.parquet")
    reader.write(
        0,
        source={"type": "parquet", "path": "in.parquet"},
        outputs=[{"type": "webdataset", "path": "shards"}],
    )
    stricter, runs, compare, rows = reader.commands()
    reader.types("pairmill run pipeline.yaml")
    reader.types(stricter, code=2)
    reader.types(f"{stricter} --replace")
    first, second = reader.runs()
    names = {"workspace/runs/A": second, "workspace/runs/B": first}
    told = reader.types(runs)
    assert first.split("/")[-1] in told
    assert second.split("/")[-1] in told
    for name, folder in names.items():
        compare, rows = compare.replace(name, folder), rows.replace(name, folder)
    page = reader.types(compare.replace(" --open", "")).strip().splitlines()[-1]
    assert "against" in page
    reader.types(rows)
    reader.types(f"pairmill inspect {second} --columns clip_score --to every.csv")
    scores = pl.read_csv(here / "every.csv")["clip_score"]
    near = [s for s in scores.to_list() if 0.25 < s < 0.28]
    assert pl.read_csv(here / "near.csv").height == len(near)
    assert 0 < scores.filter(scores < 0.28).len() < 24


def test_data_that_grows(here: Path, crawl: pl.DataFrame) -> None:
    reader = Reader("growing-data.md", here)
    (here / "metadata").mkdir()
    crawl[:16].write_parquet(here / "metadata/first.parquet")
    crawl[10:].write_parquet(here / "crawl-2026-11.parquet")
    (here / "pipeline.yaml").write_text(
        json.dumps(
            {
                "name": "grown",
                "workspace": "workspace",
                "source": {"type": "parquet", "path": "metadata"},
                "stages": [{"stage": "text_rules"}, {"stage": "dedup", "on": ["sha256"]}],
                "outputs": [{"type": "parquet", "path": "out"}],
            }
        )
    )
    copy, plan, run = reader.commands()
    reader.types(run)
    reader.types(copy)
    reader.types(plan)
    told = reader.types(run)
    assert re.search(r"16 rows known, \d+ new", told)
    reader.types("pairmill workspace workspace")
    reader.types("pairmill gc workspace")


def test_many_packages_and_a_curriculum(here: Path, crawl: pl.DataFrame) -> None:
    reader = Reader("selections.md", here)
    crawl.write_parquet(here / "in.parquet")
    source = {"type": "parquet", "path": "in.parquet"}
    clip = {"stage": "clip", "model": CLIP}
    stages = [{"stage": "language"}, {"stage": "dedup", "on": ["sha256"]}, clip]
    reader.write(0, source=source, stages=stages)
    told = reader.types("pairmill run pipeline.yaml")
    assert told.count("package:") == 4
    levels = pl.read_parquet(here / "curriculum/data/*.parquet")["level"].to_list()
    assert levels == sorted(levels)
    second = Reader("selections.md", here)
    page = YAML(typ="safe").load(second.blocks("yaml")[1])
    united = {"pairs": source, "documents": {**source, "path": "other.parquet"}}
    crawl.with_columns(uid="x" + pl.col("uid")).write_parquet(here / "other.parquet")
    second.write(1, source=united)
    value = json.loads((here / "pipeline.yaml").read_text())
    value["stages"] = [{"stage": "language"}, clip, *page["stages"]]
    (here / "pipeline.yaml").write_text(json.dumps(value))
    second.types("pairmill run pipeline.yaml")
    for name in ("stage-1", "stage-2"):
        shares = json.loads((here / name / "manifest.json").read_text())["selection"]["mixture"]
        assert shares


def test_auditing(here: Path, crawl: pl.DataFrame) -> None:
    reader = Reader("auditing.md", here)
    (here / "make.yaml").write_text(
        json.dumps(
            {
                "name": "made",
                "workspace": "made",
                "source": {"type": "parquet", "path": "in.parquet"},
                "stages": [],
                "outputs": [{"type": "webdataset", "path": "crawl"}],
            }
        )
    )
    crawl.write_parquet(here / "in.parquet")
    reader.types("pairmill run make.yaml")
    reader.write(0, "audit.yaml")
    code = reader.blocks("python")[0]
    (here / "look.py").write_text(code)
    found = runpy.run_path(str(here / "look.py"))
    assert found["rows"].height == 24


def test_training_on_a_package(here: Path, crawl: pl.DataFrame) -> None:
    crawl.write_parquet(here / "in.parquet")
    (here / "p.yaml").write_text(
        "name: trained\nsource: {type: parquet, path: in.parquet}\n"
        "outputs: [{type: webdataset, path: shards, samples_per_shard: 10}]\n"
    )
    reader = Reader("consumers.md", here)
    reader.types("pairmill run p.yaml")
    (here / "train.py").write_text(with_small_models(reader.blocks("python")[0]))
    losses = runpy.run_path(str(here / "train.py"))["losses"]
    assert len(losses) == 1
    assert 0 < losses[0] < 10


def test_tiles_and_sentences(here: Path, crawl: pl.DataFrame) -> None:
    reader = Reader("elements.md", here)
    crawl[:4].write_parquet(here / "in.parquet")
    reader.write(0, source={"type": "parquet", "path": "in.parquet"})
    told = reader.types("pairmill run pipeline.yaml --set stages.merged.max_new_tokens=8")
    assert told.count("package:") == 2
    parts = pl.read_parquet(here / "parts/*.parquet")
    assert parts["caption"].null_count() == 0


def test_stages_of_ones_own(here: Path, crawl: pl.DataFrame) -> None:
    reader = Reader("own-stages.md", here)
    crawl.write_parquet(here / "in.parquet")
    for name, code in zip(("resembles", "top_fraction"), reader.blocks("python"), strict=False):
        (here / f"{name}.py").write_text(code)
    reader.write(0, source={"type": "parquet", "path": "in.parquet"})
    value = json.loads((here / "pipeline.yaml").read_text())
    del value["stages"][0]["keep"]  # of the drawn pictures none looks like a photo
    value["stages"] += YAML(typ="safe").load(reader.blocks("yaml")[1])["stages"]
    (here / "pipeline.yaml").write_text(json.dumps(value))
    reader.types("pairmill validate pipeline.yaml")
    told = reader.types("pairmill run pipeline.yaml")
    assert "24 rows in, 7 kept" in told
