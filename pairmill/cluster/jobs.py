"""Pipelines as jobs of a Ray cluster: pack what a pipeline file names, submit, follow, and the
other verbs of a job.
"""

import asyncio
import logging
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairmill.errors import PairmillError, RunError
from pairmill.version import __version__

if TYPE_CHECKING:  # what only `submit` needs takes half a second
    from pairmill.plan.plan import Plan

RECONNECTS = 10
AGENT_WAIT_S = 60
READ_BYTES = 2**28
"""Bytes of a source that `submit` reads at most to know the run's id."""
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class JobRequest:
    """What is submitted: the pipeline file, the options of `run`, names of environment variables, a
    folder of code, packages.
    """

    file: Path
    sets: tuple[str, ...] = ()
    limit: int | None = None
    retry: str = ""
    env: tuple[str, ...] = ()
    working_dir: Path | None = None
    pip_install: tuple[str, ...] = ()
    """Packages that the pipeline's own stages need, and that the nodes do not have."""
    replace: bool = False
    """Write over packages that other settings made."""

    def entrypoint(self) -> str:
        """The job's command line; relative paths of data mean the same folder there as here."""
        from pairmill.cluster.packing import FILE_NAME

        words = [
            "python",
            "-m",
            "pairmill.cli",
            "run",
            FILE_NAME,
            "--ray",
            "--base",
            str(self.file.absolute().parent),
        ]
        words += [word for one in self.sets for word in ("--set", one)]
        words += ["--limit", str(self.limit)] if self.limit else []
        words += ["--replace"] if self.replace else []
        words += ["--retry", self.retry] if self.retry else []
        return shlex.join(words)

    def runtime_env(self, folder: Path) -> dict[str, Any]:
        """What Ray sets up for the job on every node that works for it."""
        env: dict[str, Any] = {
            "working_dir": str(folder),
            "env_vars": {"RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "120", **self.variables()},
        }
        # beside what the node has; a conflict is the user's to see, and pip's check knows nothing
        # of GPUs
        if self.pip_install:
            env["pip"] = {"packages": list(self.pip_install), "pip_check": False}
        return env

    def variables(self) -> dict[str, str]:
        """Values of the named variables; raises RunError for one that is not set."""
        missing = [name for name in self.env if name not in os.environ]
        if missing:
            raise RunError(f"--env {missing[0]}: the variable is not set here")
        return {name: os.environ[name] for name in self.env}


def client(address: str | None) -> Any:
    """Ray's job client; `address` such as http://head:8265, else RAY_ADDRESS.  Raises RunError
    where nobody answers.
    """
    from ray.job_submission import JobSubmissionClient

    where = address or os.environ.get("RAY_ADDRESS")
    if not where:
        raise RunError("no cluster named; give --address head:8265, or set RAY_ADDRESS")
    if address and "://" not in where and where != "auto":
        where = f"http://{where}"  # RAY_ADDRESS may be the cluster's own, which Ray follows itself
    for name in ("ray", "ray.dashboard", "ray._private"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with meaning(where if address else None):
            return JobSubmissionClient(where)
    except Exception as error:  # Ray raises several kinds, some bare
        raise RunError(
            f"no Ray cluster answers at {where}: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None


@contextmanager
def meaning(address: str | None) -> Iterator[None]:
    """Ray takes RAY_ADDRESS before what it is called with; another variable comes before both."""
    name = "RAY_API_SERVER_ADDRESS"
    before = os.environ.get(name)
    if address:
        os.environ[name] = address
    try:
        yield
    finally:
        if address and before is None:
            del os.environ[name]
        elif address:
            os.environ[name] = str(before)


def submit(jobs: Any, request: JobRequest, plan: "Plan") -> str:
    """Packs and submits; gives the job's id.  Raises RunError where a job of the same run goes."""
    from pairmill.cluster.packing import packed

    run, workspace = run_id(plan, request.limit), plan.redact(plan.config.workspace)
    refuse_second(jobs, run, workspace)
    with packed(request.file, request.working_dir, plan.config) as folder:
        return patiently(
            jobs.submit_job,
            entrypoint=request.entrypoint(),
            runtime_env=request.runtime_env(folder),
            metadata={
                "pairmill": __version__,
                "name": plan.config.name,
                "run": run,
                "workspace": workspace,
            },
        )


def refuse_second(jobs: Any, run: str, workspace: str) -> None:
    """Raises RunError where a job that has not ended does the same run in the same workspace."""
    for other in listed(jobs) if run else ():
        same = other["run"] == run and other["workspace"] == workspace
        if same and other["status"] not in ENDED:
            raise RunError(
                f"the job {other['job']} does this run already ({other['status']}); "
                f"`pairmill logs {other['job']} -f` follows it, `pairmill stop {other['job']}` "
                "ends it"
            )


def run_id(plan: "Plan", limit: int | None) -> str:
    """What the job's run will be called; empty where source or workspace cannot be reached from
    here, or reading the source to know it again would take long.
    """
    from pairmill.workspace.fingerprints import table_id, unread_bytes
    from pairmill.workspace.storage import Storage
    from pairmill.workspace.tables import Table

    try:
        storage = Storage(plan.config.workspace)
        if unread_bytes(storage, plan.source) > READ_BYTES:
            return ""
        return plan.run_id(plan.chain(Table.unread(table_id(storage, plan.source)), limit))
    except (PairmillError, OSError, ValueError, NotImplementedError):
        return ""


def patiently(work: Callable[..., str], **arguments: Any) -> str:
    """A cluster that has just started has no agent for jobs yet, and says to try again.  Raises
    RunError if none comes.
    """
    until = time.monotonic() + AGENT_WAIT_S
    while True:
        try:
            return work(**arguments)
        except RuntimeError as error:
            if "No available agent" not in str(error):
                raise
            if time.monotonic() > until:
                raise RunError(
                    f"the cluster answers, but for {AGENT_WAIT_S} s none of its nodes could "
                    "take a job; see dashboard_agent.log on the head node"
                    " (often the port of --dashboard-agent-listen-port, 52365 by default, is "
                    "taken there by another Ray)"
                ) from None
            time.sleep(2)


def follow(jobs: Any, job: str, tell: Callable[[str], None]) -> str:
    """Tells the job's log as it grows, until the job has ended; gives the last status.  Raises
    RunError.

    A connection that breaks on the way (a proxy, a dashboard that starts again) is opened anew.
    """
    shown = 0
    described(jobs, job)

    async def tail() -> None:
        nonlocal shown
        seen = 0
        async for lines in jobs.tail_job_logs(job):
            fresh = lines[max(0, shown - seen) :]
            seen += len(lines)
            if fresh:
                tell(fresh)
            shown = max(shown, seen)

    broken = 0
    while True:
        try:
            asyncio.run(tail())
            broken = 0
        except (RuntimeError, OSError) as error:
            broken += 1
            if broken > RECONNECTS:
                raise RunError(
                    "the cluster does not answer any more: "
                    f"{str(error).splitlines()[0] if str(error) else error!r}"
                ) from None
        try:
            status = described(jobs, job)["status"]
        except OSError:
            status = ""
        if status in ENDED:
            return str(status)
        time.sleep(1)


def described(jobs: Any, job: str) -> dict[str, Any]:
    """Status and metadata of a job; raises RunError for an unknown one."""
    try:
        info = jobs.get_job_info(job)
    except RuntimeError as error:
        raise RunError(f"no job {job}: {str(error).splitlines()[0]}") from None
    facts = info.metadata or {}
    return {
        "job": job,
        "status": str(info.status.value),
        **{key: facts.get(key, "") for key in ("name", "run", "workspace")},
        "started": info.start_time,
        "ended": info.end_time,
        "message": info.message or "",
    }


def listed(jobs: Any) -> list[dict[str, Any]]:
    """pairmill's jobs, the newest first."""
    ours = [j for j in jobs.list_jobs() if "pairmill" in (j.metadata or {}) and j.submission_id]
    return [
        described(jobs, j.submission_id) for j in sorted(ours, key=lambda j: -(j.start_time or 0))
    ]
