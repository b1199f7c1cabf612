"""A look at every file of a table source: its columns, and what of the description does not
fit it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from pairmill.schemas.config import value_fields
from pairmill.schemas.hashing import digest
from pairmill.sources.base import Input, NoInput, Unreadable
from pairmill.sources.disguised import disguise
from pairmill.sources.file_looks import FileLooks
from pairmill.sources.found_columns import FileColumns, WrittenColumns
from pairmill.sources.json_documents import refuse_documents
from pairmill.sources.json_tables import is_document, may_be_document
from pairmill.sources.parquet_files import Encrypted, first_line
from pairmill.sources.table_config import ArrowConfig, PairsConfig, ParquetConfig, TableConfig
from pairmill.sources.table_formats import FORMATS
from pairmill.sources.text_profile import profile_of
from pairmill.sources.text_stream import format_of
from pairmill.sources.unpacking import packing_of
from pairmill.version import __version__

WHOLE_BYTES = 64 * 2**20
"""Text files of so many bytes in all are looked at whole."""
PACKED_RATIO = 6
LOOK = 2
"""Raised where a look at the same file finds something else than before."""


def columns_of_files(
    config: TableConfig, inputs: Sequence[Input], whole_bytes: int, looks: FileLooks
) -> tuple[list[FileColumns], list[str], list[Unreadable]]:
    """Footers of Parquet, and a look at text files; what of the description does not fit them; and
    files that are damaged.  Files that are as they were are not opened (`looks`).
    """
    asked = digest({"look": LOOK, "by": __version__, "config": value_fields(config)})
    before = [looks.at(asked, item) for item in inputs]
    kinds = [
        look.kind if look else kind_of(item, config)
        for item, (_, look) in zip(inputs, before, strict=True)
    ]
    size = sum(
        item.size_bytes * (PACKED_RATIO if packing_of(item.name) else 1)
        for item, kind in zip(inputs, kinds, strict=True)
        if kind not in FORMATS
    )

    whole = size <= whole_bytes

    def one(item: Input, kind: str) -> FileColumns | str | Unreadable:
        columns = columns_of(item, kind)
        if isinstance(columns, FileColumns) and not config.columns:
            refuse_documents(item.name, columns.schema.names)
        return columns

    def columns_of(item: Input, kind: str) -> FileColumns | str | Unreadable:
        if kind in FORMATS:
            try:
                schema, rows = FORMATS[kind].schema(item, config)
            except NoInput as error:
                other = disguise(item, kind)
                return f"{item.name}: {other}" if other else str(error)
            except Encrypted as error:
                return Unreadable(item.name, str(error))
            except (OSError, ValueError, pa.ArrowException) as error:
                why = disguise(item, kind) or f"the file is damaged: {first_line(error)}"
                return Unreadable(item.name, why)
            return FileColumns(item, kind, schema, rows=rows)
        assert isinstance(config, PairsConfig)
        if other := disguise(item, kind, config.encoding):
            return Unreadable(item.name, other)
        profile = profile_of(item, kind, config, whole)
        if profile.problems:
            return "; ".join(profile.problems)
        if profile.damage:
            return Unreadable(item.name, profile.damage, rows=profile.lost)
        return FileColumns(item, kind, profile.schema(), profile, whole=whole)

    written = WrittenColumns()
    found: list[FileColumns | str | Unreadable | None] = []
    for item, kind, (_, look) in zip(inputs, kinds, before, strict=True):
        same = look is not None and (kind in FORMATS or look.whole == whole)
        found.append(written.columns(item, look) if look is not None and same else None)
    unseen = dict.fromkeys(at for at, columns in enumerate(found) if columns is None)
    with ThreadPoolExecutor(8) as threads:
        looked = threads.map(one, [inputs[at] for at in unseen], [kinds[at] for at in unseen])
        for at, new_columns in zip(unseen, looked, strict=True):
            found[at] = new_columns
    for at, (item, (stamp, look), columns) in enumerate(zip(inputs, before, found, strict=True)):
        if not isinstance(columns, FileColumns) or stamp is None:
            continue
        kept = look if at not in unseen else written.look(columns, stamp, whole)
        if kept is not None:
            looks.keep(asked, item, kept)
    described = [f for f in found if isinstance(f, FileColumns)]
    return (
        described,
        [*(f for f in found if isinstance(f, str)), *misdescribed(described)],
        [f for f in found if isinstance(f, Unreadable)],
    )


def misdescribed(described: Sequence[FileColumns]) -> list[str]:
    """What is said of files of which most rows cannot be read, unless most rows of all files can:
    then it is these files that are damaged.
    """
    profiles = [one.profile for one in described if one.profile is not None]
    bad = sum(profile.bad for profile in profiles)
    sound = sum(profile.sound for profile in profiles)
    sound += sum(one.rows or 0 for one in described if one.profile is None)
    return [p.mostly_bad for p in profiles if p.mostly_bad] if bad >= sound else []


def kind_of(item: Input, config: TableConfig) -> str:
    """The format of a table file, by the source's type, by `format:` or by its name; raises NoInput
    where it is unknown, or another than the source reads.
    """
    if config.type in FORMATS and not isinstance(config, ParquetConfig | ArrowConfig):
        return config.type
    asked = config.format if isinstance(config, PairsConfig) else None
    kind = asked or format_of(item.name)
    if kind == "jsonl" and not asked and may_be_document(item.name) and is_document(item):
        kind = "json"
    if kind is None and (other := disguise(item, "unknown")):
        raise NoInput(f"{item.name}: {other}")
    if kind is None:
        raise NoInput(
            f"{item.name}: unknown format; use .parquet, .csv, .tsv or .jsonl "
            "(the last three also as .gz, .zst, .bz2 or .xz), or say `format:`"
        )
    wanted = {ParquetConfig: "parquet", ArrowConfig: "arrow"}.get(type(config), kind)
    if kind != wanted:
        raise NoInput(f"{item.name}: this source reads {wanted} alone; `type: pairs` reads others")
    return kind
