"""`transformers serve`, a server of another make: `python -m tests.model_server MODEL PORT`.

It decodes the images that it is sent with torchvision's compiled part.  Where that does not load
(PyPI's wheel under the CPU build of torch), Pillow decodes them: the rest is the server's own.
"""

import base64
import io
import sys

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


if __name__ == "__main__":
    main()
