"""A run's log: one JSON object a line, with run, stage and shard, beside the run's other files."""

import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from datetime import datetime, timezone
from typing import Any

from pairmill.errors import PairmillError
from pairmill.redaction import redact, redact_data
from pairmill.safe_output import redact_file, redact_streams
from pairmill.workspace.storage import Storage

LOG_FILE, NOISE_FILE = "log.jsonl", "output.log"


def flush() -> None:
    """Writes out what was printed so far."""
    sys.stdout.flush()
    sys.stderr.flush()


class JsonLines(logging.Formatter):
    """`time` (ISO 8601, UTC), `level`, `run`, `stage` and `shard` where they are known, `logger`,
    `message`, and the fields that a record brings as `extra={"facts": {...}}`.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        """A record as one line."""
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at,
            "level": record.levelname,
            "run": self.run_id,
            "logger": record.name,
        }
        line |= getattr(record, "facts", {})
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(redact_data(line), ensure_ascii=False, default=lambda v: redact(str(v)))


class JsonFile(logging.FileHandler):
    """A log of JSON lines that stays one: Ray, when it starts, gives every handler that it finds
    at its logger a format of its own.
    """

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        """Takes one of JSON lines alone."""
        if isinstance(fmt, JsonLines):
            super().setFormatter(fmt)


class RunLog:
    """What a run and its stages tell, libraries' warnings and tracebacks go to the run's folder,
    not to the terminal.
    """

    divert = False
    """For the command line: what Ray and libraries print to the terminal goes to a file of its own
    there, too.
    """
    NAMES = ("pairmill", "ray", "transformers", "py.warnings", "aiohttp", "asyncio")

    def __init__(self) -> None:
        self.handler: logging.Handler | None = None
        self.before: list[tuple[logging.Logger, bool, list[logging.Handler], int]] = []
        self.terminal: tuple[int, int] | None = None
        self.streams = sys.stdout, sys.stderr
        self.target: tuple[Storage, str] | None = None
        self.folder = ""

    def open(self, storage: Storage, folder: str) -> None:
        """On an object store the files are written on this machine's disk and uploaded at the
        end.
        """
        self.target = (storage, folder)
        self.folder = (
            storage.path(folder) if storage.local else tempfile.mkdtemp(prefix="pairmill-log-")
        )
        os.makedirs(self.folder, exist_ok=True)
        self.handler = JsonFile(f"{self.folder}/{LOG_FILE}")
        self.handler.setFormatter(JsonLines(folder.rpartition("/")[2]))
        logging.captureWarnings(True)
        if self.divert:
            flush()
            self.terminal = os.dup(1), os.dup(2)
            with open(f"{self.folder}/{NOISE_FILE}", "ab") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            self.streams = sys.stdout, sys.stderr
            redact_streams()
        for name in self.NAMES:
            logger = logging.getLogger(name)
            self.before.append((logger, logger.propagate, list(logger.handlers), logger.level))
            logger.handlers = [self.handler]
            logger.propagate = False
        logging.getLogger("pairmill").setLevel(logging.INFO)

    def close(self) -> None:
        """Gives loggers and terminal back, and uploads the files to an object store."""
        for logger, propagate, handlers, level in self.before:
            logger.propagate, logger.handlers = propagate, handlers
            logger.setLevel(level)
        if self.terminal is not None:
            flush()
            sys.stdout, sys.stderr = self.streams
            for number, saved in enumerate(self.terminal, 1):
                os.dup2(saved, number)
                os.close(saved)
            with contextlib.suppress(OSError):
                redact_file(f"{self.folder}/{NOISE_FILE}")
        if self.handler is not None:
            logging.captureWarnings(False)
            self.handler.close()
        if self.target is not None and not self.target[0].local:
            with contextlib.suppress(
                OSError, PairmillError
            ):  # never in place of what the run itself has to say
                self.upload(*self.target)

    def upload(self, storage: Storage, folder: str) -> None:
        """Adds to what earlier starts of the run left there."""
        try:
            for name in os.listdir(self.folder):
                with open(f"{self.folder}/{name}", "rb") as stream:
                    fresh = stream.read()
                before = (
                    storage.read_bytes(f"{folder}/{name}")
                    if storage.exists(f"{folder}/{name}")
                    else b""
                )
                if fresh:
                    storage.write_bytes(f"{folder}/{name}", before + fresh)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def silence_libraries() -> None:
    """For the command line: progress bars and advice of libraries have no place in a pipeline's
    output.
    """
    RunLog.divert = True
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
