"""Captions, fused captions and other texts that a model writes."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from pairmill.captioners.config import CaptionConfig
from pairmill.captioners.engine import Answer, Captioner, Message, Request
from pairmill.captioners.prompts import BadPrompt, fill, prompt_id
from pairmill.images import DecodeError, decode_rgb
from pairmill.models.pixels import within
from pairmill.schemas.arrow import column, error_array, is_payload
from pairmill.schemas.hashing import row_chance
from pairmill.stages.base import Stage

AT_ONCE = 4
"""Rows whose images a thread decodes in one go."""
AHEAD = 4
"""Batches that wait at most; a batch that is never computed must not hold memory for ever."""
Error = tuple[str, str]


class CaptionStage(Stage):
    """Writes the text and, beside it, model, prompt id, finish reason, token count and, for models
    that think, the reasoning.
    """

    Config = CaptionConfig
    prefix = "caption"
    version = 2
    decodes = True
    actor = True
    flush_s = 20.0
    engine: Captioner

    @classmethod
    def own_seed(cls, config: CaptionConfig, seed: int) -> int:
        """Two sampled stages of a pipeline do not draw the same, so the name is part of it."""
        if config.temperature == 0:
            return seed
        return row_chance(config.name or cls.prefix, seed, "stage") % 2**32

    def bind(self, schema: pa.Schema) -> None:
        for name in self.config.references():
            if name in schema.names and is_payload(schema.field(name).type):
                raise ValueError(
                    f"stage {self.name!r}: {name!r} holds bytes and cannot stand in a prompt; "
                    "name it in `image`"
                )

    def reads(self) -> list[str]:
        key = ["uid"] if self.config.temperature > 0 else []
        return [*self.config.columns_of_images(), *self.config.references(), *key]

    def writes(self) -> pa.Schema:
        fields = [
            column(self.column(), pa.string(), "text the model wrote", role="caption"),
            column(self.column("model"), pa.string(), "model that wrote it"),
            column(self.column("prompt_id"), pa.string(), "stands for the prompt's exact wording"),
            column(
                self.column("finish_reason"),
                pa.string(),
                "stop, or length where the token limit cut it off",
                role="finish_reason",
                of=self.column(),
            ),
            column(self.column("tokens"), pa.int32(), "tokens generated", "tokens", 0),
        ]
        if self.reasons():
            fields.append(
                column(self.column("reasoning"), pa.string(), "what the model thought before")
            )
        return pa.schema(fields)

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
        self.threads = ThreadPoolExecutor(max(1, int(spec.cpus)), "caption-decode")
        self.reader = ThreadPoolExecutor(1, "caption-prepare")
        self.waiting: dict[int, tuple[pa.Table, Future[Any]]] = {}

    def close(self) -> None:
        self.reader.shutdown(cancel_futures=True)
        self.threads.shutdown(cancel_futures=True)

    def prepare(self, rows: pa.Table) -> None:
        """Decodes and encodes rows that will come next, while the model answers those before."""
        if len(self.waiting) < AHEAD:
            self.waiting[id(rows)] = (rows, self.reader.submit(self.begun, rows))

    def begun(self, rows: pa.Table) -> tuple[list[Error | None], Any]:
        """Errors by row, and the engine's inputs of the rows without one."""
        found = list(self.requests(rows))
        requests = [r for r in found if isinstance(r, Request)]
        errors = [None if isinstance(r, Request) else r for r in found]
        return errors, self.engine.begin(requests) if requests else None

    def requests(self, rows: pa.Table) -> Iterator[Request | Error]:
        c = self.config
        names = c.references()
        values = rows.select(names).to_pylist() if names else [{}] * rows.num_rows
        keys = rows.column("uid").to_pylist() if c.temperature > 0 else [""] * rows.num_rows
        images = self.images(rows)
        for value, key, pictures in zip(values, keys, images, strict=True):
            if isinstance(pictures, DecodeError):
                yield ("decode", str(pictures))
                continue
            try:
                texts = [
                    fill(text, value, c.separator, self.engine.neutral)
                    for text in (c.system, c.prompt)
                    if text is not None
                ]
            except BadPrompt as error:
                yield ("prompt", str(error))
                continue
            system = [Message("system", texts[0])] if c.system is not None else []
            yield Request((*system, Message("user", texts[-1], pictures)), key)

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

    def __call__(self, rows: pa.Table) -> pa.Table:
        waiting = self.waiting.pop(id(rows), None)
        errors, begun = waiting[1].result() if waiting else self.begun(rows)
        given = iter(self.engine.answer(begun)) if begun is not None else iter(())
        answers = [None if error else next(given) for error in errors]
        self.note = self.engine.note
        for i, answer in enumerate(answers):
            if answer is not None and answer.text is None:
                errors[i] = (
                    "unfinished",
                    "the token limit cut the model off while it thought; raise max_new_tokens",
                )
        return self.table(answers, errors)

    def table(self, answers: list[Answer | None], errors: list[Error | None]) -> pa.Table:
        c = self.config
        model = c.model.rstrip("/").rsplit("/", 1)[-1] if c.model.startswith("/") else c.model
        wording = prompt_id(c.prompt, c.system)
        columns: list[list[Any]] = [
            [a and a.text for a in answers],
            [a and model for a in answers],
            [a and wording for a in answers],
            [a and a.finish_reason for a in answers],
            [a and a.tokens for a in answers],
            [a and a.reasoning for a in answers],
        ]
        schema = self.writes()
        arrays = [pa.array(v, f.type) for v, f in zip(columns, schema, strict=False)]
        return pa.table(arrays, schema=schema).append_column("error", error_array(errors))


def flat(values: tuple[Any, ...]) -> Iterator[bytes]:
    """Encoded images of a row's columns; a column may hold a list of them."""
    for value in values:
        if isinstance(value, list):
            yield from (v for v in value if v is not None)
        else:
            yield value
