"""What pairmill costs beside the work itself: CPU seconds against a bare loop over the same stages.

    python benchmarks/overhead.py [--rows 20000]

Both download from one local server, apply text rules and language, and score with the demo's CLIP.
The loop calls the stages in one process; pairmill runs the pipeline as it does on one machine.
CPU time is that of the whole machine (nothing else may run), less the server's; a run over few rows
is taken off, so that start-up stays apart.
"""

import argparse
import contextlib
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import Cost, measured

CLIP = Path(__file__).parent.parent / "pairmill/demo/models/clip"
FEW = 256
BATCH = 256
PIPELINE = """
name: overhead
source: {{type: pairs, path: {csv}, rows_per_shard: 1024}}
stages:
  - {{stage: text_rules}}
  - {{stage: language}}
  - stage: download
    resolve: {{"pictures.test": "127.0.0.1:{port}"}}
    host_connections: 64
    batch_size: {batch}
    resources: {{replicas: 1}}
  - stage: clip
    model: {clip}
    batch_size: 64
    resources: {{replicas: 1}}
"""
LOOP = """
import csv, sys
import pyarrow as pa
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.filters.language import LanguageConfig, LanguageStage
from pairmill.filters.text_rules import TextRulesConfig, TextRulesStage
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.stage import DownloadStage
file, port, clip, batch = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
rules, language = TextRulesStage(TextRulesConfig()), LanguageStage(LanguageConfig())
score = ClipStage(ClipConfig(model=clip))
config = DownloadConfig(resolve={"pictures.test": f"127.0.0.1:{port}"}, host_connections=64)
fetch = DownloadStage(config)
for stage in (rules, language, fetch, score):
    stage.setup()
rows = list(csv.DictReader(open(file)))
done = 0
for first in range(0, len(rows), batch):
    part = rows[first:first + batch]
    table = pa.table({"url": [r["url"] for r in part], "text": [r["text"] for r in part]})
    rules(table), language(table)
    images = fetch(table)
    table = table.append_column("image", images["image"])
    for at in range(0, len(part), 64):
        done += score(table.slice(at, 64))["clip_score"].null_count == 0
assert done == sum(-(-len(rows[f:f + batch]) // 64) for f in range(0, len(rows), batch))
"""


@contextlib.contextmanager
def server() -> Iterator[tuple[int, int]]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "picture_server.py")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.terminate()
        process.wait()


def write_rows(folder: Path, rows: int) -> Path:
    file = folder / f"{rows}.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["url", "text"])
        writer.writerows(
            [f"http://pictures.test/{i}.jpg", f"a photo of picture number {i} on a sunny day"]
            for i in range(rows)
        )
    return file


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    args = parser.parse_args()
    found: dict[str, list[Cost]] = {"loop": [], "pairmill": []}
    with tempfile.TemporaryDirectory() as name, server() as (port, pid):
        folder = Path(name)
        for rows in (FEW, args.rows):
            file = write_rows(folder, rows)
            run_folder = folder / f"run{rows}"
            run_folder.mkdir()
            pipeline = run_folder / "pipeline.yaml"
            pipeline.write_text(PIPELINE.format(csv=file, port=port, clip=CLIP, batch=BATCH))
            loop = [sys.executable, "-c", LOOP, str(file), str(port), str(CLIP), str(BATCH)]
            ours = [sys.executable, "-m", "pairmill", "run", str(pipeline)]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
            found["loop"].append(measured(lambda c=loop, q=quiet: subprocess.run(c, **q), [pid]))
            found["pairmill"].append(
                measured(lambda c=ours, q=quiet: subprocess.run(c, **q), [pid])
            )
    net = {who: many.less(few) for who, (few, many) in found.items()}
    for who, (few, many) in found.items():
        print(
            f"{who:9} {FEW} rows: {few.cpu_s:.1f} CPU s, {few.wall_s:.1f} s; "
            f"{args.rows} rows: {many.cpu_s:.1f} CPU s, {many.wall_s:.1f} s"
        )
    print(
        "CPU beside start-up, pairmill / loop: "
        f"{net['pairmill'].cpu_s / net['loop'].cpu_s:.3f} (goal: at most 1.25)"
    )
    print(
        f"wall beside start-up, pairmill / loop: {net['pairmill'].wall_s / net['loop'].wall_s:.3f}"
    )


if __name__ == "__main__":
    main()
