"""Run in mosaicml-streaming's own environment: pairmill writes the package with its writer, and its
dataset reads it.

Arguments: pipeline file, package.  Prints what came as JSON.
"""

import io
import json
import sys

from PIL import Image
from without_cuda import torchvision_operators

torchvision_operators()

from streaming import StreamingDataset  # noqa: E402

from pairmill.api import Pipeline  # noqa: E402


def main(pipeline: str, package: str) -> None:
    Pipeline.from_yaml(pipeline).run(local=True, progress=False)
    found = []
    for sample in StreamingDataset(local=package, batch_size=1, shuffle=False):
        plain = {k: v for k, v in sample.items() if not isinstance(v, bytes)}
        sizes = {k: len(v) for k, v in sample.items() if isinstance(v, bytes)}
        picture = Image.open(io.BytesIO(sample["image"])).size
        found.append({"plain": plain, "bytes": sizes, "picture": picture})
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
