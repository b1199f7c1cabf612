"""Captions, fused captions and other texts that a model writes."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from pairmill.captioners.config import CaptionConfig
from pairmill.captioners.engine import Answer, Engine, Message, Request
from pairmill.captioners.opening import at_once, check_engine, open_engine
from pairmill.captioners.prompts import BadPrompt, fill, prompt_id
from pairmill.errors import RowError
from pairmill.images import DecodeError, decode_rgb
from pairmill.models.pixels import within
from pairmill.schemas.arrow import column, is_payload
from pairmill.schemas.hashing import row_chance
from pairmill.stages.asynchronous import AsyncStage


class CaptionStage(AsyncStage):
    """Writes the text and, beside it, model, prompt id, finish reason, token count and, for models
    that think, the reasoning.
    """

    Config = CaptionConfig
    prefix = "caption"
    version = 2
    decodes = True
    flush_s = 2.0
    engine: Engine

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
            column(
                self.column("prompt_tokens"),
                pa.int32(),
                "tokens of the request, images included, where the engine tells",
                "tokens asked",
                0,
            ),
        ]
        if self.reasons():
            fields.append(
                column(self.column("reasoning"), pa.string(), "what the model thought before")
            )
        return pa.schema(fields)

    def reasons(self) -> bool:
        """Whether there is a column for reasoning; what the model's files say is kept."""
        c = self.config
        if c.reasoning is None and c.engine == "transformers":
            from pairmill.models.files import is_folder, mentions

            known = c.revision is not None or is_folder(c.model)  # else it is no plan's
            found = known and mentions(c.model, c.revision, ("</think>", "[/THINK]"))
            self.config = self.config.model_copy(update={"reasoning": found})
        return bool(self.config.reasoning)

    def examine(self) -> list[str]:
        c = self.config
        images, system = len(c.columns_of_images()), c.system is not None
        return check_engine(self.name, c, images, system, self.cpus)

    def at_once(self) -> int:
        return at_once(self.config)

    def leaves_late_rows(self) -> bool:
        return self.config.engine == "openai"

    async def begin(self) -> None:
        c = self.config
        images, system = len(c.columns_of_images()), c.system is not None
        self.engine = await open_engine(self.name, c, images, system, self.cpus, self.ask)
        self.note = self.engine.note
        threads = max(1, int(c.resources.cpus or self.cpus))
        self.threads = ThreadPoolExecutor(threads, "caption-decode")

    async def end(self) -> None:
        await self.engine.close()
        self.threads.shutdown(cancel_futures=True)

    async def answer(self, row: dict[str, Any]) -> dict[str, Any]:
        request = await self.loop.run_in_executor(self.threads, self.request, row)
        answer = await self.engine.answer(request)
        self.note = self.engine.note
        columns = self.columns(answer)
        if answer.text is None:
            cut = "the token limit cut the model off while it thought; raise max_new_tokens"
            columns["error"] = ("unfinished", cut)
        return columns

    def request(self, row: dict[str, Any]) -> Request:
        """What the model is asked of a row; raises RowError where it cannot be."""
        c = self.config
        values = {name: row[name] for name in c.references()}
        try:
            pictures = self.pictures(row)
            texts = [
                fill(text, values, c.separator, self.engine.neutral)
                for text in (c.system, c.prompt)
                if text is not None
            ]
        except DecodeError as error:
            raise RowError("decode", str(error)) from None
        except BadPrompt as error:
            raise RowError("prompt", str(error)) from None
        system = [Message("system", texts[0])] if c.system is not None else []
        key = row["uid"] if c.temperature > 0 else ""
        return Request((*system, Message("user", texts[-1], pictures)), key)

    def pictures(self, row: dict[str, Any]) -> tuple[Any, ...]:
        """The row's images, within the bounds of their size."""
        c = self.config
        encoded = flat(row[name] for name in c.columns_of_images())
        return tuple(within(decode_rgb(data), c.min_pixels, c.max_pixels) for data in encoded)

    def columns(self, answer: Answer) -> dict[str, Any]:
        """What is stored of an answer."""
        c = self.config
        model = c.model.rstrip("/").rsplit("/", 1)[-1] if c.model.startswith("/") else c.model
        values = {
            "": answer.text,
            "model": model,
            "prompt_id": prompt_id(c.prompt, c.system),
            "finish_reason": answer.finish_reason,
            "tokens": answer.tokens,
            "prompt_tokens": answer.prompt_tokens,
        }
        if self.reasons():
            values["reasoning"] = answer.reasoning
        return {self.column(name): value for name, value in values.items()}


def flat(values: Iterable[Any]) -> Iterator[bytes]:
    """Encoded images of a row's columns; a column may hold a list of them."""
    for value in values:
        if isinstance(value, list):
            yield from (v for v in value if v is not None)
        else:
            yield value
