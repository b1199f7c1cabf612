"""Captions, fused captions and other texts that a multimodal model writes."""

from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from pairmill.captioners.engine import Answer, Captioner, Request
from pairmill.captioners.prompts import fill, prompt_id, referenced
from pairmill.images import DecodeError, decode_rgb
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import MODEL, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.torch_device import Device, Precision


class CaptionConfig(StageConfig):
    """A text per row from an image-text-to-text model; without an image it merges or rewrites
    texts.
    """

    stage: Annotated[Literal["caption"], SPEED] = "caption"
    model: Annotated[str, MODEL]
    """Hub id or folder of a model that `AutoModelForImageTextToText` loads and that has a chat
    template.
    """
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    prompt: str = Field("Describe this image in one sentence.", min_length=1, max_length=20_000)
    """What the model is asked; `{column}` stands for the row's value."""
    image: str | None = "image"
    """Column with encoded images; `null` for a prompt without a picture."""
    max_new_tokens: int = Field(128, ge=1, le=16_384)
    """Longest answer, in tokens."""
    temperature: float = Field(0.0, ge=0, le=2)
    """0: greedy; above: sampling, seeded by row."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus of the sampling."""
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    """Seed of the sampling, the pipeline's if absent."""
    device: Annotated[Device, SPEED] = "auto"
    """`cuda` without a GPU is an error, never a CPU run."""
    dtype: Precision = "float32"
    """Precision of the model; on a GPU, bfloat16 or float16 is several times as fast."""
    batch_size: Annotated[int, SPEED] = Field(16, ge=1, le=4096)
    """Rows given to the model at once."""

    @field_validator("prompt")
    @classmethod
    def _fillable(cls, prompt: str) -> str:
        referenced(prompt)
        return prompt


class CaptionStage(Stage):
    """Writes the text and, beside it, model, prompt id, finish reason and token count."""

    Config = CaptionConfig
    prefix = "caption"
    version = 2
    decodes = True
    actor = True
    flush_s = 20.0
    engine: Captioner

    def reads(self) -> list[str]:
        image = [self.config.image] if self.config.image else []
        key = ["uid"] if self.config.temperature > 0 else []
        return [*image, *referenced(self.config.prompt), *key]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                column(self.column(), pa.string(), "text the model wrote", role="caption"),
                column(self.column("model"), pa.string(), "model that wrote it"),
                column(
                    self.column("prompt_id"), pa.string(), "stands for the prompt's exact wording"
                ),
                column(
                    self.column("finish_reason"),
                    pa.string(),
                    "stop, or length where the token limit cut it off",
                    role="finish_reason",
                    of=self.column(),
                ),
                column(self.column("tokens"), pa.int32(), "tokens generated", "tokens", 0),
            ]
        )

    def setup(self) -> None:
        from pairmill.captioners.transformers_engine import TransformersCaptioner

        c = self.config
        self.engine = TransformersCaptioner(
            stage=self.name,
            model=c.model,
            revision=c.revision,
            device=c.device,
            dtype=c.dtype,
            cpus=c.resources.cpus or self.cpus,
            max_new_tokens=c.max_new_tokens,
            temperature=c.temperature,
            top_p=c.top_p,
            seed=c.seed or 0,
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        names = referenced(self.config.prompt)
        errors: list[tuple[str, str] | None] = [None] * rows.num_rows
        requests, at = [], []
        keys = (
            rows.column("uid").to_pylist() if "uid" in rows.schema.names else [""] * rows.num_rows
        )
        for i, values in enumerate(
            rows.select(names).to_pylist() if names else [{}] * rows.num_rows
        ):
            try:
                image = (
                    decode_rgb(rows.column(self.config.image)[i].as_py())
                    if self.config.image
                    else None
                )
            except DecodeError as error:
                errors[i] = ("decode", str(error))
                continue
            requests.append(Request(fill(self.config.prompt, values), image, keys[i]))
            at.append(i)
        answers: list[Answer | None] = [None] * rows.num_rows
        for i, answer in zip(at, self.engine.generate(requests) if requests else [], strict=True):
            answers[i] = answer
        told = [a is not None for a in answers]
        short_model = (
            self.config.model.rstrip("/").rsplit("/", 1)[-1]
            if self.config.model.startswith("/")
            else self.config.model
        )
        columns = [
            [a and a.text for a in answers],
            [short_model if t else None for t in told],
            [prompt_id(self.config.prompt) if t else None for t in told],
            [a and a.finish_reason for a in answers],
            [a and a.tokens for a in answers],
        ]
        table = pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, self.writes(), strict=True)],
            schema=self.writes(),
        )
        return table.append_column("error", error_array(errors))
