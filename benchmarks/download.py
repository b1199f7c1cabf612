"""pairmill's download against img2dataset's: the same list, the same server, the same output, in
turn and in one go.

    python benchmarks/download.py --peer PYTHON [--rows 9000]

`--peer` is the interpreter of an environment with `pip install img2dataset` (it pins an old
webdataset, so it gets one of its own).  Both write WebDataset tars of 256 px JPEGs (keep_ratio,
quality 95) from an nginx on loopback.  CPU is that of the whole machine less nginx's; start-up is a
run over few rows, taken off in the second table.  `pairmill` is `run --local`, one machine as
img2dataset's own default, and `pairmill-ray` the same on a Ray that it starts, both with shards of
250 rows: memory is in proportion to them.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from measuring import Cost, machine, measured
from photo_web import nginx, write_pictures
from PIL import Image

PICTURES = 3000
FEW = 100
WHO = ("img2dataset", "pairmill", "pairmill-ray")
PIPELINE = """
name: download
source: {{type: pairs, path: {list}, rows_per_shard: 250}}
stages:
  - stage: download
    image_size: 256
    encode_quality: 95
    skip_reencode: false
    host_connections: 128
    allow_private_hosts: [127.0.0.1]
outputs:
  - {{type: webdataset, path: {out}, samples_per_shard: 1000}}
"""
PEER = """
import sys
from img2dataset import download
if __name__ == "__main__":
    download(url_list=sys.argv[1], output_folder=sys.argv[2], input_format="parquet",
             url_col="url", caption_col="text",
             output_format="webdataset", image_size=256, resize_mode="keep_ratio",
             encode_quality=95, processes_count=2,
             thread_count=64, number_sample_per_shard=1000, enable_wandb=False,
             disallowed_header_directives=[])
"""


def write_list(folder: Path, rows: int, port: int) -> Path:
    file = folder / f"list{rows}.parquet"
    urls = [f"http://127.0.0.1:{port}/{i % PICTURES}.jpg?row={i}" for i in range(rows)]
    pl.DataFrame({"url": urls, "text": [f"picture number {i}" for i in range(rows)]}).write_parquet(
        file
    )
    return file


def images(folder: Path) -> dict[str, bytes]:
    found = {}
    for file in sorted(folder.glob("*.tar")):
        with tarfile.open(file) as tar:
            parts: dict[str, dict[str, bytes]] = {}
            for member in tar:
                key, _, kind = member.name.partition(".")
                parts.setdefault(key, {})[kind] = tar.extractfile(member).read()
            found |= {json.loads(p["json"])["url"]: p["jpg"] for p in parts.values()}
    return found


def psnr_db(a: bytes, b: bytes) -> float:
    left, right = (np.asarray(Image.open(io.BytesIO(x)).convert("RGB"), np.float64) for x in (a, b))
    return (
        float("nan")
        if left.shape != right.shape
        else 10 * np.log10(255**2 / max(1e-9, np.mean((left - right) ** 2)))
    )


def run(folder: Path, rows: int, port: int, servers: list[int], peer: str) -> dict[str, Cost]:
    file, found = write_list(folder, rows, port), {}
    for who in WHO:
        own = folder / f"{who}{rows}"
        own.mkdir()
        (own / "pipeline.yaml").write_text(PIPELINE.format(list=file, out=own / "out"))
        command = {
            "img2dataset": [peer, "-c", PEER, str(file), str(own / "out")],
            "pairmill": [
                sys.executable,
                "-m",
                "pairmill",
                "run",
                "--local",
                str(own / "pipeline.yaml"),
            ],
            "pairmill-ray": [
                sys.executable,
                "-m",
                "pairmill",
                "run",
                "--ray",
                str(own / "pipeline.yaml"),
            ],
        }[who]
        with (own / "log").open("w") as log:
            found[who] = measured(
                lambda c=command, o=log: subprocess.run(c, check=True, stdout=o, stderr=o), servers
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True)
    parser.add_argument("--rows", type=int, default=9000)
    parser.add_argument("--pictures", type=Path, help="folder that keeps the pictures between runs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        pictures = (args.pictures or folder / "pictures").absolute()
        mean = write_pictures(pictures, PICTURES)
        print(f"{machine()}; {PICTURES} JPEGs, {mean / 1000:.0f} KB on average; {args.rows} rows")
        with nginx(pictures, folder) as (port, servers):
            few = run(folder, FEW, port, servers, args.peer)
            many = run(folder, args.rows, port, servers, args.peer)
        table("start-up included", many, args.rows)
        table("beside start-up", {w: many[w].less(few[w]) for w in many}, args.rows - FEW)
        theirs, ours = (
            images(folder / f"{who}{args.rows}/out") for who in ("img2dataset", "pairmill")
        )
        print(f"images: img2dataset {len(theirs)}, pairmill {len(ours)}")
        sample = sorted(theirs.keys() & ours.keys())[:: max(1, args.rows // 1000)]
        values = np.array([psnr_db(theirs[u], ours[u]) for u in sample])
        print(
            f"PSNR over {len(sample)}: median {np.median(values):.1f} dB, least "
            f"{values.min():.1f} dB (stated tolerance: 40 and 29)"
        )


def table(title: str, costs: dict[str, Cost], rows: int) -> None:
    print(f"\n{title}\n{'':14} images/s  images/CPU-s  CPU s   wall s  peak MB")
    for who, c in costs.items():
        print(
            f"{who:14} {rows / c.wall_s:8.0f}  {rows / c.cpu_s:12.0f}  {c.cpu_s:5.1f}  "
            f"{c.wall_s:6.1f}  {c.peak_mb:7.0f}"
        )
    for who in WHO[1:]:
        a, b = costs[who], costs["img2dataset"]
        print(
            f"{who} / img2dataset: images/s {b.wall_s / a.wall_s:.2f}, images/CPU-s "
            f"{b.cpu_s / a.cpu_s:.2f} (goal: 2.0), memory {a.peak_mb / b.peak_mb:.1f}"
        )


if __name__ == "__main__":
    main()
