"""No secret is left behind: twenty of them are planted, and everything that a run leaves is searched."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.cluster.worker_start import safe_errors
from pairmill.errors import RunError
from pairmill.redaction import redact
from pairmill.safe_output import RedactedStream

NAMED = {
    "PGPASSWORD": "pg-Xk29-first",
    "DATABASE_URL": "postgresql://app:db-Xk29-second@db.example.test/pairs",
    "HFTOKEN": "hf-Xk29-third",
    "MYSQL_PWD": "my-Xk29-fourth",
    "OPENAI_APIKEY": "ai-Xk29-fifth",
    "AWS_SECRET_ACCESS_KEY": "aws/Xk29+sixth=",
    "GITHUB_PAT": "pat-Xk29-seventh",
    "HTTPS_PROXY_LOGIN": "http://me:proxy-Xk29-eighth@proxy.test:3128",
    "MARKED": "Xk29 \"ninth\" & 'quoted'",
    "COOKIE_JAR": "session-Xk29-tenth",
}
SHAPED = {
    "401 Unauthorized for https://api.test/v1?key={}": "shape-Xk29-11",
    "Authorization: Bearer {}": "shape.Xk29.12-x",
    "http://user:{}@[bad/path": "shape-Xk29-13",
    "{{'api_key': '{}', 'n': 1}}": "shape-Xk29-14",
    "denied to {} today": "AKIAXK29ABCDEFGH1234",
    "token {} has expired": "hf_Xk29abcdefghijklmnopqrstuv16",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----": "shapeXk2917LongLine",
    "s3%3A%2F%2FAK%3A{}%40bucket": "shape-Xk29-18",
    "password = '{}'": "shape-Xk29-19",
    "https://hooks.test/x?sig={}&v=1": "shape-Xk29-20",
}
STAGE = '''
import logging, os, sys
import pyarrow as pa
from pairmill import Stage, StageConfig

def listening(place):
    """Addresses that processes with a folder on their command line listen at, in hexadecimal."""
    own = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if place.encode() in open(f"/proc/{pid}/cmdline", "rb").read():
                own |= {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        except OSError:
            continue
    lines = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}")]
    return [f[1].partition(":")[0] for f in lines if f[3] == "0A" and f"socket:[{f[9]}]" in own]

class Config(StageConfig):
    password: str
    place: str

class Teller(Stage):
    Config = Config

    def reads(self):
        return ["text"]

    def writes(self):
        return pa.schema([("told", pa.string())])

    def __call__(self, rows):
        text = rows.column("text")[0].as_py()
        with open(self.config.place + "/sockets", "a") as stream:
            stream.write("".join(f"{address}\\n" for address in listening(self.config.place)))
        if text.startswith("fine"):
            return pa.table({"told": ["fine"] * rows.num_rows})
        for tell in (print, lambda t: print(t, file=sys.stderr), logging.getLogger("x").warning):
            tell(f"{text} {self.config.password}")
        raise ValueError(("x" * 150) + f" {text}  {self.config.password!r} {os.environ['PGPASSWORD']}")
'''
FILE = """
name: secrets
secrets: [MARKED]
source: {type: parquet, path: pairs.parquet}
stages:
  - {stage: "beside:Teller", password: "${MARKED}", place: "${PLACE}", max_failures: 1, batch_size: 1}
  - {stage: filter, name: gate, keep: "told IS NULL OR told != '${PGPASSWORD}'"}
outputs:
  - {type: parquet, path: out, image: image, overwrite: true}
"""


def planted() -> list[str]:
    return [
        *NAMED.values(),
        "db-Xk29-second",
        "proxy-Xk29-eighth",
        *SHAPED.values(),
        quote(NAMED["MARKED"]),
        json.dumps(NAMED["MARKED"])[1:-1],
        base64.b64encode(NAMED["MARKED"].encode()).decode().rstrip("="),
        "Xk29",  # half a secret is a secret, too
    ]


@pytest.fixture
def place(pictures: list[tuple[bytes, str]]) -> Iterator[Path]:
    """A folder with a short name: Ray's sockets lie below it."""
    folder = Path(tempfile.mkdtemp(prefix="pm-"))
    messages = [*NAMED.values(), *(shape.format(value) for shape, value in SHAPED.items())]
    texts = [*messages, *(f"fine {i}" for i in range(20))]
    pl.DataFrame({"image": [pictures[0][0]] * len(texts), "text": texts}).write_parquet(
        folder / "pairs.parquet"
    )
    (folder / "p.yaml").write_text(FILE)
    (folder / "beside.py").write_text(STAGE)
    for name in (
        "pandas",
        "psutil",
        "colorama",
        "numba",
        "email",
    ):  # what libraries would like to import
        (folder / f"{name}.py").write_text(
            f"open({str(folder / 'executed')!r}, 'a').write('{name}')"
        )
    (folder / "home").mkdir()
    (folder / "home/start.py").write_text("from pairmill.cli import app\napp()\n")
    yield folder
    shutil.rmtree(folder)


def left_behind(folder: Path, told: str) -> list[str]:
    """Files that hold a planted secret, the input apart."""
    wanted = [s.encode() for s in planted()]
    own = {"pairs.parquet", "beside.py", "executed", "sockets"}
    found = []
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.name not in own:
            data = file.read_bytes()
            rows = (
                pl.read_parquet(file).drop("text", strict=False)
                if file.suffix == ".parquet"
                else None
            )
            data += str(rows.to_dicts()).encode() if rows is not None else b""
            if rows is not None:
                data = str(rows.to_dicts()).encode()
            elif "samples" in file.read_text(errors="replace") and file.parent.name == "report":
                data = data.replace(b"Xk29", b"")  # the rows' own texts may hold a part of one
            found += [f"{file}: {s.decode()}" for s in wanted if s in data]
    return found + [f"told: {s}" for s in planted() if s in told]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--processes", "2"], id="processes"),
        pytest.param(["--ray"], id="ray", marks=pytest.mark.ray),
    ],
)
def test_twenty_planted_secrets_are_left_nowhere_and_nothing_unnamed_is_imported(
    place: Path, options: list[str]
) -> None:
    env = {**NAMED, "PLACE": str(place), "RAY_TMPDIR": str(place), "HOME": str(place / "home")}
    for verb in (["validate"], ["plan", "--json"], ["run", *options]):
        done = subprocess.run(
            [sys.executable, str(place / "home/start.py"), *verb, str(place / "p.yaml")],
            cwd=place,
            env={**os.environ, "COLUMNS": "200", **env},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        assert left_behind(place, done.stdout + done.stderr) == []
    ledger = pl.read_parquet(place / "workspace/runs/*/ledger/*.parquet")
    assert (ledger["fate"] == "failed").sum() == len(NAMED) + len(SHAPED)
    assert ledger["message"].str.contains("***", literal=True).any()
    assert not (place / "executed").exists()
    heard = set((place / "sockets").read_text().split())
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert heard <= loopback
    assert bool(heard) == (options == ["--ray"])


def test_secret_of_a_setting_is_hidden_and_the_identity_keeps_its_name(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pairs.parent / "p.yaml").write_text(
        "name: p\nsecrets: [WHO]\nsource: {type: parquet, path: pairs.parquet}\n"
        "stages: [{stage: text_rules, keep: \"text != '${WHO}'\"}]\noutputs: [{type: parquet, path: out}]\n"
    )
    ids = []
    for value in ("somebody-1", "somebody-2"):
        monkeypatch.setenv("WHO", value)
        plan = Pipeline.from_yaml(pairs.parent / "p.yaml").plan()
        ids.append([s["identity"] for s in plan["stages"]])
        assert redact(f"it was {value}!") == "it was ${WHO}!"
    assert ids[0] == ids[1]


def test_what_a_worker_raises_reaches_ray_without_secrets_and_without_what_is_behind_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray import cloudpickle

    def fails(kind: type[Exception]) -> None:
        try:
            raise OSError("inner password=sesame-Xk29")
        except OSError:
            raise kind("outer key=sesame-Xk29")  # noqa: B904

    monkeypatch.setattr(sys, "stderr", RedactedStream(sys.stderr))
    for kind, text in ((ValueError, "ValueError: outer key=***"), (RunError, "outer key=***")):
        work = cloudpickle.loads(cloudpickle.dumps(safe_errors(fails)))
        with pytest.raises(RunError) as caught:
            work(kind)
        told = "".join(traceback.format_exception(caught.value)).replace('"inner password=', "")
        assert text in told
        assert "OSError: " not in told
        assert "sesame-Xk29" not in str(caught.value)
    sys.stderr.flush()
    assert "OSError: inner password=***" in capfd.readouterr().err
