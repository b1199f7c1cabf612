"""A process of `pairmill.models.decoders`: reads pickled parts of batches from its parent, decodes
them into the shared memory and answers with their errors.  It ends when its parent does.
"""

import faulthandler
import mmap
import os
import pickle
import sys
from typing import Any

from pairmill.images import DecodeError, decode_rgb

LONGEST_S = 600.0
"""Seconds that a part of a batch may take."""


def main() -> None:
    """Decodes what the parent sends, part by part, until the parent closes the pipe."""
    import torch

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand between answers
    parent = sys.stdin.buffer
    pictures, memory, shape = pickle.load(parent)
    shared = (
        torch.frombuffer(mmap.mmap(memory, shape.numel()), dtype=torch.uint8).view(shape).numpy()
    )
    while True:
        try:
            block, at, images = pickle.load(parent)
        except EOFError:
            return
        # where the parent is killed, nobody else ends a library that hangs
        faulthandler.dump_traceback_later(LONGEST_S, exit=True)
        answer = [decoded(pictures, data, shared[block, at + i]) for i, data in enumerate(images)]
        faulthandler.cancel_dump_traceback_later()
        pickle.dump(answer, answers)
        answers.flush()


def decoded(pictures: Any, data: bytes, place: Any) -> tuple[str, str] | None:
    """Puts a picture's pixels at their place; or says why it has none."""
    try:
        pictures.put(decode_rgb(data), place)
    except DecodeError as error:
        return ("decode", str(error))
    return None


if __name__ == "__main__":
    main()
