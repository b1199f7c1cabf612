"""The code of a stage of one's own, as part of its identity: its module and the local modules that
it imports, without comments, docstrings and layout.

Local is what lies in the same package, or beside the module in a folder that is no place of
installed packages.
"""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path
from types import ModuleType

INSTALLED = tuple(
    str(Path(sysconfig.get_path(name)).resolve())
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def code_digest(kind: type) -> str:
    """Of the module that defines a class, and of the local modules on which it rests."""
    module = sys.modules.get(kind.__module__)
    file = source_file(module)
    if file is None:
        return ""
    top = kind.__module__.partition(".")[0]
    home = file.parents[kind.__module__.count(".") + (file.name == "__init__.py")]
    found: dict[str, str] = {}
    waiting = [(kind.__module__, file)]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name], named = normalised(str(path), path.stat().st_mtime_ns, name)
        for other in named:
            local = located(other, top, home)
            if local is not None and other not in found:
                waiting.append((other, local))
    h = hashlib.sha256()
    for name in sorted(found):
        h.update(f"{name}\0{found[name]}\0".encode("utf-8", "surrogatepass"))
    return h.hexdigest()


def source_file(module: ModuleType | None) -> Path | None:
    """The module's Python file; None where there is none."""
    file = getattr(module, "__file__", None)
    return Path(file) if file and file.endswith(".py") and Path(file).is_file() else None


def located(name: str, top: str, home: Path) -> Path | None:
    """The file of a local module; None of any other, and of a name in a module."""
    first = name.partition(".")[0]
    if first == "pairmill" or first in sys.stdlib_module_names:
        return None
    if first != top and str(home.resolve()).startswith(INSTALLED):
        return None
    base = home.joinpath(*name.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None


@lru_cache(maxsize=1024)
def normalised(path: str, mtime_ns: int, name: str) -> tuple[str, tuple[str, ...]]:
    """(code without comments, docstrings and layout; full names of what it imports)."""
    tree = ast.parse(Path(path).read_bytes())
    package = name if path.endswith("__init__.py") else name.rpartition(".")[0]
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {part for alias in node.names for part in parents(alias.name)}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            named |= {part for alias in node.names for part in parents(f"{base}.{alias.name}")}
        elif isinstance(node, ast.Call) and (called := imported_by(node, package)):
            named |= {*parents(called)}
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and is_docstring(body[0]):
            body[:] = body[1:] or [ast.Pass()]
    return ast.unparse(tree), tuple(sorted(named))


def imported_by(call: ast.Call, package: str) -> str | None:
    """The module that `import_module("…")` or `__import__("…")` imports, where its name stands
    there.
    """
    function = call.func.attr if isinstance(call.func, ast.Attribute) else call.func
    plain = function.id if isinstance(function, ast.Name) else function
    first = call.args[0] if call.args else None
    if plain not in ("import_module", "__import__") or not isinstance(first, ast.Constant):
        return None
    name = first.value
    if not isinstance(name, str):
        return None
    return importlib.util.resolve_name(name, package) if package else name.lstrip(".")


def parents(name: str) -> list[str]:
    """`a.b.c` → a, a.b, a.b.c: packages run before what is in them."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def is_docstring(node: ast.AST) -> bool:
    """Whether a statement is a text alone."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
