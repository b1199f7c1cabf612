"""Which of the input's columns become which of ours: names of known data sets, `columns:`, and
plain names for all others.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pairmill.schemas.arrow import LEDGER

URL_NAMES = ("url", "image_url", "img_url", "image", "src", "link")
TEXT_NAMES = ("text", "caption", "alt", "alt_text", "title", "description")
UID_NAMES = ("uid", "sample_id", "id")
"""`key` is missing on purpose: img2dataset's keys begin anew in every data set."""
KNOWN = (("url", URL_NAMES), ("text", TEXT_NAMES), ("uid", UID_NAMES))
CLAIMS = {
    "width",
    "height",
    "original_width",
    "original_height",
    "sha256",
    "md5",
    "status",
    "error_message",
    "exif",
    "mime_type",
    "key",
}
"""Facts that the input claims about its images; the pipeline measures its own, so these get another
name.
"""
CLAIM_PREFIX = "declared_"
INTERNAL = {"row", "error", *LEDGER.names} - {"uid"}
"""Names that stored column files and the ledger use themselves."""

Columns = dict[str, str | list[str]]
"""Our column → the input's, a dotted path into one, or several of which the first value counts."""


@dataclass(frozen=True)
class FileMapping:
    """How one file's columns become ours."""

    made: dict[str, tuple[str, ...]]
    """Ours → the input's columns or dotted paths; the first that is not null is the value."""
    others: dict[str, str]
    """The input's column → the name under which it is kept as it is."""

    @cached_property
    def kept(self) -> dict[str, str]:
        """`others` the other way round."""
        return {ours: theirs for theirs, ours in self.others.items()}

    def names(self) -> list[str]:
        """Our columns that the file gives."""
        return [*self.made, *self.others.values()]

    def sentence(self) -> str:
        """`url ← URL, text ← alt, title; as they are: width → declared_width, tags`."""
        made = ", ".join(f"{ours} ← {', '.join(theirs)}" for ours, theirs in self.made.items())
        others = [
            theirs if theirs == ours else f"{theirs} → {ours}"
            for theirs, ours in self.others.items()
            if ours != "position"
        ]
        shown = ", ".join(others[:30]) + (f", … ({len(others)} in all)" if len(others) > 30 else "")
        placed = "; documents in the order of position, numbered anew from 0"
        return (
            (made or "no column known")
            + (f"; as they are: {shown}" if others else "")
            + (placed if "position" in self.others.values() else "")
        )


def map_columns(
    files: Sequence[Sequence[str]],
    columns: Columns,
    image: str | None = None,
    lists: Iterable[str] = (),
    with_images: bool = False,
) -> list[FileMapping]:
    """The mapping of each file, given the names of its columns.

    `columns` comes first, then the names of known data sets, in each file by itself.  A column of
    another name keeps it over all files.  `image`: a column that is read by itself; `with_images`:
    the rows get images from elsewhere.  `lists`: the input's columns that are lists; such a one is
    kept beside the text made of it.
    """
    lists, with_images = set(lists), with_images or image is not None
    made = [_made([n for n in names if n != image], columns, with_images) for names in files]
    rest = []
    for names, own in zip(files, made, strict=True):
        used = {
            paths[0]
            for ours, paths in own.items()
            if len(paths) == 1 and (ours != "text" or paths[0] not in lists)
        }
        rest.append([n for n in names if n not in used and n != image])
    taken = {ours for own in made for ours in own} | ({"image"} if with_images else set())
    if not any(
        "doc_id" in own or "doc_id" in names for own, names in zip(made, files, strict=True)
    ):
        taken.add("position")  # a place in a document, where there are documents
    others = _names_of_others(rest, taken)
    return [
        FileMapping(own, {name: others[name] for name in names})
        for own, names in zip(made, rest, strict=True)
    ]


def _made(names: Sequence[str], columns: Columns, with_images: bool) -> dict[str, tuple[str, ...]]:
    made: dict[str, tuple[str, ...]] = {}
    every = set(names)
    for ours, wanted in columns.items():
        paths = [wanted] if isinstance(wanted, str) else wanted
        if there := tuple(p for p in paths if column_of(p, every.__contains__) is not None):
            made[ours] = there
    used = {path for paths in made.values() for path in paths if path in every}
    lower = {name.lower(): name for name in reversed(names)}
    for ours, known in KNOWN:
        if ours in made:
            continue
        for candidate in known:
            theirs = lower.get(candidate)
            if (
                theirs is not None
                and theirs not in used
                and not (candidate == "image" and with_images)
            ):
                made[ours] = (theirs,)
                used.add(theirs)
                break
    return made


def column_of(path: str, there: Callable[[str], bool]) -> str | None:
    """The column that a path leads into: the column of that very name, else the one of the longest
    beginning that ends at a dot.
    """
    steps = path.split(".")
    for length in range(len(steps), 0, -1):
        if there(name := ".".join(steps[:length])):
            return name
    return None


def _names_of_others(files: Sequence[Sequence[str]], taken: set[str]) -> dict[str, str]:
    """The input's column → our name; two that stand in one file never get the same."""
    kinds = [set(names) for names in {tuple(names) for names in files}]
    alike: dict[str, list[str]] = {}
    for theirs in dict.fromkeys(name for names in files for name in names):
        alike.setdefault(plain_name(theirs), []).append(theirs)
    found: dict[str, str] = {}
    for plain, group in alike.items():
        for i, theirs in enumerate(group):
            beside = [
                found[other]
                for other in group[:i]
                if any(other in names and theirs in names for names in kinds)
            ]
            ours = plain
            while ours in taken or ours in beside:
                ours += "_"
            found[theirs] = ours
    return found


def plain_name(theirs: str) -> str:
    """A column's name in small letters, digits and underscores; `declared_…` for what the pipeline
    measures itself.
    """
    letters = "".join(c if c.isalnum() else "_" for c in theirs.lower())
    plain = letters.strip("_") or "column"
    if plain in INTERNAL:
        plain += "_"
    return CLAIM_PREFIX + plain if plain in CLAIMS else plain


def column_names(found: list[str], mapping: dict[str, str], image: bool) -> dict[str, str]:
    """Input column → our column, for a single set of names."""
    one = map_columns([found], dict(mapping), with_images=image)[0]
    return {theirs[0]: ours for ours, theirs in one.made.items()} | one.others
