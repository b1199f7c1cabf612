"""Commands whose output goes where it does not fit, or that are stopped before they work."""

import contextlib
import io
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pairmill.cli import app
from pairmill.terminal.display import LiveWatcher
from pairmill.work.crew_member import CrewMember, MemberJob

pytestmark = pytest.mark.slow
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
PIPELINE = """name: strange
source: {type: pairs, path: in.csv, columns: {text: Größe}}
stages: [{stage: language}]
outputs: [{type: table, path: out, format: jsonl}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = "".join(f"http://a.test/{i},Straße ☃ 北京 {i}\n" for i in range(3))
    (tmp_path / "in.csv").write_text("url,Größe\n" + rows, "utf-8")
    (tmp_path / "p.yaml").write_text(PIPELINE, "utf-8")
    return tmp_path / "p.yaml"


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", "from pairmill.cli import app; app()", *map(str, words)]


def test_terminal_without_the_letters_loses_letters_and_no_run(file: Path) -> None:
    def types(*words: object) -> str:
        done = subprocess.run(
            command(*words), env={**os.environ, **ASCII}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return (done.stdout + done.stderr).decode("ascii")

    assert "columns: text ? Gr??e, url ? url" in types("run", file)
    (package,) = (file.parent / "out").rglob("*.jsonl")
    first = json.loads(package.read_text("utf-8").splitlines()[0])
    assert first["text"].startswith("Straße ☃ 北京")
    shown = types("inspect", file, "--fate", "kept", "--columns", "text", "--json")
    assert json.loads(shown)["first"][0]["text"].startswith("Straße ☃ 北京")


def test_full_output_and_ctrl_c_before_work_are_a_line_each(file: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("stages"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "No space left" in done.stderr
    pipe = file.parent / "pipe.yaml"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        command("validate", pipe), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with open(pipe, "w"):  # it is open from there on, and waits for what is written
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert (said.strip(), process.returncode) == ("stopped", 130)


def test_report_that_cannot_be_written_is_a_warning(file: Path) -> None:
    typed = ["run", str(file), "--processes", "0"]
    assert CliRunner().invoke(app, typed).exit_code == 0
    (report,) = (file.parent / "workspace/runs").glob("*/report")
    for part in report.iterdir():
        part.unlink()
    report.rmdir()
    report.write_text("a file in its place")
    again = CliRunner().invoke(app, [*typed, "--strict"])
    assert again.exit_code == 1
    assert "warning: the report could not be written" in again.output
    report.unlink()
    assert CliRunner().invoke(app, [*typed, "--strict"]).exit_code == 0


def test_first_pipeline_file_that_cannot_be_written_is_a_fault_of_the_command(file: Path) -> None:
    where = file.parent / "nowhere/p.yaml"
    done = CliRunner().invoke(app, ["init", "--from", str(file.parent / "in.csv"), str(where)])
    assert done.exit_code == 2


def test_traceback_of_a_defect_shows_no_secret(file: Path) -> None:
    defect = (
        "from pairmill.cli import app\n"
        "@app.command()\n"
        "def breaks(): raise ValueError('api_key=' + 'sk-' + 'a1b2c3d4' * 6)\n"
        "app()"
    )
    done = subprocess.run(
        [sys.executable, "-c", defect, "breaks"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    assert "a1b2c3d4" not in done.stderr


def test_worker_whose_log_is_full_tells_the_driver_all_the_same() -> None:
    """Else the driver waits for ever for what has failed."""
    ours, theirs = multiprocessing.Pipe()
    job = MemberJob(CrewMember(theirs), 1, pickle.dumps(int), threads=1, alone=True)
    full = open("/dev/full", "w", buffering=1)
    with contextlib.redirect_stderr(full):
        job.items.put((7, "no number"))
        assert ours.poll(20)
        kind, ticket, *told = pickle.loads(ours.recv_bytes())
    with contextlib.suppress(OSError):
        full.close()
    assert (kind, ticket, told[0]) == ("failed", 7, "RunError")
    assert "no number" in told[1]


def test_terminal_that_cannot_move_its_cursor_is_told_line_by_line() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, _environ={"TERM": "dumb"})
    LiveWatcher(console).note("writing webdataset to out")
    assert "writing webdataset to out" in out.getvalue()
