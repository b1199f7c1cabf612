"""What is imported before work begins: each module that a command does not need costs every user a
part of a second, each time.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pairmill.allocators import POOL, SPINS, SPINS_LOG2

pytestmark = pytest.mark.slow
FRAMEWORKS = (
    "torch", "transformers", "ray", "jsonschema", "scipy", "aiohttp", "sklearn", "pandas",
)  # fmt: skip
COLUMNS = ("numpy", "pyarrow", "polars")
FILES = ("pydantic", "ruamel", "sqlglot")
PLANNING = ("pairmill.plan.plan", "pairmill.plan.load")
WORKING = (
    "jinja2", "pyarrow.dataset", "fsspec.implementations.http", "pairmill.cluster.engine",
    "pairmill.models.load", "pairmill.outputs.index", "pairmill.outputs.webdataset",
    "pairmill.pipeline.run", "pairmill.report", "pairmill.sources.folder",
    "pairmill.sources.tfrecord", "pairmill.work.local", "pairmill.work.worker",
)  # fmt: skip
"""What runs pipelines, and what these do not name."""
RUN = "from pairmill.cli import app; app(['run', 'texts.yaml'], standalone_mode=False)"
TEXTS = "  - {stage: text_rules, keep: text_words > 2}\n"
COSTLY = (
    "  - {stage: download}\n  - {stage: caption, engine: openai, base_url: 'http://127.0.0.1:9/v1', "
    "model: m, prompt: Say.}\n"
)


def loaded(folder: Path, *words: str) -> tuple[list[str], set[str]]:
    """What a command prints, and the modules that are there when it ends, well."""
    check = (
        f"import sys; from pairmill.cli import app; sys.argv = ['pairmill', *{list(words)}]\n"
        "try: app()\nexcept SystemExit as end: print('code', end.code)\n"
        "print('modules', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=folder
    )
    *printed, code, modules = done.stdout.splitlines()
    assert code == "code 0", done.stdout + done.stderr
    return printed, set(modules.split()[1:])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pipelines, and a workspace in which one of them was run."""
    (tmp_path / "pairs.csv").write_text("url,text\nhttp://example.com/1.jpg,a red bicycle\n")
    head = "name: first\nworkspace: w\nsource: {type: pairs, path: pairs.csv}\nstages:\n"
    tail = "outputs: [{type: table, path: out}]\n"
    (tmp_path / "texts.yaml").write_text(head + TEXTS + tail)
    (tmp_path / "costly.yaml").write_text(head + COSTLY + tail)
    return tmp_path


@pytest.mark.parametrize(
    ("code", "unneeded"),
    [
        ("import pairmill", (*FRAMEWORKS, *COLUMNS, *FILES)),
        ("import pairmill.cli", (*FRAMEWORKS, *COLUMNS, *FILES, *PLANNING)),
        ("from pairmill import Pipeline", (*FRAMEWORKS, *WORKING)),
        ("import pairmill.cluster.jobs", (*FRAMEWORKS, *COLUMNS, *FILES, *PLANNING)),
    ],
)
def test_imports_load_what_they_need(code: str, unneeded: tuple[str, ...]) -> None:
    check = f"{code}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert sorted(set(unneeded) & set(done.stdout.split())) == []


@pytest.mark.parametrize(
    ("said", "pool", "spins"),
    [({}, "system", SPINS_LOG2), ({POOL: "mimalloc", SPINS: "28"}, "mimalloc", "28")],
)
def test_worker_processes_have_what_they_need_and_what_the_environment_says(
    said: dict[str, str], pool: str, spins: str
) -> None:
    """Modules, the allocator, and how long threads of OpenBLAS wait: not for long, unless asked."""
    check = (
        "import os, sys, pairmill.work.fork_server as f; f.preload(); print(*sys.modules)\n"
        f"import pyarrow; print(pyarrow.default_memory_pool().backend_name, os.environ[{SPINS!r}])"
    )
    env = {name: value for name, value in os.environ.items() if name != SPINS} | said
    command = [sys.executable, "-c", check]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    modules, facts = done.stdout.splitlines()[-2:]
    unneeded = {*FRAMEWORKS, "ruamel", "sqlglot", *PLANNING}
    assert sorted(unneeded & set(modules.split())) == []
    assert facts.split()[1] == spins
    if pool != "system" or "CS_GNU_LIBC_VERSION" in os.confstr_names:  # another libc has another
        assert facts.split()[0] == pool


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="another libc")
def test_a_run_has_the_allocator_that_was_chosen(folder: Path) -> None:
    check = f"{RUN}; import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    command = [sys.executable, "-c", check]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "system"


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        ("--help", (*FRAMEWORKS, *COLUMNS, *FILES, *PLANNING)),
        ("--version", (*FRAMEWORKS, *COLUMNS, *FILES, *PLANNING)),
        ("run --help", (*FRAMEWORKS, *COLUMNS, "ruamel", "sqlglot", *PLANNING)),
        ("stages", (*FRAMEWORKS, *COLUMNS, "ruamel", "sqlglot", *PLANNING)),
        ("schema", (*FRAMEWORKS, "ruamel", "sqlglot", *PLANNING)),
        ("validate texts.yaml", (*FRAMEWORKS, *WORKING)),
        ("plan texts.yaml", (*FRAMEWORKS, *WORKING)),
        ("plan costly.yaml", (*FRAMEWORKS, "jinja2", "pairmill.pipeline.run", "pairmill.report")),
    ],
)
def test_a_command_loads_what_it_needs(folder: Path, words: str, unneeded: tuple[str, ...]) -> None:
    printed, modules = loaded(folder, *words.split())
    assert printed
    assert sorted(set(unneeded) & modules) == []


def test_looking_at_what_a_run_left_loads_no_planner_and_nothing_that_runs(folder: Path) -> None:
    loaded(folder, "run", "texts.yaml", "--processes", "0")
    for words in (["runs", "w"], ["workspace", "w"], ["inspect", "out"]):
        printed, modules = loaded(folder, *words)
        assert printed
        unneeded = {*FRAMEWORKS, *WORKING, *PLANNING, "sqlglot"} - {"pairmill.report"}
        assert sorted(unneeded & modules) == [], words


def test_a_run_over_texts_loads_neither_a_cluster_nor_models(folder: Path) -> None:
    _, modules = loaded(folder, "run", "texts.yaml", "--processes", "0", "--no-report")
    unneeded = (
        *FRAMEWORKS, "jinja2", "pairmill.cluster.engine", "pairmill.cluster.executor",
        "pairmill.report.page",
    )  # fmt: skip
    assert sorted(set(unneeded) & modules) == []


def test_pandas_that_a_run_left_out_is_known_once_somebody_imports_it() -> None:
    pytest.importorskip("pandas")
    check = (
        "from pairmill.pandas_later import pandas_later; pandas_later()\n"
        "import sys, pyarrow as pa; print(pa.array([1, None]).null_count, 'pandas' in sys.modules)\n"
        "import importlib.util; importlib.util.find_spec('pandas'); print('pandas' in sys.modules)\n"
        "import pandas as pd; print(pa.array(pd.Series([1.5, float('nan')])).null_count)\n"
        "print(pa.table({'a': [1, 2]}).to_pandas()['a'].sum())"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False", "False", "1", "3"]


def test_looking_for_torchvision_waits_for_no_thread_that_imports_torch(tmp_path: Path) -> None:
    """transformers looks for it while a worker still imports torch beside: with Python's import
    lock held, whoever waits for torch would wait for ever.
    """
    for name in ("torch", "torchvision"):
        (tmp_path / name).mkdir()
    (tmp_path / "torchvision/_C.so").touch()
    (tmp_path / "torchvision/__init__.py").write_text("from torch import ops\n")
    (tmp_path / "torch/__init__.py").write_text(
        "import begun\nbegun.there.set()\nbegun.looked.wait(5)\nimport late\n"
        "class ops:\n  load_library = print\n"
    )
    (tmp_path / "begun.py").write_text(
        "import threading\nthere, looked = threading.Event(), threading.Event()\n"
    )
    (tmp_path / "late.py").touch()
    check = (
        "import pairmill, begun, importlib.util, threading\n"
        "beside = threading.Thread(target=__import__, args=['torch'], daemon=True)\n"
        "beside.start(); begun.there.wait()\n"
        "importlib.util.find_spec('torchvision'); begun.looked.set()\n"
        "import torchvision; print(torchvision.ops.__name__)"
    )
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", check],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split()[-1:] == ["ops"], done.stderr
