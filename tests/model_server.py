"""`transformers serve`, a server of another make: `python -m tests.model_server MODEL PORT`.

It decodes the images that it is sent with torchvision's compiled part.  Where that does not load
(PyPI's wheel under the CPU build of torch), Pillow decodes them: the rest is the server's own.
"""

import base64
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pairmill  # noqa: F401 - lets torchvision be imported


def pillow_decodes(processors: object) -> None:
    """Puts Pillow in the place of the decoder that is not there."""
    import torch
    from PIL import Image
    from torchvision.transforms.functional import pil_to_tensor

    def decoded(url: str) -> torch.Tensor:
        data = base64.b64decode(url.partition(",")[2])
        return pil_to_tensor(Image.open(io.BytesIO(data)).convert("RGB"))

    processors.load_image_as_tensor = decoded  # type: ignore[attr-defined]


def main() -> None:
    from transformers import image_processing_backends
    from transformers.cli.transformers import main as transformers

    if not decodes():
        pillow_decodes(image_processing_backends)
    model, port = sys.argv[1:]
    options = ["--port", port, "--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1"]
    sys.argv = ["transformers", "serve", model, *options]
    transformers()


def decodes() -> bool:
    """Whether torchvision decodes images here."""
    import torch
    from torchvision.io import decode_image

    try:
        decode_image(torch.zeros(1, dtype=torch.uint8))
    except RuntimeError as error:
        return "image extension" not in str(error)
    return True


@contextmanager
def serving(model: str) -> Iterator[str]:
    """A server in a process of its own; gives its `base_url`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = str(Path(__file__).parent.parent)
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.model_server", model, str(port)],
            env={**os.environ, "PYTHONPATH": root},
            stdout=log,
            stderr=log,
        )
        url = f"http://127.0.0.1:{port}/v1"
        try:
            while process.poll() is None:
                try:
                    urlopen(f"{url}/models", timeout=60).close()
                    break
                except HTTPError:  # it answers: it lists models in a hub's folder that may not be
                    break
                except (URLError, TimeoutError):
                    time.sleep(0.5)
            if process.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"the server did not start: {log.read()[-2000:]}")
            yield url
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
