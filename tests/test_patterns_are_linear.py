"""Every regular expression of the package over hostile texts: its work grows as the text does.

What the web controls (texts, addresses, headers, names of files) meets these patterns under the
interpreter's lock, so one that is quadratic stops a worker for hours.
"""

import ast
import importlib
import pkgutil
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import pairmill
from pairmill.filters.text_rules import BOILERPLATE, URL, TextRulesConfig, TextRulesStage

ROOT = Path(pairmill.__file__).parent
METHODS = ("search", "match", "fullmatch", "findall", "finditer", "split", "sub")
UNITS = (
    "a", "a-", "a.", "-", ".", "1", "1,", "1.", " ", "\t ", "\n", "_", "a_", "A", "A ", "a ", "'", "a'",
    "[", "[ ", "{", "<", "<a", "<|", "//", "://", "a://", "a:", "a@", "a/", "/", "..", "../", "%3A%2F%2F",
    "www.", "http://", "x=", "token=", "key: ", "bearer ", "basic", "${", "${a:-", "}", "} ", "```", "0x",
    "e1", "error: ", "img", "default", "a-----BEGIN PRIVATE KEY-----", "eyJ", "-----BEGIN ", "__", "é", "的",
    "\r", "\0", "user-agent: ", ";", ",", "=", "a=\"", "#", "a\n", "- ", "Error: ",
)  # fmt: skip
SHORT, LONG = 2_000, 8_000
GROWTH = 8.0
"""Four times the text is four times the work; sixteen times would be quadratic."""
LEAST_S = 0.01
"""Below this, the machine's noise is larger than the work."""


CALL = re.compile(rf"\b(\w+)\.({'|'.join(METHODS)})\(")
Key = tuple[str, str, str]
"""Where a pattern stands, its text, and the method that is called."""


def patterns() -> Iterator[tuple[str, re.Pattern[str], str]]:
    """(where it stands, the pattern, how it is used), compiled ones and those written into calls."""
    sources = {path: path.read_text() for path in sorted(ROOT.rglob("*.py"))}
    called: dict[str, set[str]] = defaultdict(set)
    for name, method in (call for source in sources.values() for call in CALL.findall(source)):
        called[name].add(method)
    for info in pkgutil.walk_packages([str(ROOT)], "pairmill."):
        if info.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError:
            continue  # an optional package
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                for method in called.get(name, {"search"}):
                    yield f"{info.name}.{name}", value, method
    for path, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in METHODS
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
            ):
                yield f"{path.name}:{node.lineno}", re.compile(node.args[0].value), node.func.attr
    for text in BOILERPLATE:
        yield "BOILERPLATE", re.compile(text, re.IGNORECASE), "search"


@pytest.fixture(scope="module")
def every() -> dict[Key, re.Pattern[str]]:
    return {(where, pattern.pattern, method): pattern for where, pattern, method in patterns()}


def work_s(pattern: re.Pattern[str], method: str, text: str) -> float:
    run = getattr(pattern, method)
    arguments = ("", text) if method == "sub" else (text,)
    begun = time.process_time()
    result = run(*arguments)
    if method == "finditer":
        list(result)
    return time.process_time() - begun


def texts(length: int) -> Iterator[str]:
    for unit in UNITS:
        body = unit * (length // len(unit))
        yield body
        yield f"a{body}"
        yield f"img{body}!"
        yield f"{body}\n$"


def test_the_patterns_of_the_package_are_found(every: dict[Key, re.Pattern[str]]) -> None:
    places = {where for where, _, _ in every}
    assert {"pairmill.filters.text_rules.URL", "pairmill.report.captions.WORD"} <= places
    assert len(places) > 25


@pytest.mark.slow
def grows_faster(pattern: re.Pattern[str], method: str) -> str:
    """A text in which its work grows faster than the text does; "" where there is none."""
    for short, long in zip(texts(SHORT), texts(LONG), strict=True):
        if work_s(pattern, method, long) < LEAST_S:
            continue
        few = min(work_s(pattern, method, short) for _ in range(3))
        many = min(work_s(pattern, method, long) for _ in range(3))
        if many >= max(LEAST_S, GROWTH * few):
            return long[:40]
    return ""


@pytest.mark.slow
def test_patterns_grow_as_the_text_does(every: dict[Key, re.Pattern[str]]) -> None:
    fast = {key: grows_faster(pattern, key[2]) for key, pattern in every.items()}
    assert {key: text for key, text in fast.items() if text} == {}


def test_a_quadratic_pattern_is_seen() -> None:
    assert grows_faster(re.compile(r"\b[\w-]+\.(?:com|net)\b"), "search").startswith("a-a-")


def test_addresses_are_those_that_the_quadratic_pattern_found() -> None:
    former = re.compile(
        r"(?:https?://|www\.)\S+|\b[\w-]+\.(?:com|net|org|info|example)\b", re.IGNORECASE
    )
    parts = ["a", "-", ".", "com", "NET", "é", " ", "_", "www.", "http://", "example", "/", "1"]
    found = 0
    for number in range(13**4):
        text = "".join(parts[number // 13**i % 13] for i in range(4))
        assert (URL.search(text) is None) == (former.search(text) is None), text
        found += URL.search(text) is not None
    assert found > 1_000


@pytest.mark.parametrize("unit", ["a-", "的", "img", "www.", "a ", "1.", "\t "])
def test_text_rules_answer_a_million_hostile_characters(unit: str) -> None:
    import pyarrow as pa

    stage = TextRulesStage(TextRulesConfig())
    stage.setup()
    text = unit * (1_000_000 // len(unit))
    assert stage(pa.table({"text": [text]}))["text_chars"].to_pylist() == [len(text)]
