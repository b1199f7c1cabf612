"""What all stages that ask a model have in common: prompts filled, images shown, answers taken."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pairmill.captioners.config import AskingConfig
from pairmill.captioners.engine import Captioner, Message, Request
from pairmill.captioners.prompts import BadPrompt, Wording, fill
from pairmill.captioners.talks import Result, Round, Talk
from pairmill.errors import RowError
from pairmill.images import DecodeError, decode_rgb
from pairmill.models.pixels import within
from pairmill.schemas.arrow import error_array, is_payload
from pairmill.schemas.hashing import row_chance
from pairmill.stages.base import Stage

AT_ONCE = 4
"""Rows whose images a thread decodes in one go."""
AHEAD = 4
"""Batches that wait at most; a batch that is never computed must not hold memory for ever."""


@dataclass(frozen=True)
class AskedRow:
    """What a row brings to a prompt: values by column, pictures, and what seeds its own chance."""

    values: dict[str, Any]
    key: str = ""
    pictures: tuple[Any, ...] = field(default=(), repr=False)


class AskingStage(Stage):
    """Asks a model about each row.  Subclasses write `writes` and `talk`: the rounds of questions
    and answers by which a row gets its columns.
    """

    decodes = True
    actor = True
    flush_s = 20.0
    engine: Captioner

    def __init__(self, config: AskingConfig) -> None:
        super().__init__(config.with_file())

    @classmethod
    def own_seed(cls, config: AskingConfig, seed: int) -> int:
        """Two sampled stages of a pipeline do not draw the same, so the name is part of it."""
        if config.temperature == 0:
            return seed
        return row_chance(config.name or cls.prefix, seed, "stage") % 2**32

    def talk(self, row: AskedRow) -> Talk:
        """The questions about a row, and its columns by full name."""
        raise NotImplementedError

    def references(self) -> list[str]:
        """Columns whose values stand in prompts."""
        return list(self.config.references())

    def bind(self, schema: pa.Schema) -> None:
        for name in self.references():
            if name in schema.names and is_payload(schema.field(name).type):
                raise ValueError(
                    f"stage {self.name!r}: {name!r} holds bytes and cannot stand in a prompt; "
                    "name it in `image`"
                )

    def reads(self) -> list[str]:
        key = ["uid"] if self.config.temperature > 0 else []
        named = [*self.config.columns_of_images(), *self.references(), *key]
        return list(dict.fromkeys(named))

    def reasons(self) -> bool:
        """Whether there is a column for reasoning; what the model's files say is kept."""
        c = self.config
        if c.reasoning is None:
            from pairmill.models.files import is_folder, mentions

            known = c.revision is not None or is_folder(c.model)  # else it is no plan's
            found = known and mentions(c.model, c.revision, ("</think>", "[/THINK]"))
            self.config = self.config.model_copy(update={"reasoning": found})
        return bool(self.config.reasoning)

    def examine(self) -> list[str]:
        from pairmill.captioners.check import check_caption

        images, system = len(self.config.columns_of_images()), self.config.system is not None
        spec = self.config.spec(self.cpus)
        return check_caption(self.name, spec, self.config.sampling(), images, system)

    def setup(self) -> None:
        from pairmill.captioners.transformers_engine import TransformersCaptioner

        c = self.config
        spec = c.spec(self.cpus)
        images = len(c.columns_of_images())
        self.engine = TransformersCaptioner(
            self.name, spec, c.sampling(), images, c.system is not None
        )
        self.note = self.engine.note
        self.threads = ThreadPoolExecutor(max(1, int(spec.cpus)), "asking-decode")
        self.reader = ThreadPoolExecutor(1, "asking-prepare")
        self.waiting: dict[int, tuple[pa.Table, Future[Any]]] = {}

    def close(self) -> None:
        self.reader.shutdown(cancel_futures=True)
        self.threads.shutdown(cancel_futures=True)

    def prepare(self, rows: pa.Table) -> None:
        """Decodes and encodes rows that will come next, while the model answers those before."""
        if len(self.waiting) < AHEAD:
            self.waiting[id(rows)] = (rows, self.reader.submit(self.begun, rows))

    def begun(self, rows: pa.Table) -> tuple[Round, Any]:
        """The talks of all rows, and the engine's inputs of their first questions."""
        talks = [r if isinstance(r, RowError) else self.talk(r) for r in self.asked_rows(rows)]
        going = Round(talks)
        requests = going.requests()
        return going, self.engine.begin(requests) if requests else None

    def asked_rows(self, rows: pa.Table) -> Iterator[AskedRow | RowError]:
        """The rows, or why one cannot be asked about."""
        names = self.references()
        values = rows.select(names).to_pylist() if names else [{}] * rows.num_rows
        sampled = self.config.temperature > 0
        keys = rows.column("uid").to_pylist() if sampled else [""] * rows.num_rows
        for value, key, pictures in zip(values, keys, self.images(rows), strict=True):
            if isinstance(pictures, DecodeError):
                yield RowError("decode", str(pictures))
            else:
                yield AskedRow(value, key, pictures)

    def images(self, rows: pa.Table) -> Iterator[tuple[Any, ...] | DecodeError]:
        """The pictures of each row, or why one cannot be shown; decoded in threads."""
        named = rows.select(self.config.columns_of_images())
        tables = (named.slice(i, AT_ONCE) for i in range(0, rows.num_rows, AT_ONCE))
        if not named.num_columns:
            return iter([()] * rows.num_rows)
        return (one for part in self.threads.map(self.decoded, tables) for one in part)

    def decoded(self, rows: pa.Table) -> list[tuple[Any, ...] | DecodeError]:
        found: list[tuple[Any, ...] | DecodeError] = []
        for row in zip(*(c.to_pylist() for c in rows.columns), strict=True):
            try:
                pictures = (decode_rgb(data) for data in flat(row))
                low, high = self.config.min_pixels, self.config.max_pixels
                found.append(tuple(within(p, low, high) for p in pictures))
            except DecodeError as error:
                found.append(error)
        return found

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
        return Request((*turns, Message("user", text, row.pictures)), f"{row.key}{key}")

    def __call__(self, rows: pa.Table) -> pa.Table:
        waiting = self.waiting.pop(id(rows), None)
        going, begun = waiting[1].result() if waiting else self.begun(rows)
        while requests := going.requests():
            inputs, begun = begun if begun is not None else self.engine.begin(requests), None
            going.take(self.engine.answer(inputs))
        self.note = self.engine.note
        return self.table(going.results)

    def model_name(self) -> str:
        """The model as columns name it: of a folder its own name alone."""
        model = self.config.model
        return model.rstrip("/").rsplit("/", 1)[-1] if model.startswith("/") else model

    def table(self, results: Sequence[Result | None]) -> pa.Table:
        """Results as the stage's columns."""
        schema = self.writes()
        answers = [r if isinstance(r, dict) else {} for r in results]
        errors = [(r.kind, str(r)) if isinstance(r, RowError) else None for r in results]
        arrays = [pa.array([a.get(f.name) for a in answers], f.type) for f in schema]
        return pa.table(arrays, schema=schema).append_column("error", error_array(errors))


def flat(values: tuple[Any, ...]) -> Iterator[bytes]:
    """Encoded images of a row's columns; a column may hold a list of them."""
    for value in values:
        if isinstance(value, list):
            yield from (v for v in value if v is not None)
        else:
            yield value
