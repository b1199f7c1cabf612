"""Processes that decode pictures into memory which they share with this one.

Threads of one Python wait for each other: fifteen of them decode no more than three do.  A process
has a Python of its own; what it answers is small, and the pixels are already where they are wanted.
"""

import contextlib
import mmap
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from pairmill.errors import first_line
from pairmill.texts.amounts import amount

Error = tuple[str, str]
BLOCKS = 6
"""Batches that are decoded, or wait to be sent to the model's device, at a time."""


class DecoderDied(Exception):
    """A process ended while it decoded: a picture took the library down."""


class Decoders:
    """`count` processes; `pictures` makes (height, width, 4) uint8 of each (`FastPixels`).

    A batch takes a block of the shared memory, is decoded into it in parts, and gives it back.
    """

    def __init__(self, count: int, pictures: Any, shape: tuple[int, int], rows: int) -> None:
        import torch

        size = shape[0] * shape[1] * 4
        self.memory = os.memfd_create("pairmill-pictures")
        os.ftruncate(self.memory, BLOCKS * rows * size)
        self.map = mmap.mmap(self.memory, BLOCKS * rows * size)
        self.pixels = torch.frombuffer(self.map, dtype=torch.uint8).view(BLOCKS, rows, *shape, 4)
        self.rows, self.start = rows, pickle.dumps((pictures, self.memory, self.pixels.shape))
        self.blocks = list(range(BLOCKS))
        self.idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self.lock, self.running = threading.Lock(), set[subprocess.Popen[bytes]]()
        for _ in range(count):
            self.idle.put(self.begun())

    def begun(self) -> "subprocess.Popen[bytes]":
        """A new process, which has been told the preprocessing and the shared memory."""
        path = os.pathsep.join(p for p in sys.path if p)
        process = subprocess.Popen(
            [sys.executable, "-m", "pairmill.models.decoder_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(self.memory,),
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        assert process.stdin is not None
        process.stdin.write(self.start)
        with self.lock:
            self.running.add(process)
        return process

    def block(self, rows: int) -> int | None:
        """A free block for so many rows; None where there is none."""
        with self.lock:
            return self.blocks.pop() if self.blocks and rows <= self.rows else None

    def free(self, block: int) -> None:
        """Gives a block back."""
        with self.lock:
            self.blocks.append(block)

    def decode(self, images: Sequence[bytes | None], block: int, at: int) -> list[Error | None]:
        """Decodes into rows `at` and those behind it; errors, None where a picture is sound.

        Raises DecoderDied; another process takes the place of the one that died.
        """
        process = self.idle.get()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(pickle.dumps((block, at, list(images))))
            process.stdin.flush()
            answer: list[Error | None] = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            process.kill()
            status = process.wait()
            with self.lock:
                self.running.discard(process)
            self.idle.put(self.begun())
            raise DecoderDied(
                f"a process ended with {status} while it decoded {amount(len(images), 'picture')} "
                f"({first_line(error) or type(error).__name__})"
            ) from None
        self.idle.put(process)
        return answer

    def close(self) -> None:
        """Ends the processes."""
        with self.lock:
            for process in self.running:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        with contextlib.suppress(OSError):
                            pipe.close()
            self.running.clear()
        os.close(self.memory)
