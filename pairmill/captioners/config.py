"""The keys of `caption`."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pairmill.captioners.engine import Sampling
from pairmill.captioners.engine_config import EngineConfig
from pairmill.captioners.prompts import referenced
from pairmill.models.load import Spec
from pairmill.schemas.config import MODEL, SPEED
from pairmill.torch_device import Device, Precision


class CaptionConfig(EngineConfig):
    """A text per row from an image-text-to-text model; without an image it merges or rewrites
    texts, and text models serve, too.
    """

    stage: Annotated[Literal["caption"], SPEED] = "caption"
    model: Annotated[str, MODEL]
    """Hub id or folder of a model that transformers' `AutoModelForImageTextToText` loads, or, where
    `image` is null, `AutoModelForCausalLM`; quantised checkpoints, too.  With `engine: openai`
    the server's name of the model.
    """
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    adapter: Annotated[str | None, MODEL] = None
    """Hub id or folder of a LoRA adapter, merged into the model (needs `peft`: extra `models`)."""
    adapter_revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of the adapter."""
    trust_remote_code: bool = False
    """Lets the checkpoint run code of its own: read it before."""
    prompt: str = Field("Describe this image in one sentence.", min_length=1, max_length=20_000)
    """What the model is asked; `{column}` stands for the row's value.  Control tokens in it, and in
    the values, are plain text to the model.
    """
    system: str | None = Field(None, min_length=1, max_length=20_000)
    """A system turn before it, with references like `prompt`."""
    separator: str = ", "
    """What joins the values of a list column in a prompt."""
    image: str | list[str] | None = "image"
    """Column with encoded images, or several columns in order; `null` for a prompt without."""
    min_pixels: int | None = Field(None, ge=1)
    """Smaller images are enlarged to so many pixels, before the model's own processor."""
    max_pixels: int | None = Field(None, ge=1)
    """Larger images are reduced to so many pixels, which bounds the tokens that some models spend
    on an image.
    """
    image_processor: Literal["auto", "pil", "torchvision"] = "auto"
    """Which of a family's image processors: torchvision's is the faster, and what transformers
    takes (`auto`); they differ by a level of brightness here and there.
    """
    chat_template_kwargs: dict[str, Any] = {}
    """What the model's chat template takes, such as `{enable_thinking: false}`."""
    reasoning: bool | None = None
    """Whether what the model thinks before it answers has a column of its own; absent: where its
    chat template or tokenizer knows `</think>`.  It never stands in the text.
    """
    max_new_tokens: int = Field(128, ge=1, le=16_384)
    """Longest answer, in tokens, reasoning included."""
    temperature: float = Field(0.0, ge=0, le=2)
    """0: greedy; above: sampling, seeded by row."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus of the sampling."""
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    """Seed of the sampling; if absent, made of the pipeline's and the stage's name."""
    device: Annotated[Device, SPEED] = "auto"
    """`cuda` without a GPU is an error, never a CPU run."""
    device_map: Annotated[Literal["auto", "balanced", "sequential"] | None, SPEED] = None
    """Places the tensors over all GPUs of a worker, for a model that one does not hold."""
    dtype: Precision = "auto"
    """Precision of the model.  `auto`: the checkpoint's on a GPU; on a CPU what a measurement at
    load finds faster.  In bfloat16 the rows beside it may change a row's text.
    """
    batch_size: Annotated[int, SPEED] = Field(16, ge=1, le=4096)
    """Rows given to the model at once (`engine: transformers`), whichever shards they are from;
    halved where they do not fit its memory.
    """

    @field_validator("prompt", "system")
    @classmethod
    def _fillable(cls, prompt: str | None) -> str | None:
        referenced(prompt or "")
        return prompt

    def columns_of_images(self) -> list[str]:
        if self.image is None:
            return []
        return [self.image] if isinstance(self.image, str) else list(self.image)

    def references(self) -> list[str]:
        """Columns named in the system turn and the prompt."""
        named = [*referenced(self.system or ""), *referenced(self.prompt)]
        return list(dict.fromkeys(named))

    def spec(self, cpus: float) -> Spec:
        """What is loaded, and where."""
        return Spec(
            model=self.model,
            revision=self.revision,
            adapter=self.adapter,
            adapter_revision=self.adapter_revision,
            trust_remote_code=self.trust_remote_code,
            device=self.device,
            dtype=self.dtype,
            device_map=self.device_map,
            image_processor=None if self.image_processor == "auto" else self.image_processor,
            cpus=self.resources.cpus or cpus,
        )

    def sampling(self) -> Sampling:
        return Sampling(
            self.max_new_tokens,
            self.temperature,
            self.top_p,
            self.seed or 0,
            dict(self.chat_template_kwargs),
        )
