"""Tables of pairs: Parquet, CSV, TSV and JSON lines, with or without image bytes."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.sources.arrow_files import saved_by_datasets
from pairmill.sources.base import Remark, Source, Unit, Unreadable
from pairmill.sources.file_columns import WHOLE_BYTES
from pairmill.sources.files import Listing
from pairmill.sources.image_bytes import image_columns, measured_schema
from pairmill.sources.input_file import Input
from pairmill.sources.json_lines import to_table
from pairmill.sources.layout import IMAGE_FILE, Layout, layout_of, listed
from pairmill.sources.local_images import ImageFiles, with_images, without_pictures
from pairmill.sources.misfits import Heard, Misfits
from pairmill.sources.parquet_files import parquet_rows
from pairmill.sources.rows import Part, Rows, line_place, row_place, without
from pairmill.sources.sound_values import as_texts
from pairmill.sources.table_config import PairsConfig, ParquetConfig, TableConfig
from pairmill.sources.table_file import TableFile, json_schema, with_partition_columns
from pairmill.sources.table_formats import FORMATS
from pairmill.sources.text_files import json_rows, separated_rows
from pairmill.sources.text_stream import TextRange, format_of
from pairmill.sources.values import at_path, fitted, is_list, no_fit, one_caption, one_row_each

__all__ = ["PairsConfig", "ParquetConfig", "TableSource", "to_table", "with_source"]

IMAGE = "#image"
"""Our column of the input's images until they are measured; no name of an input has a `#`."""
Within = range | TextRange | None
"""Row groups or bytes of a file; None for all of it."""


class TableSource(Source):
    """Reads tables; names and types are decided over all files before the first row is read."""

    config: TableConfig

    def __init__(self, config: TableConfig) -> None:
        super().__init__(config)
        self.whole_bytes = WHOLE_BYTES
        """Up to which size text files are looked at whole before they are read."""
        self._layout: Layout | None = None
        self._files: ImageFiles | None = None

    def reads(self, name: str) -> bool:
        kind = format_of(name)
        if isinstance(self.config, PairsConfig):
            return self.config.format is not None or kind is not None
        return kind == self.config.type

    def listing(self) -> Listing:
        if self._listing is None:
            found = super().listing()
            found.files, left = saved_by_datasets(found.files)
            found.skipped += left
        return super().listing()

    def inputs(self) -> list[Input]:
        """The tables, and the image files that they may name."""
        named = self.config.images is not None or self.layout().names_images
        return [*self.listing().files, *(self.files().inputs() if named else ())]

    def files(self) -> ImageFiles:
        """The folder of images that columns name: the one that is named, or the tables' own."""
        if self._files is None:
            own = self.listing().files[0].url.rpartition("/")[0]
            self._files = ImageFiles(self.config.images, own, self.own)
        return self._files

    def layout(self) -> Layout:
        """What all files have in common, found once."""
        if self._layout is None:
            self._layout = layout_of(
                self.config, self.listing().files, self.whole_bytes, self.looks
            )
        return self._layout

    @property
    def image(self) -> str | None:
        """The column that holds the images, or None."""
        return self.layout().image

    def schema(self) -> pa.Schema:
        return pa.schema([*self.layout().schema, *(measured_schema() if self.image else [])])

    def options(self) -> dict[str, Any]:
        """Also how files were looked at, where that was once done otherwise."""
        found = super().options()
        return {**found, "short looks": 2} if self.layout().short_looks else found

    def unseen(self) -> frozenset[str]:
        return self.layout().unseen

    def mapping(self) -> list[str]:
        return self.layout().mapping()

    def file_with(self, column: str) -> str:
        names = [f.item.name for f in self.layout().files if column in f.mapping.names()]
        return names[0] if names else super().file_with(column)

    def advice(self, column: str) -> str:
        """What the files have instead of a column, and the `columns:` line that would give it."""
        names = list(dict.fromkeys(n for f in self.layout().files for n in f.schema.names))
        if len(names) == 1 and (sign := next((s for s in "\t;|" if s in names[0]), None)):
            return (
                f"the input has one column, {names[0]!r}; if its values are set apart by {sign!r}, "
                f"say `delimiter: {json.dumps(sign)}`"
            )
        near = next((n for n in names if like(column, n)), None)
        line = f"columns: {{{column}: {near or '…'}}}"
        return (
            f"the input has no column that is known as {column!r} (columns: {listed(names)}); "
            f"name the one that is: `{line}`"
        )

    def remarks(self) -> list[Remark]:
        return [*super().remarks(), *self.layout().remarks]

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        for unit in self.units():
            yield from unit.read()

    def units(self) -> list[Unit]:
        """File by file, behind what was found damaged by a look at all of them."""
        misfits = Misfits()
        heard = partial(misfits.heard, self.layout().schema)
        found = [
            Unit(
                (f.item,),
                partial(self._rows_of, f, heard),
                repr((f.kind, f.mapping)),
                misfits.passed,
                partial(self._parts_of, f),
                heard,
                f.profile is not None and f.profile.parts is not None,
                rows=f.rows or 0,
            )
            for f in self.layout().files
        ]
        damaged = self.layout().damaged
        return [Unit((), lambda: iter(damaged), repr(damaged)), *found] if damaged else found

    def _parts_of(self, file: TableFile) -> list[Callable[[], Iterator[Any]]]:
        """What reads each part of a file."""
        return [partial(self._rows_of, file, None, within) for within in file.within]

    def _rows_of(
        self, file: TableFile, heard: Heard | None, within: Within = None
    ) -> Iterator[pa.Table | Unreadable | Remark]:
        """The rows of a file, or of a part of it; `heard`: who counts misfits, if nobody else."""
        for part in parts_of(file, self.config, self.layout().schema, within):
            if not isinstance(part, Rows):
                yield part
                continue
            ours, bad, repaired = self._ours(part, file)
            if heard:
                heard(part.table.num_rows, bad)
            yield from repaired
            yield from bad
            yield from self._finished(ours, file)

    def _ours(self, part: Rows, file: TableFile) -> tuple[Rows, list[Unreadable], list[Remark]]:
        """One part of a file in our columns and types, the rows that do not fit them, and what was
        repaired.
        """
        raw = with_partition_columns(part.table, file)
        columns: dict[str, pa.ChunkedArray] = {}
        bad: dict[int, Unreadable] = {}
        repaired: list[Remark] = []

        def where(row: int) -> str:
            return place_of(file, part.places[row])

        for field in self.layout().schema:
            named = field.name == IMAGE_FILE and IMAGE_FILE not in file.mapping.names()
            values = (
                at_path(raw, self.image)
                if named and self.image
                else self._column(raw, file, field, where, repaired)
            )
            if field.name == "text" and is_list(values.type):  # captions: rows
                columns[field.name] = values
                continue
            if named:
                values = without_pictures(values)
            columns[field.name], places = fitted(values, field.type)
            for i in places:
                why = no_fit(values[i].as_py(), field.type)
                fault = Unreadable(where(i), why, field.name, misfit=True)
                bad.setdefault(i, fault)
        if self.image:
            columns[IMAGE] = at_path(raw, self.image)
        rows = Rows(pa.table(columns), part.places)
        sound = without(rows, list(bad)) if bad else rows
        return sound, [bad[i] for i in sorted(bad)], repaired

    def _column(
        self,
        raw: pa.Table,
        file: TableFile,
        field: pa.Field,
        where: Callable[[int], str],
        repaired: list[Remark],
    ) -> pa.ChunkedArray:
        """Values of one of our columns, not yet of its type; of texts in bytes what was repaired is
        added to `repaired`.
        """
        made = file.mapping.made.get(field.name)
        kept = file.mapping.kept.get(field.name)
        paths = made or ([] if kept is None else [kept])
        found = [at_path(raw, path) for path in paths]
        if pa.types.is_string(field.type):
            for at, path in enumerate(paths):
                found[at], remarks = as_texts(found[at], path, where)
                repaired += remarks
        if made and field.name == "text":
            found = [one_caption(values, self.config.captions) for values in found]
        if len(found) == 1:
            return found[0]
        if not found:
            return pa.chunked_array([pa.nulls(raw.num_rows)])
        return pc.coalesce(*(fitted(values, field.type)[0] for values in found))

    def _finished(self, rows: Rows, file: TableFile) -> Iterator[pa.Table | Unreadable]:
        """A row for each caption where that is asked for, the file's name, and the images."""
        table, places = rows.table, rows.places
        if not table.num_rows:
            return
        if "text" in table.schema.names and is_list(table.schema.field("text").type):
            table, places = one_row_each(table, "text", places)
        table = with_source(table, file.item.name)
        if not self.image:
            yield table
            return
        where = [place_of(file, place) for place in places]
        for part in with_images(table, IMAGE, where, self.files()):
            if isinstance(part, Unreadable):
                yield part
            else:
                yield from image_columns(part[0], IMAGE, file.item.name, part[1], self.config.check)


def parts_of(
    file: TableFile, config: TableConfig, schema: pa.Schema, within: Within = None
) -> Iterator[Part]:
    """The rows of one file, or of a part; what a look has parsed already is given away, and
    forgotten.
    """
    if isinstance(within, range):
        yield from parquet_rows(file.item, groups=within)
        return
    if file.kind in FORMATS:
        yield from FORMATS[file.kind].rows(file.item, config)
        return
    assert file.profile is not None
    assert isinstance(config, PairsConfig)
    if file.profile.parts is not None:
        parts, file.profile.parts = file.profile.parts, None
        yield from parts
    elif file.profile.dialect is not None:
        yield from separated_rows(file.item, file.profile.dialect, config, within=within)
    else:
        nested = file.profile.nested()
        yield from json_rows(file.item, json_schema(file, schema), nested, config.encoding, within)


def place_of(file: TableFile, place: int) -> str:
    """Where a row stands, for messages: its line in text formats, else its row."""
    where = row_place if file.kind in FORMATS else line_place
    return where(file.item.name, int(place))


def like(column: str, name: str) -> bool:
    """Whether a column's name sounds as if it held what is missing."""
    words = {
        "url": ("url", "link", "src", "uri", "href", "image", "img", "picture", "photo"),
        "text": ("text", "caption", "alt", "title", "descr", "prompt", "words"),
        "image": ("image", "img", "jpg", "jpeg", "png", "picture", "photo", "bytes"),
    }.get(column, (column,))
    return any(word in name.lower() for word in words)


def with_source(table: pa.Table, file: str) -> pa.Table:
    """Adds the file's name as `source`, unless the input has such a column."""
    if "source" in table.schema.names:
        return table
    return table.append_column("source", pa.repeat(pa.scalar(file, pa.string()), table.num_rows))
