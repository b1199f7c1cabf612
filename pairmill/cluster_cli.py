"""The commands that talk to a Ray cluster."""

import os
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pairmill.console import (
    COMMITTED,
    TRACEBACK,
    File,
    Json,
    Limit,
    Replace,
    Set,
    err,
    fail,
    may_replace,
    out,
    pipeline,
    print_json,
)
from pairmill.errors import PairmillError

app = typer.Typer()
Address = Annotated[
    str | None,
    typer.Option(help="The cluster's dashboard, such as head:8265; else RAY_ADDRESS."),
]
Job = Annotated[str, typer.Argument(help="The job's id, as `submit` and `list` show it.")]


NO_CLUSTER = "no cluster named; give --address head:8265, or set RAY_ADDRESS"


def jobs_at(address: str | None) -> Any:
    """Ray's job client; prints why and ends where no cluster answers."""
    if not (address or os.environ.get("RAY_ADDRESS")):  # before Ray is imported, a second's work
        fail(NO_CLUSTER, 2)
    from pairmill.cluster.jobs import client

    try:
        return client(address)
    except PairmillError as error:
        fail(str(error), 1)


@app.command()
def submit(
    file: File,
    address: Address = None,
    set_: Set = None,
    limit: Limit = None,
    retry: Annotated[
        str, typer.Option(help="Error classes to try again, such as dns,timeout,http_5xx.")
    ] = "",
    env: Annotated[
        list[str] | None,
        typer.Option(help="Name of an environment variable that the job gets from here."),
    ] = None,
    working_dir: Annotated[
        Path | None, typer.Option(help="Folder of code that travels with the job.", file_okay=False)
    ] = None,
    pip_install: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Package that each node installs for this job, such as timm==1.0.9; may be "
                "repeated."
            )
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the job until it ends.")
    ] = True,
    replace: Replace = False,
) -> None:
    """Check a pipeline here, run it as a job of a Ray cluster, and follow it."""
    from pairmill.cluster import jobs as cluster

    found = pipeline(file, set_)
    jobs = jobs_at(address)
    replace = may_replace(found, limit, replace)
    request = cluster.JobRequest(
        file,
        tuple(set_ or ()),
        limit,
        retry,
        tuple(env or ()),
        working_dir,
        tuple(pip_install or ()),
        replace,
    )
    try:
        job = cluster.submit(jobs, request, found.checked)
    except (PairmillError, RuntimeError, OSError) as error:
        fail(str(error).splitlines()[0], 1)
    out.print(Text(job))
    if wait:
        watch(jobs, job)


def watch(jobs: Any, job: str) -> None:
    """Follows a job until it ends; a failed one ends the command with an error."""
    from pairmill.cluster import jobs as cluster

    said: deque[str] = deque(maxlen=1)

    def tell(text: str) -> None:
        lines = (line for line in text.splitlines() if line.strip())
        said.extend(line for line in lines if not line.startswith((COMMITTED, TRACEBACK)))
        out.print(Text(text.rstrip("\n")), soft_wrap=True)

    try:
        status = cluster.follow(jobs, job, tell)
    except KeyboardInterrupt:
        err.print(
            Text(
                f"the job goes on; `pairmill logs {job} -f` follows it again, "
                f"`pairmill stop {job}` ends it"
            )
        )
        raise typer.Exit(0) from None
    except PairmillError as error:
        fail(str(error), 1)
    if status != "SUCCEEDED":
        reason = cluster.described(jobs, job)["message"].strip().splitlines()
        last = next(iter(said), None) or (reason[-1] if reason else "")
        fail(f"the job ended as {status}{f': {last.strip()}' if last else ''}", 1)


@app.command()
def status(job: Job, address: Address = None, as_json: Json = False) -> None:
    """What became of a job."""
    from pairmill.cluster import jobs as cluster

    try:
        found = cluster.described(jobs_at(address), job)
    except PairmillError as error:
        fail(str(error), 1)
    if as_json:
        print_json(found)
        return
    out.print(table([found]))
    if found["message"]:
        out.print(Text(found["message"].splitlines()[0]), soft_wrap=True)


@app.command(name="list")
def list_jobs(address: Address = None, as_json: Json = False) -> None:
    """pairmill's jobs on a cluster, the newest first."""
    from pairmill.cluster import jobs as cluster

    found = cluster.listed(jobs_at(address))
    if as_json:
        print_json(found)
    else:
        out.print(table(found))


@app.command()
def logs(
    job: Job,
    address: Address = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends.")] = False,
) -> None:
    """What a job has told so far."""
    jobs = jobs_at(address)
    if follow:
        watch(jobs, job)
        return
    try:
        out.print(Text(jobs.get_job_logs(job).rstrip("\n")), soft_wrap=True)
    except RuntimeError as error:
        fail(f"no job {job}: {str(error).splitlines()[0]}", 1)


@app.command()
def stop(job: Job, address: Address = None) -> None:
    """End a job; what it committed stays, and the same `submit` goes on from there."""
    try:
        ended = jobs_at(address).stop_job(job)
    except RuntimeError as error:
        fail(f"no job {job}: {str(error).splitlines()[0]}", 1)
    out.print(
        Text(
            "the job is being stopped; what it committed stays"
            if ended
            else "the job had ended already"
        )
    )


def table(jobs: list[dict[str, Any]]) -> Table:
    """Jobs as a table."""
    found = Table("job", "status", "run", "started", "ended", "workspace")
    for job in jobs:
        times = [
            datetime.fromtimestamp(t / 1000).strftime("%Y-%m-%d %H:%M:%S") if (t := job[k]) else ""
            for k in ("started", "ended")
        ]
        found.add_row(
            *(
                Text(str(v))
                for v in (
                    job["job"],
                    job["status"],
                    job["run"] or job["name"],
                    *times,
                    job["workspace"],
                )
            )
        )
    return found
