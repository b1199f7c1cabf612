"""Links to folders among the input: what lies behind them is read once, and circles end."""

from pathlib import Path

import pytest

from pairmill.errors import RunError
from pairmill.sources.files import Listing, list_inputs

CSV = "url,text\nhttp://a.test/1.jpg,t\n"


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """`in/link` leads out of the folder; `in/sub/loop`, `in/self` and `in/also` lead in circles."""
    for name in ("in/a.csv", "in/sub/b.csv", "far/c.csv", "far/deep/d.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(CSV)
    (tmp_path / "in/link").symlink_to(tmp_path / "far")
    (tmp_path / "in/sub/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/self").symlink_to(".")
    (tmp_path / "in/also").symlink_to(tmp_path / "in/sub")
    (tmp_path / "in/nowhere").symlink_to(tmp_path / "gone")
    return tmp_path


def listing(path: Path, *own: Path) -> Listing:
    return list_inputs([str(path)], lambda name: name.endswith(".csv"), [str(o) for o in own])


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("in", ["a.csv", "link/c.csv", "link/deep/d.csv", "sub/b.csv"]),
        ("in/**", ["a.csv", "link/c.csv", "link/deep/d.csv", "sub/b.csv"]),
        ("in/**/*.csv", ["a.csv", "link/c.csv", "link/deep/d.csv", "sub/b.csv"]),
        ("in/**/deep/*.csv", ["link/deep/d.csv"]),
        ("in/**/**/b.csv", ["sub/b.csv"]),
        ("in/*/*.csv", ["also/b.csv", "link/c.csv", "self/a.csv"]),
        ("in/l*/*.csv", ["link/c.csv"]),
        ("in/link/*.csv", ["c.csv"]),
        ("in/*/loop/a.csv", ["also/loop/a.csv"]),
        ("in/[!a-r]*/**/b.csv", ["self/sub/b.csv"]),
    ],
)
def test_links_to_folders_lead_there_whatever_names_them(
    linked: Path, path: str, names: list[str]
) -> None:
    found = listing(linked / path)
    assert [item.name for item in found.files] == names
    assert [name for name, _ in found.skipped if name != "nowhere"] == []


def test_glob_that_names_nothing_behind_links_is_a_fault(linked: Path) -> None:
    with pytest.raises(RunError, match="matches no file"):
        listing(linked / "in/**/e.csv")


@pytest.mark.parametrize("path", ["in", "in/**/*.csv", "in/*/*.csv", "in/*"])
def test_what_the_pipeline_writes_is_no_input_behind_a_link_either(linked: Path, path: str) -> None:
    found = listing(linked / path, linked / "far")
    assert not any("link" in item.name for item in found.files)
    assert ("link/", "written by this pipeline") in found.skipped
    assert listing(linked / "in/link", linked / "far").files[0].name == "c.csv"
