"""What all stages that ask a model have in common: prompts filled, images shown, answers taken."""

import json
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pairmill.captioners.config import AskingConfig
from pairmill.captioners.engine import Engine, Message, Request
from pairmill.captioners.library import named
from pairmill.captioners.opening import at_once, check_engine, engine_version, open_engine
from pairmill.captioners.prompts import BadPrompt, Wording, fill, is_short, plain_form
from pairmill.captioners.talks import BrokenOff, Talk, hold
from pairmill.errors import RowError
from pairmill.images import DecodeError, decode_rgb
from pairmill.models.library import LIBRARIES
from pairmill.models.pixels import within
from pairmill.models.sizes import bytes_on_cpu
from pairmill.redaction import redact
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.hashing import row_chance
from pairmill.stages.asynchronous import AsyncStage
from pairmill.torch_device import streams

DECODING = (
    "max_new_tokens", "temperature", "top_p", "seed", "samples", "dtype", "chat_template_kwargs",
)  # fmt: skip
"""Keys that say how tokens were chosen."""


@dataclass(frozen=True)
class AskedRow:
    """What a row brings to a prompt: values by column, pictures, and what seeds its own chance."""

    values: dict[str, Any]
    key: str = ""
    pictures: tuple[Any, ...] = field(default=(), repr=False)


class AskingStage(AsyncStage):
    """Asks a model about each row.  Subclasses write `writes` and `talk`: the rounds of questions
    and answers by which a row gets its columns.
    """

    decodes = True
    flush_s = 2.0
    engine: Engine

    def __init__(self, config: AskingConfig) -> None:
        super().__init__(config.with_file())
        self.alterations: deque[bool] = deque()
        """Answers that were altered and not told yet."""
        self.version_of_config = self.version
        self.told: dict[str, pa.DataType] = {}
        """Types of the columns that hold short floats or maps."""

    @classmethod
    def own_seed(cls, config: AskingConfig, seed: int) -> int:
        """Two sampled stages of a pipeline do not draw the same, so the name is part of it."""
        if config.temperature == 0:
            return seed
        return row_chance(config.name or cls.prefix, seed, "stage") % 2**32

    def altered(self) -> int:
        told = 0
        while self.alterations:  # threads that take shards ask at the same time
            with suppress(IndexError):
                self.alterations.pop()
                told += 1
        return told

    def talk(self, row: AskedRow) -> Talk:
        """The questions about a row, and its columns by full name."""
        raise NotImplementedError

    def imports(self) -> Sequence[str]:
        return LIBRARIES if self.config.engine == "transformers" else ()

    def references(self) -> list[str]:
        """Columns whose values stand in prompts."""
        return list(self.config.references())

    def bind(self, schema: pa.Schema) -> None:
        types = {
            name: schema.field(name).type for name in self.references() if name in schema.names
        }
        self.told = {n: t for n, t in types.items() if has(t, is_short) or has(t, pa.types.is_map)}
        if self.told:
            # 0.1 stood in prompts as 0.10000000149011612, a map as a list
            self.version = self.version_of_config + 1
        for name in self.references():
            if name in schema.names and is_payload(schema.field(name).type):
                raise ValueError(
                    f"stage {self.name!r}: {name!r} holds bytes and cannot stand in a prompt; "
                    "name it in `image`"
                )
        for name in self.config.wording().doubled():
            if name in schema.names or name in self.config.columns:
                raise ValueError(
                    f"stage {self.name!r}: `{{{{{name}}}}}` in the prompt are plain braces and no "
                    f"value of the column; write `{{{name}}}`"
                )

    def reads(self) -> list[str]:
        key = ["uid"] if self.config.temperature > 0 else []
        named = [*self.config.columns_of_images(), *self.references(), *key]
        return list(dict.fromkeys(named))

    def made_by(self, params: dict[str, Any]) -> dict[str, Any]:
        c = self.config
        wording = c.wording()
        turns = {"system": params["system"], "examples": params["examples"]}
        return {
            "name": self.model_name(),
            "model": params["model"],
            "revision": c.revision,
            "adapter": params["adapter"],
            "engine": c.engine,
            "engine_version": engine_version(c.engine),
            "prompt_id": wording.digest,
            "library": named(wording),
            "prompt": {**turns, "text": params["prompt"], "json_schema": params["json_schema"]},
            "decoding": {name: params[name] for name in DECODING},
        }

    def with_origin(self, text: pa.Field) -> pa.Field:
        """The column of the model's text, which says in its metadata how it was made."""
        c = self.config
        wording = c.wording()
        facts = {
            "model": c.model if c.engine == "openai" else self.model_name(),
            "revision": c.revision,
            "engine": c.engine,
            "engine_version": engine_version(c.engine),
            "prompt_id": wording.digest,
            "system": wording.system,
            "prompt": wording.text,
            **{name: getattr(c, name) for name in DECODING},
        }
        told = redact(json.dumps(facts, ensure_ascii=False, sort_keys=True))
        return text.with_metadata({**(text.metadata or {}), b"made_by": told.encode()})

    def reasons(self) -> bool:
        """Whether there is a column for reasoning; what the model's files say is kept."""
        c = self.config
        if c.reasoning is None and c.engine != "openai":
            from pairmill.captioners.reasoning import CHANNEL, CLOSE
            from pairmill.models.files import is_folder, mentions

            known = c.revision is not None or is_folder(c.model)  # else it is no plan's
            found = known and mentions(c.model, c.revision, (*CLOSE, CHANNEL))
            self.config = self.config.model_copy(update={"reasoning": found})
        return bool(self.config.reasoning)

    def has_system(self) -> bool:
        """Whether requests have a system turn."""
        return self.config.system is not None

    def examine(self) -> list[str]:
        c = self.config
        images = len(c.columns_of_images())
        return check_engine(self.name, c, images, self.has_system(), self.cpus)

    def shares(self) -> Hashable | None:
        c = self.config
        if c.engine == "openai":
            return None
        arguments = json.dumps(c.engine_arguments, sort_keys=True)
        loads = c.spec(self.cpus)
        return loads if c.engine == "transformers" else (loads, arguments)

    def waits(self) -> bool:
        return bool(self.config.engine == "openai")

    def loads_bytes(self) -> int | None:
        c = self.config
        return 0 if self.waits() else bytes_on_cpu(c.model, c.revision, c.dtype)

    def missing_here(self) -> str | None:
        if self.config.served_by() is None:
            return None
        from pairmill.captioners.server import lacking

        return lacking(self.config)

    def at_once(self) -> int:
        return at_once(self.config, self.cpus)

    def leaves_late_rows(self) -> bool:
        return bool(self.config.engine != "transformers")

    async def begin(self) -> None:
        c = self.config
        images = len(c.columns_of_images())
        self.engine = await open_engine(
            self.name, c, images, self.has_system(), self.cpus, self.ask, self.run_folder
        )
        self.note = self.engine.note
        self.names = self.writes().names
        cpus = c.resources.cpus or self.cpus
        threads = max(1, int(cpus), streams(cpus) // 2)
        self.threads = ThreadPoolExecutor(threads, "asking-decode")

    async def end(self) -> None:
        await self.engine.close()
        self.threads.shutdown(cancel_futures=True)

    def abandon(self) -> None:
        if (leave := getattr(getattr(self, "engine", None), "abandon", None)) is not None:
            leave()

    async def answer(self, row: dict[str, Any]) -> dict[str, Any]:
        asked = await self.loop.run_in_executor(self.threads, self.asked, row)
        try:
            columns = await hold(self.talk(asked), self.engine.answer)
        except BrokenOff as error:  # its answers were paid all the same
            paid = {"tokens": error.tokens, "prompt_tokens": error.prompt_tokens}
            columns = {self.column(name): count for name, count in paid.items()}
            columns["error"] = (error.kind, str(error))
        finally:
            self.note = self.engine.note
        return {n: v for n, v in columns.items() if n in self.names or n == "error"}

    def asked(self, row: dict[str, Any]) -> AskedRow:
        """The row with its pictures decoded; raises RowError where one cannot be shown."""
        key = row["uid"] if self.config.temperature > 0 else ""
        try:
            pictures = self.pictures(row)
        except DecodeError as error:
            raise RowError("decode", str(error)) from None
        if self.config.image is not None and not pictures:
            raise RowError("no_image", f"{self.config.image!r} holds no picture to ask about")
        values = {n: row[n] for n in self.references()}
        values |= {n: plain_form(values[n], kind) for n, kind in self.told.items()}
        return AskedRow(values, key, pictures)

    def pictures(self, row: dict[str, Any]) -> tuple[Any, ...]:
        """The row's images, within the bounds of their size."""
        c = self.config
        encoded = flat(row[name] for name in c.columns_of_images())
        return tuple(within(decode_rgb(data), c.min_pixels, c.max_pixels) for data in encoded)

    def request(
        self, row: AskedRow, wording: Wording, values: dict[str, Any], key: str = ""
    ) -> Request:
        """One question about a row; raises RowError where its prompt cannot be filled.  `key` tells
        several questions about one row apart.
        """
        texts = [wording.system or "", wording.text]
        separator, neutral = self.config.separator, self.engine.neutral
        try:
            system, text = (fill(one, values, separator, neutral) for one in texts)
        except BadPrompt as error:
            raise RowError("prompt", str(error)) from None
        turns = [Message("system", system)] if wording.system else []
        for example in wording.examples:
            turns += [Message("user", example.user), Message("assistant", example.assistant)]
        turns.append(Message("user", text, row.pictures, self.config.text_first))
        return Request(tuple(turns), f"{row.key}{key}")

    def model_name(self) -> str:
        """The model as columns name it: of a folder its own name alone."""
        model = self.config.model
        return model.rstrip("/").rsplit("/", 1)[-1] if model.startswith("/") else model


def flat(values: Iterable[Any]) -> Iterator[bytes]:
    """Encoded images of a row's columns; a column may hold a list of them."""
    for value in values:
        if isinstance(value, list):
            yield from (v for v in value if v is not None)
        else:
            yield value


def has(kind: pa.DataType, which: Callable[[pa.DataType], bool]) -> bool:
    """Whether a type, or one within it, is such a one."""
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return which(kind) or any(has(one, which) for one in inner)
