"""A newcomer's first hour, played by a script: python benchmarks/new_user.py

Four kinds of input that a newcomer may have (a table, JSON Lines, a folder of pictures, tars) are
made anew; for each, the commands of docs/first-run.md are typed one after another.  What is printed:
commands, seconds until the package and the report stand, rows kept, and whether any command failed.
Installing is left out: `make demo` measures it.
"""

import csv
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

ROWS = 60


def pictures() -> list[tuple[bytes, str]]:
    """(JPEG, caption) of small drawings."""
    found = []
    for i in range(ROWS):
        colour = ("red", "green", "blue", "orange")[i % 4]
        image = Image.new("RGB", (200 + i, 180), "lightgrey")
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
    """Addresses and captions, nested."""
    rows = [{"image": {"url": f"http://nowhere.test/{i}.jpg"}, "alt": t}
            for i, (_, t) in enumerate(pictures())]  # fmt: skip
    (folder / "web.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return "web.jsonl"


def pictures_in_folders(folder: Path) -> str:
    """Pictures with a text file each."""
    (folder / "set").mkdir()
    for i, (data, text) in enumerate(pictures()):
        (folder / f"set/{i}.jpg").write_bytes(data)
        (folder / f"set/{i}.txt").write_text(text)
    return "set"


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
    "tar": tars,
}


def play(make: Callable[[Path], str]) -> tuple[int, float, int | None, list[str]]:
    """Commands, seconds, rows kept, and the commands that failed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = make(folder)
        commands = [
            ["init", "--from", source],
            ["validate", "pipeline.yaml"],
            ["run", "pipeline.yaml", "--limit", "20"],
            ["run", "pipeline.yaml"],
            ["inspect", "pipeline.yaml", "--columns", "text"],
            ["runs", "workspace"],
        ]
        start, failed = time.monotonic(), []
        for words in commands:
            done = subprocess.run(
                [sys.executable, "-m", "pairmill.cli", *words],
                cwd=folder,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                failed.append(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[-300:]}")
        seconds = time.monotonic() - start
        metrics = list(folder.glob("workspace/runs/*/metrics.json"))
        kept = max((json.loads(m.read_text())["funnel"]["kept"] for m in metrics), default=None)
        return len(commands), seconds, kept, failed


def main() -> None:
    """Plays all kinds and prints a table."""
    print("| input | commands | seconds | rows kept of 60 | failed |")
    print("| --- | ---: | ---: | ---: | --- |")
    for kind, make in KINDS.items():
        commands, seconds, kept, failed = play(make)
        print(f"| {kind} | {commands} | {seconds:.0f} | {kept} | {'; '.join(failed) or 'none'} |")


if __name__ == "__main__":
    main()
