"""The layout of a table source: what every file has, how its columns become ours, one type for each
column over all files; and everything about it that is wrong, in one go.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from pairmill.schemas.arrow import POOL_COLUMNS
from pairmill.sources.base import Input, NoInput, Remark, Unreadable
from pairmill.sources.faults import PATH, KeyFault, near_names
from pairmill.sources.file_columns import columns_of_files
from pairmill.sources.file_looks import FileLooks
from pairmill.sources.found_columns import FileColumns
from pairmill.sources.guesses import Guess
from pairmill.sources.image_column import found_image
from pairmill.sources.names import FileMapping, map_columns
from pairmill.sources.table_config import TableConfig
from pairmill.sources.table_file import TableFile
from pairmill.sources.text_files import WINDOW_BYTES
from pairmill.sources.values import is_list, path_type
from pairmill.sources.widening import Seen, TypesDiffer, common_type, is_unseen, settled

MOST_SHOWN = 5
IMAGE_FILE = "image_file"
"""Column with the names of image files, where the input's column of images holds names."""
TYPES = {
    "text": pa.string(), "int64": pa.int64(), "uint64": pa.uint64(), "float64": pa.float64(),
    "bool": pa.bool_(),
}  # fmt: skip


@dataclass
class Layout:
    """The files of a table source, how they are read, and what they have in common."""

    files: list[TableFile]
    schema: pa.Schema
    """Our columns, without those of images."""
    image: str | None
    remarks: list[Remark] = field(default_factory=list)
    damaged: list[Unreadable] = field(default_factory=list)
    """Files of which nothing can be read."""
    unseen: frozenset[str] = frozenset()
    """Columns of which no file has a value."""
    names_images: bool = False
    """Whether images may be files that the column of images names."""
    short_looks: bool = False
    """Whether files shorter than a window were looked at by windows: their headers were once taken
    for rows, so what was stored then has other types.
    """

    def mapping(self) -> list[str]:
        """The mapping of each kind of file, in words."""
        kinds: dict[str, list[str]] = {}
        for file in self.files:
            sentence = file.mapping.sentence()
            if self.image:
                sentence = f"image ← {self.image}, {sentence}"
            kinds.setdefault(sentence, []).append(file.item.name)
        if len(kinds) == 1:
            return list(kinds)
        return [f"{some(names)}: {sentence}" for sentence, names in kinds.items()]


def some(names: Sequence[str]) -> str:
    """Up to three names, or two of them and how many more there are."""
    more = f" and {len(names) - 2:,} more" if len(names) > 3 else ""
    return ", ".join(names[: 2 if more else 3]) + more


def layout_of(
    config: TableConfig, inputs: Sequence[Input], whole_bytes: int, looks: FileLooks
) -> Layout:
    """Raises NoInput with everything that is wrong."""
    described, unread, damaged = columns_of_files(config, inputs, whole_bytes, looks)
    if not described:
        reasons = [*unread, *(f"{d.location}: {d.reason}" for d in damaged)]
        raise NoInput("no input file can be read: " + "; ".join(reasons[:MOST_SHOWN]))
    image = config.image or found_image(config, [one.schema for one in described])
    problems = [
        *map(KeyFault, unread),
        *(
            lacking_image(one, image, named=config.image is not None)
            for one in described
            if image and path_type(one.schema, image) is None
        ),
    ]
    what = "carriage returns alone, as on old Macs: read as line feeds, within values too"
    remarks = [
        Remark("line ends", one.item.name, what)
        for one in described
        if one.profile and one.profile.old_line_ends
    ]
    files = mapped(config, described, image, problems, remarks)
    found = types_over(config, files, image, problems)
    schema = pa.schema([pa.field(f.name, settled(f.type)) for f in found])
    if problems:
        more = [f"and {len(problems) - MOST_SHOWN} more"] if len(problems) > MOST_SHOWN else []
        raise NoInput(*problems[:MOST_SHOWN], *more)
    if IMAGE_FILE not in schema.names and names_files(image, described):
        schema = schema.append(pa.field(IMAGE_FILE, pa.string()))
    unseen = frozenset(f.name for f in found if is_unseen(f.type))
    naming = any(may_name(path_type(one.schema, image)) for one in described) if image else False
    short = any(
        one.profile and not one.whole and one.item.size_bytes <= WINDOW_BYTES for one in described
    )
    return Layout(files, schema, image, remarks, damaged, unseen, naming, short)


def lacking_image(one: FileColumns, image: str, named: bool) -> KeyFault:
    """A file without the column of images, whether or not the pipeline file names that column."""
    have = one.schema.names
    remedy = "name the one of images with `image:`"
    if not named:
        remedy += ", or write `type: pairs` for addresses or texts without images"
    return KeyFault(
        f"{one.item.name} has no column {image!r}{near_names(image, have)} "
        f"(columns: {listed(have)}); {remedy}",
        ("image",) if named else PATH,
    )


def names_files(image: str | None, described: Sequence[FileColumns]) -> bool:
    """Whether the column of images holds names of files."""
    types = [path_type(one.schema, image) for one in described] if image else []
    return any(t is not None and pa.types.is_string(t) for t in types)


def may_name(kind: pa.DataType | None) -> bool:
    """Whether values of a type may name files of images, beside or in place of their bytes."""
    if kind is None:
        return False
    if pa.types.is_struct(kind):
        return any(field.name == "path" for field in kind)
    return may_name(kind.value_type) if is_list(kind) else pa.types.is_string(kind)


def listed(names: Sequence[str]) -> str:
    """The first forty names, and how many there are in all."""
    return ", ".join(names[:40]) + (f", … ({len(names):,} in all)" if len(names) > 40 else "")


def mapped(
    config: TableConfig,
    described: Sequence[FileColumns],
    image: str | None,
    problems: list[KeyFault],
    remarks: list[Remark],
) -> list[TableFile]:
    """The files with the mappings of their columns; a column of `columns:` that no file has is
    added to `problems`, one that some files lack to `remarks`.
    """
    schemas = [with_partitions(one) for one in described]
    every = list(dict.fromkeys(name for schema in schemas for name in schema.names))
    for ours, wanted in config.columns.items():
        for path in [wanted] if isinstance(wanted, str) else wanted:
            lack = [
                one.item.name
                for one, schema in zip(described, schemas, strict=True)
                if path_type(schema, path) is None
            ]
            if len(lack) == len(described):
                near = near_names(path, every)
                what = f"{some(lack)} has no column {path!r} for {ours!r}{near}"
                fault = KeyFault(f"{what} (columns: {listed(every)})", ("columns", ours))
                problems.append(fault)
            elif lack and isinstance(wanted, str):
                why = f"no column {path!r} for {ours!r}"
                remarks += [Remark("files without a column", name, why) for name in lack]
    lists = {f.name for schema in schemas for f in schema if is_list(f.type)}
    names = [schema.names for schema in schemas]
    mappings = map_columns(names, config.columns, image, lists)
    files = [
        TableFile(
            one.item,
            one.kind,
            schema,
            mapping,
            one.profile,
            one.rows,
            frozenset(one.schema.names),
            getattr(config, "encoding", "utf-8"),
        )
        for one, schema, mapping in zip(described, schemas, mappings, strict=True)
    ]
    sound: dict[tuple[pa.Schema, str], FileMapping] = {}
    for at, file in enumerate(files):
        kind = file.schema, repr(file.mapping)
        if (mapping := sound.get(kind)) is None:
            faults = len(problems)
            mapping = checked(file, config, problems)
            if len(problems) == faults:  # of a fault each file is told
                sound[kind] = mapping
        files[at] = replace(file, mapping=mapping)
    return files


def with_partitions(one: FileColumns) -> pa.Schema:
    """The file's columns and those of its Hive partitions that it has not itself."""
    if not one.item.partitions:
        return one.schema
    own = [pa.field(k, pa.string()) for k, _ in one.item.partitions if k not in one.schema.names]
    return pa.schema([*one.schema, *own])


def checked(file: TableFile, config: TableConfig, problems: list[KeyFault]) -> FileMapping:
    """The mapping without paths that lead nowhere in this file."""
    made = {}
    for ours, paths in file.mapping.made.items():
        key = ("columns", ours) if ours in config.columns else PATH
        there = [(p, t) for p in paths if (t := path_type(file.schema, p)) is not None]
        for path, dtype in there:
            text = ours in POOL_COLUMNS.names and ours != "position"
            if not text:
                continue
            if is_list(dtype) and ours == "text" and not pa.types.is_nested(dtype.value_type):
                if config.captions is None:
                    what = (
                        f"{file.item.name}: text is taken from {path!r}, a list of captions "
                        f"({dtype}); say `captions: first`, `captions: join` or `captions: rows`"
                    )
                    problems.append(KeyFault(what, key))
            elif pa.types.is_nested(dtype):
                what = (
                    f"{file.item.name}: {ours} is taken from {path!r}, which is {dtype!s:.200}; "
                    f"name what in it is meant, such as `columns: {{{ours}: {path}.…}}`, "
                    "or another column"
                )
                problems.append(KeyFault(what, key))
        if there:
            made[ours] = tuple(p for p, _ in there)
    return FileMapping(made, file.mapping.others)


def types_over(
    config: TableConfig, files: Sequence[TableFile], image: str | None, problems: list[KeyFault]
) -> pa.Schema:
    """One type for each of our columns, null where no file has a value."""
    names = list(dict.fromkeys(n for file in files for n in file.mapping.names()))
    seen: dict[str, list[Seen]] = {name: [] for name in names}
    for file in files:
        for ours, paths in file.mapping.made.items():
            seen[ours] += [one_seen(file, path) for path in paths]
        for theirs, ours in file.mapping.others.items():
            seen[ours].append(one_seen(file, theirs))
    fields = []
    for name in names:
        fixed = POOL_COLUMNS.field(name).type if name in POOL_COLUMNS.names else None
        if name in config.types:
            fixed = TYPES[config.types[name]]
        try:
            dtype = fixed or common_type(name, seen[name])
        except TypesDiffer as error:
            problems.append(KeyFault(str(error)))
            continue
        fields.append(pa.field(name, dtype))
    problems += [
        KeyFault(
            f"types: there is no column {name!r}{near_names(name, names)} "
            f"(columns: {listed(names)})",
            ("types", name),
        )
        for name in config.types
        if name not in names
    ]
    return pa.schema(fields)


def one_seen(file: TableFile, path: str) -> Seen:
    """A column, or a path into one, as one file has it: its type, and for text formats and Hive
    partitions what its values looked like.
    """
    dtype = path_type(file.schema, path) or pa.null()
    own = dict(file.item.partitions)
    if path in own and path not in (file.profile.names() if file.profile else file.own):
        guess = Guess()
        value = own[path]
        guess.add_texts(pa.chunked_array([pa.array([value], pa.string())]))
        return Seen(file.item.name, dtype, guess)
    if file.profile is None:
        return Seen(file.item.name, dtype)
    found = file.profile.guesses.get(path)
    guess = Guess() if found is None else found
    if found is None and file.schema.get_field_index(path) < 0:  # a path into JSON text
        guess.kinds.add("text")
    return Seen(file.item.name, dtype, guess)
