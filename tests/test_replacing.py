"""A package is not written over by other settings unless somebody said so."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pairmill.api import Pipeline
from pairmill.cli import app
from pairmill.cluster.jobs import JobRequest
from pairmill.errors import WouldReplace
from pairmill.packages.manifest import MANIFEST, read_manifest
from pairmill.pipeline.run import Runner
from pairmill.pipeline.watcher import Watcher
from pairmill.workspace.storage import Storage

FILE = """
name: words
source: {type: pairs, path: "rows*.csv", set: {token: abc}}  # hidden in what is stored
report: none
stages:
  - {stage: text_rules, keep: text_words > 2}
  - {stage: sample, keep: sample < 0.9}
outputs:
  - {type: table, path: out, after: text_rules}
"""


def write(place: Path, texts: list[str]) -> None:
    lines = (f"http://a.test/{place.stem}/{i},{text}\n" for i, text in enumerate(texts))
    place.write_text("url,text\n" + "".join(lines))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    texts = ["one", "two words", "three words here", "four words are here", "a b c d e"]
    write(tmp_path / "rows1.csv", texts)
    (tmp_path / "p.yaml").write_text(FILE)
    return tmp_path / "p.yaml"


def run(file: Path, *options: str) -> tuple[int, str]:
    """Exit code and what was said; nobody sits at the terminal."""
    found = CliRunner().invoke(
        app, ["run", str(file), "--processes", "0", "--local", *options], env={"COLUMNS": "300"}
    )
    return found.exit_code, found.output


def samples(file: Path) -> int:
    return read_manifest(Storage(str(file.parent / "out")))["samples"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "limit", "said"),
    [
        ("stages.text_rules.keep=text_words > 3", None, "'text_words > 2', now 'text_words > 3'"),
        ("seed=7", None, "seed: 0, now 7"),
        ("outputs.0.samples_per_shard=2", None, "outputs.samples_per_shard: 1000000, now 2"),
        ("outputs.0.after=source", None, "outputs.after: 'text_rules', now 'source'"),
        ("", 2, "5 rows were read, now --limit 2"),
    ],
)
def test_other_settings_replace_a_package_only_when_told_to(
    file: Path, change: str, limit: int | None, said: str
) -> None:
    options = ["--set", change] if change else ["--limit", str(limit)]
    assert run(file)[0] == 0
    before = sorted((p.name, p.stat().st_mtime_ns) for p in (file.parent / "out").iterdir())
    overrides = dict([change.split("=", 1)]) if change else {}
    (line,) = Pipeline.from_yaml(file, overrides).replaces(limit)
    assert f"{file.parent}/out holds a package of 3 samples" in line
    assert said in line
    assert run(file, *options)[0] == 2
    assert before == sorted((p.name, p.stat().st_mtime_ns) for p in (file.parent / "out").iterdir())
    assert run(file, *options, "--replace")[0] == 0
    assert run(file, *options)[0] == 0, "now they are the same"


def test_a_package_of_no_sample_is_written_over_unasked(file: Path) -> None:
    """What came of a gate that was too tight."""
    assert run(file, "--set", "stages.text_rules.keep=text_words > 99")[0] == 0
    assert samples(file) == 0
    assert run(file)[0] == 0
    assert samples(file) == 3


@pytest.mark.slow
def test_a_person_at_a_terminal_is_asked(file: Path) -> None:
    assert run(file)[0] == 0
    words = [sys.executable, "-m", "pairmill.cli", "run", str(file), "--processes", "0"]
    words += ["--set", "stages.text_rules.keep=text_words > 3"]
    for answer, code, left in ((b"n\n", 1, 3), (b"y\n", 0, 2)):
        leader, terminal = pty.openpty()
        with subprocess.Popen(words, stdin=terminal, stderr=subprocess.PIPE) as asked:
            os.write(leader, answer)
            _, said = asked.communicate(timeout=300)
        os.close(leader)
        os.close(terminal)
        assert b"Write over it? [y/N]" in said
        assert (asked.returncode, samples(file)) == (code, left)


def test_more_input_other_speed_and_later_stages_ask_nothing(file: Path) -> None:
    assert run(file, "--limit", "3")[0] == 0
    assert samples(file) == 1
    assert run(file)[0] == 0, "the rest after a try"
    write(file.parent / "rows2.csv", ["one more row", "no"])
    text = FILE.replace("sample < 0.9", "sample < 0.5").replace("> 2}", ">  2,  on_missing: drop}")
    file.write_text(text.replace("after:", "shuffle: true, overwrite: false, after:"))
    assert run(file, "--set", "stages.text_rules.batch_size=2")[0] == 0
    assert samples(file) == 4


def test_a_folder_that_moved_holds_the_same_package(file: Path, tmp_path: Path) -> None:
    assert run(file)[0] == 0
    there = file.parent.parent / f"{tmp_path.name}-moved"
    file.parent.rename(there)
    assert run(there / "p.yaml")[0] == 0
    there.rename(file.parent)


def test_a_threshold_that_a_variable_holds_counts_by_its_value(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(FILE.replace("text_words > 2", "'text_words > ${LEAST_WORDS}'"))
    monkeypatch.setenv("LEAST_WORDS", "2")
    assert run(file)[0] == 0
    assert run(file)[0] == 0
    monkeypatch.setenv("LEAST_WORDS", "3")
    assert run(file)[0] == 2


def test_overwrite_in_the_file_is_asked_nothing(file: Path) -> None:
    assert run(file)[0] == 0
    file.write_text(FILE.replace("> 2", "> 3").replace("path: out", "path: out, overwrite: true"))
    assert run(file)[0] == 0
    assert samples(file) == 2


def test_python_is_refused_alike(file: Path) -> None:
    assert run(file)[0] == 0
    other = Pipeline.from_yaml(file, {"stages.text_rules.keep": "text_words > 3"})
    with pytest.raises(WouldReplace, match="text_words > 3"):
        other.run(local=True, processes=0, progress=False)
    other.run(local=True, processes=0, progress=False, replace=True)
    assert samples(file) == 2


def test_a_manifest_whose_pipeline_is_unreadable_counts_as_other_settings(file: Path) -> None:
    assert run(file)[0] == 0
    place = file.parent / "out" / MANIFEST
    place.write_text(place.read_text().replace('"name: words', '"[name: words').replace(
        '"\\nname: words', '"[\\nname: words'))  # fmt: skip
    assert run(file)[0] == 2
    assert run(file, "--replace")[0] == 0


def test_a_job_carries_the_permission() -> None:
    assert "--replace" in JobRequest(Path("p.yaml"), replace=True).entrypoint()
    assert "--replace" not in JobRequest(Path("p.yaml")).entrypoint()


class Meanwhile(Watcher):
    """While a run works, another one, of other settings, ends."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def phase(self, title: str, stages: list[str], rows: int) -> None:
        other = {"stages.text_rules.keep": "text_words > 3", "workspace": "other"}
        Pipeline.from_yaml(self.file, other).run(local=True, processes=0, progress=False)


def test_package_that_another_run_made_meanwhile_is_not_written_over(file: Path) -> None:
    mine = Pipeline.from_yaml(file)
    with pytest.raises(WouldReplace, match="now 'text_words > 2'"):
        Runner(mine.checked, mine.text, Meanwhile(file), [], local=True).run()
    assert samples(file) == 2
