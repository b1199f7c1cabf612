"""What stops a newcomer in the first hour names its remedy, and nothing else stands beside it."""

import io
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError, RunError
from pairmill.plan.proposal import propose
from pairmill.terminal.display import LiveWatcher
from tests.conftest import typed

PIPELINE = """
name: first
source: {type: pairs, path: pairs.csv}
stages:
  - {stage: download, retries: 0}
outputs: [{type: table, path: out}]
"""


def write(folder: Path, csv: str, pipeline: str = PIPELINE) -> Path:
    (folder / "pairs.csv").write_text(csv)
    (folder / "p.yaml").write_text(pipeline)
    return folder / "p.yaml"


def test_ones_own_address_names_the_key_that_allows_it(tmp_path: Path) -> None:
    rows = "".join(f"http://127.0.0.1:9/{i}.jpg,a cup\n" for i in range(25))
    file = write(tmp_path, f"url,text\n{rows}")
    with pytest.raises(RunError, match=r"no public address.*name it in `allow_private_hosts` of"):
        Pipeline.from_yaml(file).run(local=True, processes=1, progress=False)


@pytest.mark.parametrize(("sign", "spelt"), [(";", ";"), ("|", r"\|"), ("\t", r"\\t")])
def test_a_table_that_is_not_taken_apart_names_its_delimiter(
    tmp_path: Path, sign: str, spelt: str
) -> None:
    lines = [sign.join(words) + "\n" for words in (["url", "text"], ["a", "b", "c"], ["d"])]
    pipeline = PIPELINE.replace("pairs.csv}", "pairs.csv, delimiter: ','}")
    with pytest.raises(PipelineFileError, match=f'`delimiter: "{spelt}"`'):
        Pipeline.from_yaml(write(tmp_path, "".join(lines), pipeline))


def test_what_a_run_says_is_whole_outside_a_terminal() -> None:
    out = io.StringIO()
    watcher = LiveWatcher(Console(file=out, width=80))
    text = f"columns: text ← [bold]captions[0] of {'a_long_name,' * 10}"
    watcher.note(text)
    watcher.phase("phase 1: [red]", ["clip"], 1_000)
    assert out.getvalue().splitlines() == [text, "phase 1: [red]: 1,000 rows to decide"]


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40)).save(folder / name, "PNG")


def test_absolute_names_of_pictures_give_their_folder(tmp_path: Path) -> None:
    pictures(tmp_path, "photos/a/1.png", "photos/b/2.png")
    names = [f"{tmp_path}/photos/a/1.png", f"{tmp_path}/photos/b/2.png"]
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables/in.csv"
    table.write_text("image,text\n" + "".join(f"{name},a red cup\n" for name in names))
    assert propose(str(table)).keys["images"] == f"{tmp_path}/photos"
    said = typed("init", "--from", str(table), str(tmp_path / "p.yaml"))
    assert said.returncode == 0, said.stderr
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, progress=False)
    assert result.funnel.rows == 2
    assert result.funnel.steps[0].failed == 0
    beside = tmp_path / "in.csv"  # the folder of the table holds them: nothing is to be named
    beside.write_text(table.read_text())
    assert "images" not in propose(str(beside)).keys
    beside.write_text("image,text\n/usr/a.png,a cup\n/etc/b.png,a cup\n")
    assert "images" not in propose(str(beside)).keys  # nobody means the whole disk


def test_a_table_of_pictures_without_a_header_loses_no_row(tmp_path: Path) -> None:
    pictures(tmp_path, "1.png", "2.png")
    (tmp_path / "in.csv").write_text("1.png,a red cup\n2.png,a blue cup\n")
    assert propose(str(tmp_path / "in.csv")).keys["header"] is False


def test_names_of_files_without_a_suffix_are_no_addresses(tmp_path: Path) -> None:
    pictures(tmp_path, "files/1", "files/2")
    (tmp_path / "in.csv").write_text("image,text\nfiles/1,a red cup\nfiles/2,a cup\n")
    assert propose(str(tmp_path / "in.csv")).keys["image"] == "image"
    (tmp_path / "in.csv").write_text("url,text\na.test/1,a red cup\na.test/2,a cup\n")
    assert any("no address that begins with" in s for s in propose(f"{tmp_path}/in.csv").mapping)


def test_names_that_were_written_on_windows_are_read(tmp_path: Path) -> None:
    pictures(tmp_path, "files/1.png", "odd\\name.png")
    rows = "files\\1.png,a red cup\nodd\\name.png,a blue cup\n..\\1.png,outside\n"
    pipeline = PIPELINE.replace("pairs.csv", "pairs.csv, image: image")
    pipeline = pipeline.replace("  - {stage: download, retries: 0}", "  - stage: resolution")
    file = write(tmp_path, f"image,text\n{rows}", pipeline)
    result = Pipeline.from_yaml(file).run(local=True, progress=False)
    assert (result.funnel.kept, result.funnel.steps[0].failed) == (2, 1)


def test_what_is_near_to_what_was_meant_is_named(tmp_path: Path) -> None:
    pictures(tmp_path, "photos/1.png")
    write(tmp_path, "url,text\n")
    said = typed("run", str(tmp_path / "pp.yaml"))
    assert "did you mean p.yaml?" in said.stderr
    said = typed("run", str(tmp_path / "other.yaml"))
    assert "`pairmill init` writes a first one" in said.stderr
    said = typed("init", str(tmp_path / "pairs.csv"))
    assert f"pairmill init --from {tmp_path}/pairs.csv" in said.stderr
    with pytest.raises(PipelineFileError, match="`type: folder` reads pictures"):
        Pipeline.from_yaml(write(tmp_path, "", PIPELINE.replace("pairs.csv", "photos")))


def test_an_address_without_its_scheme_says_what_is_missing(tmp_path: Path) -> None:
    file = write(tmp_path, "url,text\na.test/1.jpg,a red cup\n")
    result = Pipeline.from_yaml(file).run(local=True, processes=0, progress=False)
    assert "https:// is missing" in result.rows([], fate="failed")["message"][0]


def test_a_pattern_in_a_folder_that_is_not_there_matches_no_file(tmp_path: Path) -> None:
    file = write(tmp_path, "", PIPELINE.replace("pairs.csv", "metadata/*.parquet"))
    with pytest.raises(PipelineFileError, match=r"metadata/\*\.parquet matches no file$"):
        Pipeline.from_yaml(file)


def test_columns_that_two_write_are_one_fault_with_the_likeliest_remedy(tmp_path: Path) -> None:
    pictures(tmp_path, "1.png")
    pipeline = PIPELINE.replace("pairs.csv", "pairs.csv, image: file")
    pipeline = pipeline.replace("outputs:", "  - {stage: sample, name: text}\noutputs:")
    file = write(tmp_path, "file,url,text\n1.png,,a\n", pipeline)
    with pytest.raises(PipelineFileError) as caught:
        Pipeline.from_yaml(file)
    said = [str(p) for p in caught.value.problems if "writes too" in str(p)]
    assert len(said) == 2
    assert "'image'" in said[0]
    assert "'sha256'" in said[0]
    assert "take it away if the source's own pictures are meant" in said[0]
    assert said[1].endswith("writes too; give the stage another `name:`")
