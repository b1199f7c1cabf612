"""Conversations with pictures, as TRL, LLaMA-Factory, ms-swift and LLaVA read them."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.outputs.base import Loading, OutputFile, Problem, ShardRows, bytes_file
from pairmill.outputs.chosen import WITHOUT
from pairmill.outputs.conversations import (
    MESSAGES,
    Message,
    as_llava,
    asked_for,
    keys_of,
    tagged,
    tell_misfits,
    told_by,
)
from pairmill.outputs.features import with_features
from pairmill.outputs.imaged import ImageOutputConfig, ImageWriter
from pairmill.outputs.parquet import DATA, IMAGE, columns_of, image_array
from pairmill.outputs.parquet_files import parquet_file, streamed_parquet
from pairmill.outputs.values import (
    holds_bytes,
    json_bytes,
    json_column,
    leaving,
    leaving_field,
    tell_not_finite,
)
from pairmill.schemas.config import SPEED
from pairmill.schemas.expressions import unknown_column

OWN = ("messages", "images", "images_file_names", "key", "id", "image", "conversations")
PICTURES = "images"
"""Folder of pictures, and in it of a table that tells `datasets` what belongs to them."""
TRL = (
    "TRL: `load_dataset(FOLDER)` gives `messages` and `images` as `SFTTrainer` takes them for "
    "vision models."
)
FACTORY = (
    "LLaMA-Factory, ms-swift: the lines hold `messages` with `<image>` and `images` relative to "
    "this folder (`media_dir`, `ROOT_IMAGE_DIR`)."
)
LLAVA = "LLaVA: `--data_path FOLDER/00000.json --image_folder FOLDER/images`."


class MessagesOutputConfig(ImageOutputConfig):
    """Each sample a conversation with one picture.

    `layout: parquet` writes `data/00000.parquet` with `messages` and `images` (for TRL); `jsonl`
    `00000.jsonl` and the pictures in `images/00000` (for LLaMA-Factory and ms-swift); `llava`
    `00000.json` and the pictures.
    """

    type: Annotated[Literal["messages"], SPEED] = "messages"
    layout: Literal["parquet", "jsonl", "llava"] = "parquet"
    """Which files are written."""
    messages: str | None = None
    """Column with conversations: a list of structs with `role` and `content`, or LLaVA's `from` and
    `value`; if absent, the caption answers `prompt`.
    """
    prompt: str = Field("Describe the image.", min_length=1)
    """What the user asks where there is no column of conversations."""
    image_tag: bool | None = None
    """Whether `<image>` stands in the first user message.  TRL puts the picture there by itself;
    LLaMA-Factory and LLaVA want the tag.  If absent: not in Parquet, in the others.
    """
    samples_per_shard: int = Field(10_000, ge=1, le=10_000_000)
    """Samples in each output shard; 1,000,000 if absent with `layout: llava`, which is read as one
    file.
    """

    @model_validator(mode="before")
    @classmethod
    def _one_file(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("layout") == "llava":
            return {"samples_per_shard": 1_000_000, **data}
        return data


class MessagesWriter(ImageWriter):
    """Rows without a conversation, or without a caption, are packed with an empty answer."""

    Config = MessagesOutputConfig
    reserved = OWN

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        yield from super().problems(schema)
        name = self.config.messages
        if name is not None and name not in schema.names:
            yield ("messages",), unknown_column("the messages output", name, schema.names)
        elif name is not None and keys_of(schema.field(name).type) is None:
            yield (
                ("messages",),
                f"{name!r} is {schema.field(name).type}, no conversation; that is a list of "
                "structs "
                "with `role` and `content`, or with `from` and `value`",
            )

    def refused(self, column: pa.Field) -> str | None:
        if self.config.layout != "parquet" and holds_bytes(column.type):
            return "JSON has no bytes"
        return super().refused(column)

    def quality_columns(self, schema: pa.Schema) -> list[str]:
        return [n for n in super().quality_columns(schema) if n != self.config.messages]

    def text_columns(self, schema: pa.Schema) -> list[str]:
        own = [self.config.messages] if self.config.messages else []
        return [*own, *super().text_columns(schema)]

    def others(self, schema: pa.Schema) -> list[str]:
        """Columns beside messages and pictures."""
        taken = (self.config.messages, self.config.image)
        return [n for n in self.columns(schema) if n not in taken]

    def conversations(self, rows: ShardRows) -> list[list[Message]]:
        """A conversation for each row: its column's, or the caption as the answer to the prompt, in
        the roles and with the image tags of the layout.
        """
        if self.config.messages:
            column = rows.table.column(self.config.messages)
            keys = keys_of(column.type)
            assert keys, "`problems` has looked at the type"
            found = [told_by(turns or [], keys, rows.told) for turns in column.to_pylist()]
            if empty := sum(not talk for talk in found):
                rows.told[f"{WITHOUT}a conversation: {self.config.messages!r} is empty"] += empty
        else:
            texts, prompt = self.choice.of_shard(rows), self.config.prompt
            found = [asked_for(text or "", prompt, rows.told) for text in texts]
        layout, tag = self.config.layout, self.config.image_tag
        tag = layout != "parquet" if tag is None else tag
        tell_misfits(found, rows.told, layout == "llava")
        if layout == "llava":
            return [as_llava(talk, tag) for talk in found]
        return [tagged(talk) for talk in found] if tag else found

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        talks = self.conversations(rows)
        if self.config.layout == "parquet":
            schema = self.table_schema(rows.schema)
            name = f"{DATA}/{shard:05d}.parquet"
            yield streamed_parquet(
                name, schema, lambda: self.tables(rows, talks, first_key, schema)
            )
        else:
            yield from self.folder(rows, talks, shard, first_key)

    def table_schema(self, schema: pa.Schema) -> pa.Schema:
        """The Parquet file's columns: messages, images, then those that travel with a sample."""
        own = [pa.field("messages", MESSAGES), pa.field("images", pa.list_(IMAGE))]
        fields = [leaving_field(schema.field(n)).remove_metadata() for n in self.others(schema)]
        return with_features(pa.schema([*own, *fields]), ["images"])

    def tables(
        self, rows: ShardRows, talks: list[list[Message]], first_key: int, schema: pa.Schema
    ) -> Iterator[pa.Table]:
        """Tables of `schema`, some rows at a time; the pictures are numbered from `first_key`."""
        for batch in self.batches(rows):
            n = batch.table.num_rows
            have = {**columns_of(leaving(batch.table)), **columns_of(leaving(batch.payload))}
            have["messages"] = pa.array(talks[batch.first : batch.first + n], MESSAGES)
            images = image_array(batch.pictures, first_key + batch.first)
            ends = pa.array(range(n + 1), pa.int32())
            have["images"] = pa.ListArray.from_arrays(ends, images)
            yield pa.table([have[n] for n in schema.names], schema=schema)

    def folder(
        self, rows: ShardRows, talks: list[list[Message]], shard: int, first_key: int
    ) -> Iterator[OutputFile]:
        """The pictures, then the file that names them, and the table for `datasets`."""
        lines: list[bytes] = []
        tables: list[pa.Table] = []
        for batch in self.batches(rows):
            table = leaving(batch.table.select(self.others(batch.table.schema)))
            tell_not_finite(table, rows.told)
            facts = {n: json_column(table.column(n)) for n in table.schema.names}
            keys = [f"{first_key + batch.first + i:09d}" for i in range(table.num_rows)]
            files = [f"{k}.{p.suffix}" for k, p in zip(keys, batch.pictures, strict=True)]
            here = talks[batch.first : batch.first + table.num_rows]
            for i, (file, picture) in enumerate(zip(files, batch.pictures, strict=True)):
                yield bytes_file(f"{PICTURES}/{shard:05d}/{file}", picture.data)
                own = self.line(keys[i], f"{shard:05d}/{file}", here[i])
                lines.append(json_bytes({**own, **{n: c[i] for n, c in facts.items()}}))
            names = pa.array([[f] for f in files], pa.list_(pa.string()))
            own = {"key": pa.array(keys), self.talk: pa.array(here, self.talk_type())}
            tables.append(pa.table({**own, "images_file_names": names, **columns_of(table)}))
        if self.config.layout == "llava":
            yield bytes_file(f"{shard:05d}.json", b"[\n" + b",\n".join(lines) + b"\n]\n")
        else:
            yield bytes_file(f"{shard:05d}.jsonl", b"".join(one + b"\n" for one in lines))
        table = pa.concat_tables(tables)
        table = table.replace_schema_metadata(with_features(table.schema).metadata)
        yield parquet_file(f"{PICTURES}/{shard:05d}/metadata.parquet", table)

    @property
    def talk(self) -> str:
        """The key of a line under which its conversation stands."""
        return "conversations" if self.config.layout == "llava" else "messages"

    def talk_type(self) -> pa.DataType:
        """The Arrow type of a line's conversation: LLaVA's turns, or messages."""
        turn = pa.struct([("from", pa.string()), ("value", pa.string())])
        return pa.list_(turn) if self.config.layout == "llava" else MESSAGES

    def line(self, key: str, file: str, talk: list[Message]) -> dict[str, Any]:
        """A line of JSON but for the quality columns: the conversation, and the file of its
        picture.
        """
        if self.config.layout == "llava":
            return {"id": key, "image": file, self.talk: talk}
        return {self.talk: talk, "images": [f"{PICTURES}/{file}"]}

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        if self.config.layout == "parquet":
            return Loading(f"{DATA}/*.parquet", self.table_schema(schema), ("images",), (TRL,))
        rest = [leaving_field(schema.field(n)).remove_metadata() for n in self.others(schema)]
        own = [pa.field("key", pa.string()), pa.field(self.talk, self.talk_type())]
        images = pa.field("images", pa.list_(IMAGE))
        return Loading(
            f"{PICTURES}/**",
            pa.schema([*own, images, *rest]),
            ("images",),
            (LLAVA if self.config.layout == "llava" else FACTORY,),
            columns_in=f"{PICTURES}/*/metadata.parquet",
            pictures=tuple(f"{PICTURES}/*/*.{kind}" for kind in self.suffixes()),
        )
