"""What the house promises of its own code and documents."""

import ast
import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from pairmill.commands_page import commands_page
from pairmill.plan.documentation import stage_pages
from pairmill.plan.expression_page import expression_page
from pairmill.plan.source_pages import source_page
from pairmill.schemas.sql.functions import BY_NAME
from pairmill.terminal.stage_list import WRITTEN_DOWN, sentences

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "pairmill").rglob("*.py"))
GROUND = {
    "addresses", "allocators", "errors", "extensions", "free_memory", "images", "import_hooks",
    "models", "names", "pandas_later", "places", "redaction", "safe_output", "schemas", "shares",
    "texts", "torch_device", "version",
}  # fmt: skip
"""Rooms that everybody may import from; they import from one another alone."""
ARROWS = {
    "sources": set(),
    "captioners": set(),
    "outputs": set(),
    "stages": {"captioners", "sources"},  # other sets are read as sources are
    "filters": {"stages"},
    "stage": {"stages"},
    "workspace": {"sources"},
    "plan": {"outputs", "sources", "stages", "workspace"},
    "fates": {"plan", "workspace"},
    "work": {"fates", "plan", "stages", "workspace"},
    "cluster": {"fates", "plan", "work", "workspace"},
    "packages": {"fates", "outputs", "plan", "work", "workspace"},
    "pipeline": {"cluster", "fates", "packages", "plan", "sources", "work", "workspace"},
    "report": {"fates", "packages", "pipeline", "plan", "work", "workspace"},
    "terminal": {"captioners", "fates", "packages", "pipeline", "stages", "work", "workspace"},
    "run_result": {"fates", "pipeline", "report", "terminal"},
    "api": {"fates", "pipeline", "plan", "report", "run_result", "terminal"},
    "console": {"api"},
    "demo": {"api", "run_result", "terminal"},
    "cluster_cli": {"cluster", "console"},
    "inspect_cli": {"captioners", "console", "plan", "report", "stages", "terminal"},
    "commands_page": {"cli"},
    "__main__": {"cli", "console"},
    "workspace_cli": {"console", "terminal", "workspace"},
    "cli": {
        "cluster_cli",
        "console",
        "demo",
        "inspect_cli",
        "pipeline",
        "plan",
        "terminal",
        "workspace_cli",
    },
    "__init__": {"api", "run_result", "stages"},
}
"""Room → rooms that it imports from, beside the ground.  An arrow that nobody needs any more goes;
a new one has a reason.
"""


@pytest.mark.parametrize("folder", ["pairmill", "tests", "tools", "benchmarks", "examples"])
def test_files_stay_under_300_lines(folder: str) -> None:
    long = {
        str(f): n
        for f in (ROOT / folder).rglob("*.py")
        if (n := len(f.read_text().splitlines())) > 300
    }
    assert long == {}


def test_rooms_import_what_the_table_allows_and_only_the_cluster_knows_ray() -> None:
    drawn: dict[str, set[str]] = {}
    with_ray: set[str] = set()
    for file in SOURCES:
        room = file.relative_to(ROOT / "pairmill").parts[0].removesuffix(".py")
        for name in imported(file):
            package, _, rest = name.partition(".")
            target = rest.partition(".")[0]
            if package == "ray":
                with_ray.add(room)
            elif package == "pairmill" and target != room:
                drawn.setdefault(room, set()).add(target)
    assert with_ray == {"cluster"}
    assert {room: targets - GROUND for room, targets in drawn.items() if room in GROUND} == {
        room: set() for room in drawn if room in GROUND
    }
    above = {room: targets - GROUND for room, targets in drawn.items() if room not in GROUND}
    assert above == {room: targets for room, targets in ARROWS.items() if room in above}
    rooms = {file.relative_to(ROOT / "pairmill").parts[0].removesuffix(".py") for file in SOURCES}
    assert rooms - GROUND == ARROWS.keys()


def test_every_room_says_what_lives_there() -> None:
    rooms = [file for file in SOURCES if file.parent.parent == ROOT / "pairmill"]
    silent = [
        f for f in rooms if f.stem == "__init__" and not ast.get_docstring(ast.parse(f.read_text()))
    ]
    assert silent == []


def imported(file: Path) -> set[str]:
    """Full names of what a file imports, wherever in it; `from pairmill import errors` names
    pairmill.errors.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


ALONE = re.compile(r"[\[({,]\s*\(\n *b?\"[^\"\n]*\"\n *\)(?=[\]:,)])")


@pytest.mark.parametrize("folder", ["pairmill", "tests", "tools", "benchmarks", "examples"])
def test_no_text_of_a_table_stands_in_parentheses_of_its_own(folder: str) -> None:
    """What a formatter makes of a table whose rows are too long and are not to be formatted."""
    assert ALONE.search('    "a": int, (\n        "b"\n    ): str,')
    odd = {str(f) for f in (ROOT / folder).rglob("*.py") if ALONE.search(f.read_text())}
    assert odd == set()


def test_public_functions_classes_and_methods_say_what_they_are() -> None:
    """Methods of a name that some class documents need no docstring, nor do pydantic's
    validators.
    """
    silent: list[str] = []
    methods: list[tuple[str, str]] = []
    documented: set[str] = set()
    for file in SOURCES:
        for node in ast.parse(file.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            place = f"{file.relative_to(ROOT)} {node.name}"
            if not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(place)
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                if ast.get_docstring(method):
                    documented.add(method.name)
                elif not method.name.startswith("_") and not is_validator(method):
                    methods.append((method.name, f"{place}.{method.name}"))
    silent += [place for name, place in methods if name not in documented]
    assert silent == []


CALLED_BY_OTHERS = re.compile(
    r"serve_\w+|_repr_html_|writable|(before|on|after)_execution_\w+|start_(monitor|log_monitor|api_server)"
)
"""By the demo's server (a fault's name), notebooks, `io`, Ray Data and Ray's own nodes."""


def test_nothing_is_there_for_tests_alone() -> None:
    """What the package defines is named in it, its documents, tools or benchmarks; what carries a
    decorator is called by whoever made that.
    """
    outside = [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "tools").rglob("*.py"),
        *(ROOT / "benchmarks").rglob("*.py"),
    ]
    named = Counter(re.findall(r"\w+", " ".join(f.read_text() for f in outside)))
    defined: list[tuple[str, str]] = []
    for file in SOURCES:
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if not node.decorator_list and not node.name.startswith("__"):
                    defined.append((node.name, f"{file.relative_to(ROOT)} {node.name}"))
            elif isinstance(node, ast.Name):
                named[node.id] += 1
            elif isinstance(node, ast.Attribute):
                named[node.attr] += 1
            elif isinstance(node, ast.alias):
                named[node.name.rpartition(".")[2]] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named[re.split(r"[.:]", node.value)[-1]] += 1
    unused = [where for name, where in defined if not named[name]]
    assert [w for w in unused if not CALLED_BY_OTHERS.fullmatch(w.rpartition(" ")[2])] == []


def is_validator(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether pydantic calls a method while it reads or writes a model."""
    kinds = ("_validator", "_serializer")
    return any(
        ast.unparse(decorator).partition("(")[0].endswith(kinds)
        for decorator in method.decorator_list
    )


def test_arrows_lead_only_downwards() -> None:
    """The rooms can be sorted so that each imports from earlier ones alone."""
    TopologicalSorter(ARROWS).prepare()


def test_documentation_of_stages_is_current() -> None:
    assert (ROOT / "docs/stages.md").read_text() == stage_pages(), "run `make docs`"


def test_documentation_of_sources_is_current_and_its_examples_are_sound() -> None:
    assert (ROOT / "docs/sources.md").read_text() == source_page(), "run `make docs`"


def test_documentation_of_commands_is_current() -> None:
    assert (ROOT / "docs/commands.md").read_text() == commands_page() + "\n", "run `make docs`"


def test_documentation_of_expressions_is_current_and_lists_every_function() -> None:
    page = (ROOT / "docs/expressions.md").read_text()
    assert page == expression_page(), "run `make docs`"
    assert [name for name in BY_NAME if f"{name}(" not in page and f"`{name}`" not in page] == [
        "||"
    ]


def test_what_the_list_of_stages_has_written_down_is_what_they_say() -> None:
    assert WRITTEN_DOWN.read_text("utf-8").strip() == sentences(), "run `make docs`"
