"""A newcomer's first hour, played by a script: python benchmarks/new_user.py [--fresh]

With `--fresh` pairmill is installed into an empty virtual environment first, by the commands of
docs/first-run.md, and everything is typed there.  Five kinds of input that a newcomer may have (a
table, JSON Lines, a folder of pictures, Parquet with bytes, tars) are made anew; for each, the
commands of docs/first-run.md are typed one after another in an empty folder.  What is printed:
commands and seconds until the package and the report stand, the slowest command, rows kept, and
every command that failed, or that gave no report.
"""

import argparse
import csv
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

ROWS = 60
PORT = 8642
ROOT = Path(__file__).parent.parent
FIRST = "run pipeline.yaml --limit 20"


def pictures() -> list[tuple[bytes, str]]:
    """(JPEG, caption) of small drawings."""
    found = []
    for i in range(ROWS):
        colour = ("red", "green", "blue", "orange")[i % 4]
        image = Image.new("RGB", (220 + i, 220), "lightgrey")
        ImageDraw.Draw(image).ellipse((20 + i, 20, 120 + i, 120), fill=colour)
        image.save(out := io.BytesIO(), "JPEG")
        found.append((out.getvalue(), f"a {colour} ball on a grey table, picture {i}"))
    return found


def table(folder: Path) -> str:
    """A CSV of strange column names, with semicolons, and pictures beside it."""
    (folder / "img").mkdir()
    with (folder / "photos.csv").open("w", newline="") as stream:
        lines = csv.writer(stream, delimiter=";")
        lines.writerow(["Datei", "Beschreibung", "Jahr"])
        for i, (data, text) in enumerate(pictures()):
            (folder / f"img/{i}.jpg").write_bytes(data)
            lines.writerow([f"img/{i}.jpg", text, 2000 + i % 20])
    return "photos.csv"


def json_lines(folder: Path) -> str:
    """Addresses on this machine within objects, and captions."""
    (folder / "web").mkdir()
    rows = []
    for i, (data, text) in enumerate(pictures()):
        (folder / f"web/{i}.jpg").write_bytes(data)
        rows.append(
            {"image": {"url": f"http://127.0.0.1:{PORT}/{folder.name}/web/{i}.jpg"}, "alt": text}
        )
    (folder / "web.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return "web.jsonl"


def pictures_in_folders(folder: Path) -> str:
    """Pictures with a text file each."""
    (folder / "set").mkdir()
    for i, (data, text) in enumerate(pictures()):
        (folder / f"set/{i}.jpg").write_bytes(data)
        (folder / f"set/{i}.txt").write_text(text)
    return "set"


def bytes_in_parquet(folder: Path) -> str:
    """Pictures as bytes in a column, and a text under a name that nobody knows."""
    images, texts = zip(*pictures(), strict=True)
    names = [f"k{i}" for i in range(ROWS)]
    columns = {"key": names, "jpg": list(images), "beschreibung": list(texts)}
    pq.write_table(pa.table(columns), folder / "pictures.parquet")
    return "pictures.parquet"


def tars(folder: Path) -> str:
    """A WebDataset shard."""
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for i, (data, text) in enumerate(pictures()):
            for name, content in ((f"{i:05}.jpg", data), (f"{i:05}.txt", text.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return "00000.tar"


KINDS: dict[str, Callable[[Path], str]] = {
    "CSV": table,
    "JSON Lines": json_lines,
    "folder": pictures_in_folders,
    "Parquet with bytes": bytes_in_parquet,
    "tar": tars,
}


COMMANDS = (
    "validate pipeline.yaml",
    "plan pipeline.yaml",
    "run pipeline.yaml --limit 20",
    "run pipeline.yaml",
    "inspect shards --verify",
    "inspect pipeline.yaml --columns text",
    "runs workspace",
)


@dataclass
class Played:
    """What came of one kind of input."""

    seconds: dict[str, float]
    kept: int | None
    failed: list[str]


def play(pairmill: list[str], make: Callable[[Path], str]) -> Played:
    """Types the commands in an empty folder.  `pairmill`: the command as words."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds: dict[str, float] = {}
        failed: list[str] = []

        def extra(line: str) -> list[str]:
            """The pictures of JSON Lines lie on this machine, which a run has to be told."""
            told = 'stages.download.allow_private_hosts=["127.0.0.1"]'
            here = make is json_lines and line.split()[0] in ("run", "plan", "validate")
            return ["--set", told] if here else []

        def typed(line: str) -> None:
            begun = time.monotonic()
            done = subprocess.run(
                [*pairmill, *line.split(), *extra(line)], cwd=folder, capture_output=True, text=True
            )
            seconds[line] = time.monotonic() - begun
            if done.returncode:
                failed.append(f"{line}: {(done.stderr or done.stdout).strip()[-300:]}")

        for line in (f"init --from {make(folder)}", *COMMANDS):
            typed(line)
        runs = sorted(folder.glob("workspace/runs/*"), key=lambda run: run.stat().st_mtime)
        if runs:
            typed(f"report {runs[-1].relative_to(folder)}")
        reports = [run for run in runs if (run / "report/index.html").exists()]
        failed += [] if reports else ["no report"]
        metrics = list(folder.glob("workspace/runs/*/metrics.json"))
        kept = max((json.loads(m.read_text())["funnel"]["kept"] for m in metrics), default=None)
        return Played(seconds, kept, failed)


def install(place: Path) -> tuple[list[str], dict[str, float]]:
    """pairmill in a virtual environment of its own: the command, and seconds by command typed."""
    pip = [str(place / "bin/python"), "-m", "pip", "install", "-q", "-c", "constraints.txt"]
    torch = next(
        line.split("+")[0]
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line.startswith("torch==")
    )
    seconds: dict[str, float] = {}
    for words in ([sys.executable, "-m", "venv", str(place)], [*pip, torch], [*pip, "."]):
        begun = time.monotonic()
        subprocess.run(words, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        shown = " ".join(words[1:] if words[1] == "-m" else words)
        seconds[shown.replace(str(place), "VENV")] = time.monotonic() - begun
    return [str(place / "bin/pairmill")], seconds


@contextmanager
def served() -> Iterator[None]:
    """The folder of temporary files, over HTTP."""
    handler = partial(QuietHandler, directory=tempfile.gettempdir())
    server = ThreadingHTTPServer(("127.0.0.1", PORT), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *args: object) -> None:
        pass


def main() -> None:
    """Plays all kinds and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="install into an empty environment")
    fresh = parser.parse_args().fresh
    with tempfile.TemporaryDirectory() as name, served():
        pairmill = [sys.executable, "-m", "pairmill"]
        if fresh:
            pairmill, seconds = install(Path(name))
            print(f"installing: {len(seconds)} commands, {sum(seconds.values()):.0f} s\n")
        print(
            "| input | commands | seconds | until the first package | slowest | rows kept of 60 | failed |"
        )
        print("| --- | ---: | ---: | ---: | --- | ---: | --- |")
        for kind, make in KINDS.items():
            found = play(pairmill, make)
            lines = list(found.seconds)
            first = sum(found.seconds[line] for line in lines[: lines.index(FIRST) + 1])
            slowest = max(lines, key=found.seconds.__getitem__)
            told = f"`{slowest.split()[0]}` {found.seconds[slowest]:.1f} s"
            cells = (
                kind, len(lines), f"{sum(found.seconds.values()):.0f}", f"{first:.0f}", told,
                found.kept, "; ".join(found.failed) or "none",
            )  # fmt: skip
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
