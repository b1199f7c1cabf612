"""Thousands of photograph-like JPEGs of 0.3 to 2 megapixels in a folder, and an nginx that serves
them on loopback.
"""

import contextlib
import io
import multiprocessing
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

CONFIG = """
worker_processes 1;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  types {{ image/jpeg jpg; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; root {pictures}; }}
}}
"""
_SOURCES: list[Image.Image] = []


def sources() -> list[Image.Image]:
    if not _SOURCES:
        from skimage import data
        from sklearn.datasets import load_sample_images

        arrays = (
            data.astronaut(),
            data.chelsea(),
            data.coffee(),
            data.rocket(),
            *load_sample_images().images,
        )
        _SOURCES.extend(Image.fromarray(a) for a in arrays)
    return _SOURCES


def picture(index: int) -> bytes:
    """A part of a real photograph at a web-like size; a function of `index`."""
    rng = random.Random(f"photo|{index}")
    source = rng.choice(sources())
    pixels, aspect = rng.uniform(0.3e6, 2e6), rng.uniform(0.7, 1.6)
    width = int((pixels * aspect) ** 0.5)
    height = int(width / aspect)
    share = rng.uniform(0.6, 1.0)
    crop_w = int(min(source.width, source.height * aspect) * share)
    crop_h = int(crop_w / aspect)
    x, y = rng.randint(0, source.width - crop_w), rng.randint(0, max(0, source.height - crop_h))
    part = source.crop((x, y, x + crop_w, y + crop_h)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    out = io.BytesIO()
    part.save(out, "JPEG", quality=rng.randint(55, 85))
    return out.getvalue()


def write_picture(job: tuple[Path, int]) -> int:
    folder, index = job
    file = folder / f"{index}.jpg"
    if not file.exists():
        file.write_bytes(picture(index))
    return file.stat().st_size


def write_pictures(folder: Path, count: int) -> float:
    """Mean size in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return (
            sum(pool.map(write_picture, [(folder, i) for i in range(count)], chunksize=50)) / count
        )


@contextlib.contextmanager
def nginx(pictures: Path, folder: Path) -> Iterator[tuple[int, list[int]]]:
    """(port, process ids)."""
    if not shutil.which("nginx"):
        raise SystemExit("this benchmark needs nginx: apt-get install nginx-light")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, pictures=pictures, port=port))
    process = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield port, [process.pid, *map(int, children)]
    finally:
        process.terminate()
        process.wait(10)
