"""The keys of the stages that ask a model: what they share, and `caption`'s."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pairmill.captioners.engine import Sampling
from pairmill.captioners.engine_config import EngineConfig
from pairmill.captioners.library import prompt_of
from pairmill.captioners.prompt_files import prompt_file_faults, read_wording
from pairmill.captioners.prompts import Example, Wording, referenced
from pairmill.captioners.structured import OWN_COLUMNS, check_names, check_schema
from pairmill.models.load import Spec
from pairmill.schemas.config import ADDED, FILE, MODEL, SPEED, Strict
from pairmill.torch_device import Device, Precision

OF_A_WORKER = (
    "revision", "adapter", "adapter_revision", "trust_remote_code", "image_processor", "device",
    "device_map", "dtype", "attention",
)  # fmt: skip
"""Keys by which a model is loaded in the worker."""
OF_A_START = ("revision", "trust_remote_code", "dtype")
"""Those of them that vLLM's server is started with."""
OF_VLLM = (*OF_A_START, "adapter", "adapter_revision")
"""Those that its engine in the worker is started with."""


class PromptId(Strict):
    """A prompt of the library (`pairmill prompts`)."""

    id: str
    """Its id."""


class AskingConfig(EngineConfig):
    """The keys of every stage that asks a model."""

    model: Annotated[str, MODEL]
    """Hub id or folder of a model that transformers' `AutoModelForImageTextToText` loads, or, where
    `image` is null, `AutoModelForCausalLM`; quantised checkpoints, too.  With `engine: openai`
    the server's name of the model; with `serve: vllm` what vLLM loads.  With `trust_remote_code`
    also what the checkpoint's own code gives as one of the two.
    """
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    adapter: Annotated[str | None, MODEL] = None
    """Hub id or folder of a LoRA adapter, merged into the model (needs `peft`: extra `models`)."""
    adapter_revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of the adapter."""
    trust_remote_code: bool = False
    """Lets the checkpoint run code of its own: read it before."""
    prompt: Annotated[str, Field(min_length=1, max_length=20_000)] | PromptId | None = None
    """What the model is asked; `{column}` stands for the row's value.  Or `{id: NAME}`: a prompt of
    the library (`pairmill prompts`), with its system turn and examples.  Control tokens in it, and
    in the values, are plain text to the model.
    """
    prompt_file: Annotated[str | None, FILE] = None
    """A file with the prompt instead: plain text, or YAML with `prompt`, `system`, `examples`,
    `json_schema`.  Its content is part of the identity.
    """
    system: str | None = Field(None, min_length=1, max_length=20_000)
    """A system turn before it, with references like `prompt`."""
    examples: list[Example] = Field([], max_length=64)
    """Turns before it that show how to answer, each with `user` and `assistant`."""
    columns: dict[str, str] = {}
    """Names in the prompt → columns that they mean, where these are called otherwise:
    `{caption: synthetic}`.
    """
    values: dict[str, str] = {}
    """Names in the prompt → what they stand for in every row: `{style: as a haiku}`."""
    separator: str = ", "
    """What joins the values of a list column in a prompt."""
    json_schema: dict[str, Any] | None = None
    """JSON schema that the answer has to fit: each of its properties becomes a column.  An answer
    that does not fit is asked for once more, with what is wrong; then the row fails as `bad_json`.
    """
    text_from: str | None = None
    """The property of `json_schema` that is the stage's text."""
    image: str | list[str] | None = None
    """Column with encoded images, or several columns in order; `null` for a prompt without."""
    text_first: Annotated[bool, ADDED] = False
    """Puts the prompt before the images of its turn, so that a server which remembers how prompts
    begin (vLLM's prefix cache) computes once what they have in common: all up to the first value
    of a column.  Most models learnt with images first, and some templates put them there anyway,
    which the run says.
    """
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
    samples: int = Field(1, ge=1, le=64)
    """Answers for each row; several, drawn by chance, make columns of lists."""
    temperature: float = Field(0.0, ge=0, le=2)
    """0: greedy; above: sampling, seeded by row."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus of the sampling."""
    logprobs: bool = False
    """Whether the mean logarithm of the probabilities of an answer's tokens has a column of its
    own, `<name>_logprob`: how sure the model was; null where a server does not tell.
    """
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
    attention: Annotated[
        Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] | None,
        SPEED,
    ] = None
    """Kernels of the model's attention, as transformers names them; absent: what it takes, `sdpa`
    as a rule.  They differ by what rounding does.
    """
    batch_size: Annotated[int, SPEED] = Field(16, ge=1, le=4096)
    """Rows given to the model at once (`engine: transformers`), whichever shards they are from;
    halved where they do not fit its memory.
    """

    @model_validator(mode="before")
    @classmethod
    def _from_library(cls, data: Any) -> Any:
        """A prompt of the library stands in the config with all its turns, since these decide the
        values; keys that the file gives come first.
        """
        if not isinstance(data, Mapping):
            return data
        if "prompt" in data and data.get("prompt_file") is not None:
            raise ValueError("`prompt` and `prompt_file` are two answers to one question; name one")
        prompt = data.get("prompt")
        if not isinstance(prompt, Mapping) or set(prompt) != {"id"}:
            return data
        found = prompt_of(str(prompt["id"]))
        keys: dict[str, Any] = {"system": found.system, "examples": found.examples}
        keys["json_schema"] = found.json_schema
        given = {name: value for name, value in keys.items() if value and name not in data}
        return {**data, **given, "prompt": found.text}

    @field_validator("prompt", "system")
    @classmethod
    def _fillable(cls, prompt: Any) -> Any:
        referenced(prompt if isinstance(prompt, str) else "")
        return prompt

    @model_validator(mode="after")
    def _whole(self) -> "AskingConfig":
        if self.prompt is None and self.prompt_file is None:
            raise ValueError("what is the model asked? write `prompt:` or `prompt_file:`")
        if self.json_schema is not None:
            check_schema(self.json_schema)
            check_names(self.json_schema, self.own_columns(), self.text_from)
        elif self.text_from and self.prompt_file is None:
            raise ValueError(f"text_from: {self.text_from!r} is no property of json_schema")
        if self.engine == "openai":
            self._refuse("what a server loads, and how, is told where it is started, not here")
        if self.engine == "vllm":
            self._refuse("vLLM loads the model in its own way; see `engine_arguments`")
        if self.text_first and self.image is None:
            raise ValueError("`text_first` puts the prompt before images, and `image` names none")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"{self.samples} samples at temperature 0 would be {self.samples} times the same; "
                "set `temperature:`"
            )
        return self

    def own_columns(self) -> list[str]:
        """What columns beside those of `json_schema` are called, behind the stage's name."""
        more = {"answer": not self.text_from, "logprob": self.logprobs, "reasoning": self.reasoning}
        return [*OWN_COLUMNS, *(name for name, written in more.items() if written)]

    def _refuse(self, why: str) -> None:
        """Refuses keys of a model that the worker loads where it does not, or not by these."""
        own = OF_VLLM if self.engine == "vllm" else OF_A_START * self.serves_vllm()
        defaults = {name: type(self).model_fields[name].default for name in OF_A_WORKER}
        wrong = [n for n, d in defaults.items() if n not in own and getattr(self, n) != d]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: {why}")

    def with_file(self) -> "AskingConfig":
        """The config with what its prompt file holds, so that no worker needs the file."""
        if self.prompt_file is None:
            return self
        found = read_wording(self.prompt_file)
        plain = self.model_dump(exclude_unset=True, exclude={"prompt", "prompt_file"})
        with prompt_file_faults(self.prompt_file):
            return type(self).model_validate({**found, **plain})

    def wording(self) -> Wording:
        """What the model is asked."""
        assert isinstance(self.prompt, str), "the library's and the file's wording stands in it"
        return Wording(self.prompt, self.system, tuple(self.examples))

    def columns_of_images(self) -> list[str]:
        """Columns of `image` in order; none for a prompt without images."""
        if self.image is None:
            return []
        return [self.image] if isinstance(self.image, str) else list(self.image)

    def references(self) -> list[str]:
        """Columns whose values stand in the prompt."""
        return list(dict.fromkeys(self.meant().values()))

    def meant(self) -> dict[str, str]:
        """Name in the prompt → column."""
        names = (n for n in self.wording().references() if n not in self.values)
        return {name: self.columns.get(name, name) for name in names}

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
            attention=self.attention,
            image_processor=None if self.image_processor == "auto" else self.image_processor,
            cpus=self.resources.cpus or cpus,
        )

    def sampling(self) -> Sampling:
        """How answers are drawn; a seed that is absent counts as 0."""
        return Sampling(
            self.max_new_tokens,
            self.temperature,
            self.top_p,
            self.seed or 0,
            dict(self.chat_template_kwargs),
            self.logprobs,
        )


class CaptionConfig(AskingConfig):
    """A text per row from an image-text-to-text model; without an image it merges or rewrites
    texts, and text models serve, too.
    """

    stage: Annotated[Literal["caption"], SPEED] = "caption"
    prompt: Annotated[str, Field(min_length=1, max_length=20_000)] | PromptId | None = (
        "Describe this image in one sentence."
    )
    """What the model is asked; `{column}` stands for the row's value.  Or `{id: NAME}`: a prompt of
    the library (`pairmill prompts`), with its system turn and examples.  Control tokens in it, and
    in the values, are plain text to the model.
    """
    image: str | list[str] | None = "image"
    """Column with encoded images, or several columns in order; `null` for a prompt without."""


class RewriteConfig(AskingConfig):
    """Another text out of the texts of a row, by a text model: fusion of alt text and caption,
    style, title + alt text + context, shortening.

    `prompt: {id: fuse}` is CapsFusion's, with the raw text and the caption of `columns: {caption:
    synthetic}`.
    """

    stage: Annotated[Literal["rewrite"], SPEED] = "rewrite"


class JudgeConfig(AskingConfig):
    """A model's verdict as typed columns, one for each property of `json_schema`.

    `prompt: {id: judge-match}` asks whether a caption is true of its image: `judge_score` (1 to 5),
    `judge_label`, `judge_reasons`.
    """

    stage: Annotated[Literal["judge"], SPEED] = "judge"
    image: str | list[str] | None = "image"
    """Column with encoded images, or several columns in order; `null` for a verdict on texts."""

    @model_validator(mode="after")
    def _typed(self) -> "JudgeConfig":
        if self.json_schema is None and self.prompt_file is None:
            raise ValueError("a verdict has columns by `json_schema:`; write one")
        return self
