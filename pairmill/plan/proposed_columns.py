"""Which columns of an input a first pipeline file names, where the names alone do not tell them."""

from typing import Any

import pyarrow as pa

from pairmill.errors import BadRequest
from pairmill.plan.columns_by_value import (
    ADDRESS,
    ENCODED,
    PICTURE,
    ColumnChoice,
    TextSample,
    address,
    below,
    caption,
    folder_of,
    mixed,
    names_files,
    no_address,
    picture_file,
    picture_text,
    texts_of,
)
from pairmill.sources.base import Source, Unreadable
from pairmill.sources.local_images import without_number
from pairmill.sources.tables import TableSource

NOTHING = "no column holds addresses"
NO_ROW = "no row can be read"
LOOKED_AT = 1000
"""Rows whose values are looked at where no name of a column is known."""


class NoProposal(BadRequest):
    """The input is nothing that pairmill reads, or holds neither addresses nor images."""


def first_rows(source: Source) -> pa.Table:
    """The first rows, at most `LOOKED_AT`; raises NoProposal where none can be read."""
    names = ", ".join(source.schema().names)
    why = f"there is nothing below the names of columns ({names})"
    for part in source.read():
        if isinstance(part, pa.Table) and part.num_rows:
            return part.slice(0, LOOKED_AT)
        if isinstance(part, Unreadable):
            why = f"{part.location}: {part.reason}"
    raise NoProposal(f"{NO_ROW}: {why}")


def by_values(source: Source, path: str) -> tuple[dict[str, Any], list[str]]:
    """(keys for what the names of columns do not tell, what else might have been meant).

    Pictures in base64 are `image`.  Where there is neither address nor image, the first column of
    addresses is `url`, else the first of names of picture files is `image`; the one of the longest
    texts is `text`; where a known name holds objects, a member of theirs.
    """
    names = set(source.schema().names)
    if not isinstance(source, TableSource):
        return {}, []
    texts = texts_of(renamed(source, first_rows(source)))
    made = {ours: paths[0] for ours, paths in source.layout().files[0].mapping.made.items()}
    columns: dict[str, str] = {}
    keys: dict[str, Any] = {}
    notes: list[str] = []

    def take(ours: str, choice: ColumnChoice | None) -> None:
        if choice is not None:
            columns[ours] = choice.path
            notes.extend(choice.note(ours))

    if "image" in made.values() and below(texts, "image").values:
        columns["image_facts"] = "image"  # `image` is the name of what will be fetched
    if "url" in made and "image" not in names:
        take("url", address(below(texts, made["url"])))
    pictures = picture_text(texts)
    named = set(texts.mostly(PICTURE)) - set(texts.mostly(ADDRESS))
    if pictures is None and not names & {"url", "image"}:
        take("url", address(texts))
        pictures = None if "url" in columns else picture_file(texts)
    elif pictures is None and made.get("url") in named and "image" not in names:
        pictures = ColumnChoice(made["url"], ())  # a known name of addresses, with names of files
    elif pictures is None and names_files(path, texts.values.get(made.get("url", ""), [])):
        pictures = ColumnChoice(made["url"], ())  # names without a suffix
    if pictures is not None:
        keys["image"] = pictures.path
        named_files = [without_number(name) for name in texts.values[pictures.path]]
        if folder := None if ENCODED.match(named_files[0]) else folder_of(path, named_files):
            keys["images"] = folder
        notes.extend(pictures.note("image"))
        made = {ours: theirs for ours, theirs in made.items() if theirs != pictures.path}
    elif not names & {"url", "image"} and "url" not in columns:
        inner = (path for path in texts.values if "." in path)
        have = ", ".join(n[:40] for n in [*source.layout().files[0].schema.names, *inner])
        raise NoProposal(f"{NOTHING} or names of picture files (columns: {have})")
    chosen = columns.get("url") or keys.get("image") or made.get("url", "")
    notes += mixed(texts, chosen) or no_address(texts, "" if "image" in keys else chosen)
    refuse_wrong_header(source, columns.get("url") or keys.get("image"), texts, path)
    take("text", caption(below(texts, made["text"]) if "text" in made else texts))
    text = columns.get("text", made.get("text"))
    if text in texts.lists:
        keys["captions"] = "first"
        notes.append(f"text is the first of each list in {text}; `captions: rows` takes all")
    if "caption" in names and text is not None:  # the name of what packages call the text
        columns |= {"text": text, "given_caption": "caption"}
    return {**keys, **({"columns": columns} if columns else {})}, notes


def refuse_wrong_header(
    source: TableSource, path: str | None, texts: TextSample, table: str
) -> None:
    """Raises NoProposal where the names of columns are values of the first row, or the first row
    holds names.
    """
    if path is None:
        return
    first, header = texts.values[path][0], getattr(source.config, "header", None)
    if ENCODED.match(path) or (PICTURE.search(path) and names_files(table, [path])):
        raise NoProposal(f"{NOTHING} above its first row, which is no header")
    if header is False and not any(s.search(first) for s in (ADDRESS, PICTURE, ENCODED)):
        raise NoProposal(f"{NOTHING} in its first line, so that is a header")


def renamed(source: TableSource, rows: pa.Table) -> pa.Table:
    """The rows under the names that the input has for its columns."""
    mapping = source.layout().files[0].mapping
    theirs = {**{ours: paths[0] for ours, paths in mapping.made.items()}, **mapping.kept}
    found = {theirs.get(name, name): rows.column(name) for name in rows.schema.names}
    return pa.table(found)
