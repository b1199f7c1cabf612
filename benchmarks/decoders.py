"""Ways to make a 256 px JPEG of a larger one: CPU time and distance from img2dataset's own way
(full decode, INTER_AREA).

    pip install simplejpeg pyvips[binary]        # optional candidates
    python benchmarks/decoders.py [--pictures 300]

PSNR is over the resized pixels, before they are encoded again.  pairmill's way is the row
`pairmill`.
"""

import argparse
import io
import time
from collections.abc import Callable

import cv2
import numpy as np
from measuring import machine
from photo_web import picture
from PIL import Image

from pairmill.stages.download.imaging import bilinear

SIDE = 256
Way = Callable[[bytes], np.ndarray]


def size_for(width: int, height: int) -> tuple[int, int]:
    scale = SIDE / min(width, height)
    return round(width * scale), round(height * scale)


def full_area(data: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.resize(
        pixels, size_for(pixels.shape[1], pixels.shape[0]), interpolation=cv2.INTER_AREA
    )[:, :, ::-1]


def reduced_area(data: bytes) -> np.ndarray:
    width, height = Image.open(io.BytesIO(data)).size
    target = size_for(width, height)
    step = width / target[0]
    flag = (
        cv2.IMREAD_REDUCED_COLOR_4
        if step >= 4
        else cv2.IMREAD_REDUCED_COLOR_2
        if step >= 2
        else cv2.IMREAD_COLOR
    )
    return cv2.resize(
        cv2.imdecode(np.frombuffer(data, np.uint8), flag), target, interpolation=cv2.INTER_AREA
    )[:, :, ::-1]


def draft(data: bytes) -> tuple[Image.Image, tuple[int, int], tuple[float, float]]:
    image = Image.open(io.BytesIO(data))
    width, height = image.size
    target = size_for(width, height)
    image.draft("RGB", target)
    shrunk = round(width / image.width)
    return image, target, (width / shrunk, height / shrunk)


def pillow(window: Image.Resampling) -> Way:
    def way(data: bytes) -> np.ndarray:
        image, target, exact = draft(data)
        return np.asarray(image.resize(target, window, box=(0, 0, *exact)))

    return way


def ours(data: bytes) -> np.ndarray:
    image, target, exact = draft(data)
    return np.asarray(
        bilinear(image.convert("RGB"), target, (exact[0] / target[0], exact[1] / target[1]))
    )


def simplejpeg_area(data: bytes) -> np.ndarray:
    import simplejpeg

    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    target = size_for(width, height)
    pixels = simplejpeg.decode_jpeg(
        data, "RGB", fastdct=True, fastupsample=True, min_width=target[0], min_height=target[1]
    )
    return (
        pixels
        if pixels.shape[1::-1] == target
        else cv2.resize(pixels, target, interpolation=cv2.INTER_AREA)
    )


def vips(data: bytes) -> np.ndarray:
    import pyvips

    probe = pyvips.Image.new_from_buffer(data, "")
    width, height = size_for(probe.width, probe.height)
    return pyvips.Image.thumbnail_buffer(data, width, height=height, size="force").numpy()


WAYS: dict[str, Way] = {
    "img2dataset: full, INTER_AREA": full_area,
    "OpenCV reduced, INTER_AREA": reduced_area,
    "Pillow draft, box": pillow(Image.Resampling.BOX),
    "Pillow draft, Hamming": pillow(Image.Resampling.HAMMING),
    "Pillow draft, bicubic": pillow(Image.Resampling.BICUBIC),
    "simplejpeg, INTER_AREA": simplejpeg_area,
    "pyvips thumbnail": vips,
    "pairmill: draft, exact bilinear": ours,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=300)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    bodies = [picture(i) for i in range(args.pictures)]
    print(
        f"{machine()}; {len(bodies)} JPEGs, "
        f"{sum(map(len, bodies)) / len(bodies) / 1000:.0f} KB on average"
    )
    reference = [full_area(b) for b in bodies]
    for name, way in WAYS.items():
        try:
            way(bodies[0])
        except ImportError as error:
            print(f"{name:32} not measured: {error}")
            continue
        start = time.process_time()
        found = [way(b) for b in bodies]
        taken = (time.process_time() - start) / len(bodies) * 1000
        psnr = [
            10 * np.log10(255**2 / max(1e-6, np.mean((a.astype(float) - b) ** 2)))
            for a, b in zip(found, reference, strict=True)
        ]
        print(
            f"{name:32} {taken:5.2f} ms   PSNR median {min(99.0, np.median(psnr)):.1f} "
            f"dB, least {min(99.0, min(psnr)):.1f} dB"
        )


if __name__ == "__main__":
    main()
