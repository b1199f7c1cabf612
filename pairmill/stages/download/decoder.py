"""Decoding in a process of its own: what crashes, hangs or eats memory there costs one row, not the
worker.

The child gets its options in the first message, then one body a message.
"""

import contextlib
import faulthandler
import fcntl
import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from typing import Any, BinaryIO

from pairmill.errors import RunError, StageBroken, first_line
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.decoder_pipes import LENGTHS, receive, send
from pairmill.stages.download.examine import Examined, Examiner
from pairmill.stages.download.imaging import Stored

START_S = 60.0
ALONE_S = 60.0
"""Seconds after its time that a child ends by itself."""
MOST_FAILED_STARTS = 5
CHILD = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from pairmill.stages.download.decoder import main; main()"
)
"""The child's program; no module of the folder that it happens to run in is one of its own."""
PIPE_BYTES = 2**20
"""Room for a whole image in one write."""


class Decoder:
    """One child process, started when first needed and again after it died."""

    def __init__(self, options: DownloadConfig) -> None:
        self.options = options
        self.child: subprocess.Popen[bytes] | None = None
        self.closed, self.busy = False, threading.Lock()
        self.never_began = 0
        """Bodies in a row for which no child could be started."""

    def __call__(self, body: bytes, expected: str | None) -> Examined:
        """A child that dies or takes too long gives the error class `decode`; RunError where no
        child starts any more, or none shall.
        """
        with self.busy:
            return self.answer_of_child(body, expected)

    def answer_of_child(self, body: bytes, expected: str | None) -> Examined:
        """As a call, which no other is beside."""
        for attempt in range(2):
            if self.closed:
                raise StageBroken("the decoder was closed while it worked")
            try:
                child = self.child or self.start()
            except (OSError, EOFError, TimeoutError) as error:
                if attempt == 0:
                    continue
                return self.not_started(body, error)
            self.never_began = 0
            try:
                end = time.monotonic() + self.options.decode_timeout_s
                send(child, {"expected": expected}, body, end)
                header, data = receive(child, end)
            except TimeoutError:
                self.stop()
                most = self.options.decode_timeout_s
                return lost(body, f"decoding took more than decode_timeout_s {most:g} s")
            except (OSError, EOFError):
                code = child.wait(10)
                self.stop()
                if self.closed:
                    raise StageBroken("the decoder was closed while it worked") from None
                if code >= 0 and attempt == 0:  # an orderly end, as at a full disk: one more try
                    continue
                return lost(body, f"the decoder died on it ({signal_name(code)})")
            return examined(header, data, body)
        raise AssertionError

    def not_started(self, body: bytes, error: Exception) -> Examined:
        """A decoder killed while it starts costs its row; one that never starts ends the run."""
        self.never_began += 1
        why = f"not within {START_S:g} s" if isinstance(error, TimeoutError) else first_line(error)
        if self.never_began >= MOST_FAILED_STARTS:
            raise RunError(f"the decoder process does not start: {why}") from error
        return lost(body, f"the decoder died while it started ({why})")

    def start(self) -> subprocess.Popen[bytes]:
        """Raises OSError, EOFError or TimeoutError where the child does not live to say that it is
        there.
        """
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        child = self.child = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        if self.closed:
            child.kill()
        assert child.stdin is not None
        assert child.stdout is not None
        for stream in (child.stdin, child.stdout):
            with contextlib.suppress(OSError, AttributeError):
                # Users have a limit of pipe pages; it is slower without.
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(child.stdin.fileno(), False)
        end = time.monotonic() + START_S
        try:
            send(child, json.loads(self.options.model_dump_json()), b"", end)
            header, _ = receive(child, end)
        except (OSError, EOFError):
            code = child.wait(10)
            self.stop()
            raise EOFError(signal_name(code)) from None
        except TimeoutError:
            self.stop()
            raise
        if "fault" in header:
            self.stop()
            raise RunError(header["fault"])
        return child

    def stop(self) -> None:
        """Kills the child, if there is one; the next call starts another."""
        child, self.child = self.child, None
        if child is not None:
            child.kill()
            child.wait(10)
            for stream in (child.stdin, child.stdout):
                if stream:
                    stream.close()

    def close(self) -> None:
        """Kills the child, though it may be at work; no other starts."""
        self.closed = True
        if (child := self.child) is not None:
            child.kill()
        with self.busy:  # whoever waits for its answer closes its pipes
            self.stop()


class DownloadDecoders:
    """`count` children; a call takes a free one, waiting for it."""

    def __init__(self, options: DownloadConfig, count: int) -> None:
        self.every = [Decoder(options) for _ in range(count)]
        self.free: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for one in self.every:
            self.free.put(one)

    def __call__(self, body: bytes, expected: str | None) -> tuple[Examined, float]:
        """What was found, and the seconds that it took."""
        one, start = self.free.get(), time.monotonic()
        try:
            return one(body, expected), time.monotonic() - start
        finally:
            self.free.put(one)

    def begin(self) -> None:
        """Starts one child, which reads the blocklists: a wrong one is told before the first
        request.
        """
        for attempt in range(MOST_FAILED_STARTS):
            try:
                self.every[0].start()
                return
            except (OSError, EOFError, TimeoutError) as error:
                if attempt == MOST_FAILED_STARTS - 1:
                    raise RunError(f"the decoder process does not start: {error}") from error

    def close(self) -> None:
        """Kills all children."""
        for one in self.every:
            one.close()


def lost(body: bytes, why: str) -> Examined:
    """A body that no decoder lived to answer for."""
    return Examined(
        hashlib.sha256(body).hexdigest(), None, None, ("decode", why), decoder_lost=True
    )


def signal_name(code: int) -> str:
    """How a process ended, by its return code: the signal's name, or its exit code."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def examined(header: dict[str, Any], data: bytes, body: bytes) -> Examined:
    """A child's answer; the image's bytes are the body's own where it was stored as it came."""
    stored = header["stored"] and Stored(**header["stored"], data=body if header["same"] else data)
    return Examined(
        header["sha256"], header["other_hash"], stored, header["error"] and tuple(header["error"])
    )


def bound_memory(options: DownloadConfig) -> None:
    """Room for a few copies of the largest image that the options let in, beside what the process
    has already.
    """
    import resource

    with open("/proc/self/statm") as stream:
        own = int(stream.read().split()[0]) * resource.getpagesize()
    limit = own + 2**30 + 16 * options.max_image_area
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """The child's work: options first, then an answer for each body, until its input closes."""
    import cv2

    cv2.setNumThreads(1)  # there are as many decoders as cores to use
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not stand among the answers
    sizes = LENGTHS.unpack(source.read(LENGTHS.size))
    options = DownloadConfig.model_validate_json(source.read(sizes[0]))
    try:
        examiner = Examiner(options)
        answer(target, {}, b"")
    except Exception as error:  # told to the parent, which raises it
        answer(target, {"fault": str(error)}, b"")
        return
    if sys.platform == "linux":
        bound_memory(options)
    while lengths := source.read(LENGTHS.size):
        header_bytes, body_bytes = LENGTHS.unpack(lengths)
        header, body = json.loads(source.read(header_bytes)), source.read(body_bytes)
        # where the parent is killed, nobody else ends a library that hangs
        faulthandler.dump_traceback_later(options.decode_timeout_s + ALONE_S, exit=True)
        found = examiner(body, header["expected"])
        faulthandler.cancel_dump_traceback_later()
        facts: dict[str, Any] = {
            "sha256": found.sha256,
            "other_hash": found.other_hash,
            "error": found.error,
            "stored": None,
            "same": False,
        }
        data = b""
        if found.stored:
            data = found.stored.data
            facts["same"] = data is body
            facts["stored"] = {k: v for k, v in asdict(found.stored).items() if k != "data"}
        answer(target, facts, b"" if facts["same"] else data)


def answer(target: BinaryIO, header: dict[str, Any], data: bytes) -> None:
    """Writes one message to the parent."""
    text = json.dumps(header).encode()
    target.write(LENGTHS.pack(len(text), len(data)) + text)
    target.write(data)
    target.flush()
