"""Hashes in C are those of Python, bit by bit, whatever a column looks like."""

import hashlib
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.schemas import compiled
from pairmill.schemas.hash_columns import as_bytes, digests, joined, messages, row_chances, row_uids
from pairmill.schemas.hashing import row_chance, row_uid
from tools.compile_library import ROOT, SOURCES, compile_all, compile_library, compiler

needs_compiler = pytest.mark.skipif(
    not shutil.which((compiler() or ["cc"])[0]), reason="needs a C compiler"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory):
    made = compile_library(compiled.SOURCE, tmp_path_factory.mktemp("compiled"))
    assert isinstance(made, Path), made
    found = compiled.library(made)
    assert found is not None
    return found


PIECES = st.binary(max_size=40) | st.sampled_from([b"a" * n for n in (127, 128, 129, 256, 1000)])


@needs_compiler
@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.none() | PIECES, st.none() | PIECES, st.none() | PIECES), max_size=14),
    st.integers(0, 3),
    st.sampled_from([1, 8, 16, 64]),
    PIECES,
)
def test_digests_in_c_are_those_of_python(
    library, rows: list, first: int, size: int, before: bytes
) -> None:
    columns = [pa.array([row[i] for row in rows], pa.large_binary()).slice(first) for i in range(3)]
    if not len(columns[0]):
        return
    found = compiled.hash_rows(library, columns, size, before, True)
    assert found == digests(messages(columns), size, before)
    texts = [column.fill_null(b"") for column in columns]
    found = compiled.hash_rows(library, texts, size, before, False)
    assert found == digests(joined(*texts).to_pylist(), size, before)
    one = [b"".join(row) for row in zip(*(t.to_pylist() for t in texts), strict=True)]
    assert found == b"".join(hashlib.blake2b(before + m, digest_size=size).digest() for m in one)


@needs_compiler
@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=6), max_size=9), st.sampled_from([1, 8, 64]))
def test_streams_in_c_have_the_digests_of_python(library, messages: list, size: int) -> None:
    expected = [hashlib.blake2b(b"".join(m), digest_size=size).digest() for m in messages]
    assert compiled.hash_streams(library, messages, size) == expected


@needs_compiler
def test_rows_of_very_different_lengths_and_nulls_alone(library) -> None:
    texts = [None, "", "ü" * 60, "x" * 300_000, "\0", None, "a", "b" * 128, "c"]
    columns = [as_bytes(pa.array(texts)), pa.nulls(len(texts), pa.large_binary())]
    found = compiled.hash_rows(library, columns, 16, b"", True)
    assert found is not None
    assert found.hex() == "".join(row_uid(text, None) for text in texts)
    empty = as_bytes(pa.array(["", ""]))
    assert (
        compiled.hash_rows(library, [empty], 8, b"", False)
        == 2 * hashlib.blake2b(digest_size=8).digest()
    )


def test_whatever_was_installed_gives_the_same() -> None:
    """In C where a library stands beside its source, else in Python."""
    assert (compiled.library() is not None) == compiled.library_file().exists()
    uids = [row_uid(text, "t") for text in map(str, range(1_001))]
    assert (
        row_uids([pa.array(list(map(str, range(1_001)))), pa.array(["t"] * 1_001)]).to_pylist()
        == uids
    )
    assert row_chances(pa.array(uids), 7, "salt").tolist() == [
        row_chance(u, 7, "salt") for u in uids
    ]


def test_without_a_compiler_or_with_a_broken_one_it_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "absent"))
    assert "absent" in str(compile_library(compiled.SOURCE, tmp_path))
    monkeypatch.setenv("CC", f"{sys.executable} -c 'raise SystemExit(\"no such processor\")'")
    assert compile_library(compiled.SOURCE, tmp_path) == "no such processor"
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compile_library(compiled.SOURCE, tmp_path) == "no C compiler"
    assert list(tmp_path.iterdir()) == []


def test_a_library_of_another_source_or_machine_is_not_taken(tmp_path: Path) -> None:
    source = tmp_path / "hash_rows.c"
    source.write_text("one")
    one = compiled.library_file(source)
    source.write_text("another")
    assert compiled.library_file(source) != one
    one.write_bytes(b"of another machine")
    assert compiled.library(one) is None
    assert compiled.library(tmp_path / "absent.so") is None


@needs_compiler
def test_every_source_in_c_is_compiled_and_only_the_last_is_kept(tmp_path: Path) -> None:
    assert [ROOT / name for name in SOURCES] == sorted((ROOT / "pairmill").rglob("*.c"))
    for name in SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("int hash_rows(void) { return 1; }\n")
    first = compile_all(tmp_path)
    for name in SOURCES:
        (tmp_path / name).write_text("int hash_rows(void) { return 2; }\n")
    second = compile_all(tmp_path)
    assert sorted(tmp_path.rglob("*.so")) == second != first
    assert second == [compiled.library_file(tmp_path / name) for name in SOURCES]
