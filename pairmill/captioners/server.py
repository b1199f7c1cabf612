"""A server that a worker starts for itself: its command line, its life, its log."""

import asyncio
import atexit
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from pairmill.captioners.engine_config import ServedBy
from pairmill.errors import StageBroken
from pairmill.redaction import redact

KEEPER = Path(__file__).with_name("server_keeper.py")
HOST = "127.0.0.1"
LOOK_S, SLOWEST_LOOK_S = 0.2, 2.0
"""Pauses between looks at a server that starts."""
ANSWER_S = 10.0
"""Seconds that it has for saying which models it has."""
STOP_S = 30.0
TEMPORARY = "pairmill-server-"
"""Beginning of a temporary folder's name."""
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks servers of this machine, whatever proxy the environment names."""
OF_A_GPU = 0.9
"""Share of a GPU's memory that vLLM takes by itself."""
SHOWN_BYTES = 2000
"""Of the end of its log in a message."""
OF_THIS_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables by which a server would find this environment's packages instead of its own."""


def command_of(config: Any, images: int) -> list[str]:
    """The server's command line, with `{port}` for the port."""
    how: ServedBy = config.served_by()
    if how.command is not None:
        return [word.replace("{model}", config.model) for word in how.command]
    vllm = ["vllm"] if how.python is None else [how.python, "-m", "vllm.entrypoints.cli.main"]
    words = [*vllm, "serve", config.model, "--served-model-name", config.model]
    words += ["--host", HOST, "--port", "{port}", "--dtype", config.dtype]
    words += ["--revision", config.revision] if config.revision else []
    words += ["--trust-remote-code"] if config.trust_remote_code else []
    gpus = config.resources.gpus
    if gpus > 1:
        words += ["--tensor-parallel-size", f"{gpus:g}"]
    elif 0 < gpus < 1:
        words += ["--gpu-memory-utilization", f"{OF_A_GPU * gpus:g}"]
    if images:  # each is seen once, so that a cache of them costs and gives nothing
        words += ["--mm-processor-cache-gb", "0"]
    return [*words, "--disable-uvicorn-access-log", *config.serve_arguments]


def lacking(config: Any) -> str | None:
    """Why the server cannot be started on this machine, or None."""
    program = command_of(config, 0)[0]
    if shutil.which(program):
        return None
    if config.serves_vllm():
        return (
            f"`serve: vllm` starts {program!r}, which is not on this machine; install vLLM in an "
            "environment of its own (python -m venv /envs/vllm && /envs/vllm/bin/pip install vllm) "
            "and name it: `serve: {python: /envs/vllm/bin/python}`"
        )
    return f"`serve` starts {program!r}, which is not on this machine"


class ModelServer:
    """One server at a time, of one worker; `lives` counts how often it was started."""

    def __init__(self, stage: str, config: Any, images: int, run_folder: str) -> None:
        self.stage, self.config = stage, config
        self.command = command_of(config, images)
        self.log = log_file(stage, run_folder)
        self.lives = self.port = self.began = 0
        self.keeper: subprocess.Popen[str] | None = None
        self.listener: threading.Thread | None = None
        self.code: int | None = None
        """How the last server ended."""

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}/v1"

    def ended(self) -> bool:
        """Whether it does not run any more."""
        return self.listener is None or not self.listener.is_alive()

    def listen(self, keeper: "subprocess.Popen[str]") -> None:
        """Waits for the server's end, in a thread."""
        assert keeper.stdout is not None
        said = keeper.stdout.read().split()
        self.code = int(said[1]) if len(said) > 1 else None

    async def start(self) -> None:
        """Starts it, and waits until it answers; raises StageBroken where it ends before that."""
        if (why := lacking(self.config)) is not None:
            raise StageBroken(f"stage {self.stage!r}: {why}")
        self.stop()
        self.lives, self.port = self.lives + 1, free_port()
        command = [word.replace("{port}", str(self.port)) for word in self.command]
        own = {k: v for k, v in os.environ.items() if k not in OF_THIS_PYTHON}
        self.began = self.log.stat().st_size if self.log.exists() else 0
        self.keeper = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER), str(self.log), json.dumps(command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**own, **self.config.served_by().environment},
            start_new_session=True,  # Ctrl-C reaches all processes of a terminal
        )
        self.keeper.wait()  # it goes on as nobody's child
        atexit.register(self.stop)  # a process may hang after that, and not end
        self.listener = threading.Thread(target=self.listen, args=[self.keeper], daemon=True)
        self.listener.start()
        try:
            await self.healthy()
        except BaseException:
            self.stop()
            raise

    async def healthy(self) -> None:
        """Waits until it answers."""
        pause = LOOK_S
        while not await asyncio.to_thread(self.answers):
            if self.ended():
                why = self.last_words()
                raise StageBroken(
                    f"stage {self.stage!r}: its server ended before it answered ({why})"
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, SLOWEST_LOOK_S)

    def answers(self) -> bool:
        """Whether it takes requests: it lists its models, wants a key for that, or, where its list
        fails (`transformers serve` without a cache of the hub), says that it is well.
        """
        code = status(f"{self.base_url}/models")
        if code is None or code in (200, 401, 403):
            return code is not None
        return status(f"http://{HOST}:{self.port}/health") == 200

    def last_words(self) -> str:
        """How it ended, and the end of its log in this life."""
        with self.log.open("rb") as stream:
            stream.seek(max(self.began, self.log.stat().st_size - SHOWN_BYTES))
            said = redact(stream.read().decode("utf-8", "replace").strip())
        return f"exit code {self.code}; its log, {self.log}, ends with:\n{said}"

    def stop(self) -> None:
        """Ends it, with whatever it started; also called where it has ended."""
        if self.keeper is None or self.listener is None:
            return
        assert self.keeper.stdin is not None
        assert self.keeper.stdout is not None
        atexit.unregister(self.stop)
        self.keeper.stdin.close()
        self.listener.join(STOP_S)
        self.keeper.stdout.close()
        self.keeper = None

    def forget(self) -> None:
        """Removes its log where that is a temporary file, and no error has named it."""
        if self.lives < 2 and self.log.parent.name.startswith(TEMPORARY):
            shutil.rmtree(self.log.parent, ignore_errors=True)


def status(address: str) -> int | None:
    """The HTTP status of the answer; None where there is none."""
    try:
        with DIRECTLY.open(address, timeout=ANSWER_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, http.client.HTTPException):
        return None


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def log_file(stage: str, run_folder: str) -> Path:
    """The log of a worker's server: in the run's folder where that is on a disk, else among the
    node's temporary files.
    """
    name = f"{stage}-{socket.gethostname()}-{os.getpid()}.log"
    if not run_folder or "://" in run_folder:
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    else:
        folder = Path(run_folder) / "servers"
        folder.mkdir(parents=True, exist_ok=True)
    return folder / name
