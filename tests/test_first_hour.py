"""What stops a newcomer in the first hour names its remedy, and nothing else stands beside it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError, RunError
from pairmill.terminal.display import LiveWatcher

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
