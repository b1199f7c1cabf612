"""The keys by which a stage chooses the engine that runs its model."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from pairmill.schemas.config import ADDED, SPEED, Reach, StageConfig, Strict

TRANSIENT = ("timeout", "connect", "protocol", "http_429", "http_5xx")
"""Classes of failures that another attempt may mend."""


OF_A_SERVER = (
    "base_url", "serve", "serve_arguments", "api_key_env", "prices", "requests_per_minute",
    "tokens_per_minute", "extra_body",
)  # fmt: skip
"""Keys that mean nothing to an engine in the worker, but for `extra_body` to vLLM."""


ASKED_BY_KEYS = {
    "model": "model", "messages": "prompt", "n": "samples", "temperature": "temperature",
    "top_p": "top_p", "seed": "seed", "max_tokens": "max_new_tokens", "logprobs": "logprobs",
    "response_format": "json_schema", "chat_template_kwargs": "chat_template_kwargs",
}  # fmt: skip
"""Keys of a request that pairmill sends → the stage's own that says them."""


OF_THE_STAGE = {
    "model": "model", "dtype": "dtype", "trust_remote_code": "trust_remote_code",
    "revision": "revision", "generation_config": "temperature", "enable_lora": "adapter",
}  # fmt: skip
"""Arguments of vLLM's engine that other keys of the stage say, and these keys."""


class Prices(Strict):
    """What an endpoint takes, in dollars for a million tokens."""

    prompt: float = Field(0.0, ge=0, le=1e9)
    """Tokens of requests."""
    completion: float = Field(0.0, ge=0, le=1e9)
    """Tokens of answers."""

    def dollars(self, prompt: int, completion: int) -> float:
        """What tokens cost."""
        return (prompt * self.prompt + completion * self.completion) / 1e6


class ServedBy(Strict):
    """How pairmill starts the server of `serve:`, in an environment of the server's own."""

    python: str | None = None
    """Interpreter of the environment that vLLM is installed in, such as `/envs/vllm/bin/python`, at
    the same place on every node; absent: the command `vllm` of the worker's `PATH`.
    """
    command: list[str] | None = Field(None, min_length=1)
    """Another server with OpenAI's API, word by word; `{model}` and `{port}` stand for the model's
    name and the port of 127.0.0.1 that it has to listen at.
    """
    environment: dict[str, str] = {}
    """Variables of the server, beside the worker's own (but for those by which Python finds
    packages).
    """

    @model_validator(mode="after")
    def _one_way(self) -> "ServedBy":
        if self.command is not None:
            if self.python is not None:
                raise ValueError("`python` is for vLLM, and `command` for another server; name one")
            if not any("{port}" in word for word in self.command):
                raise ValueError("`command` has to name {port}, at which the server listens")
        return self


def check_address(url: str) -> None:
    """Raises ValueError for what no server can be asked at."""
    try:
        parts = urlsplit(url)
        fault = f"port {parts.port} is none" if parts.port == 0 else ""
    except ValueError as error:
        raise ValueError(f"{url!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fault = "it begins with http:// or https:// and a host"
    elif any(c.isspace() or not c.isprintable() for c in url):
        fault = "no blank stands in one"
    elif parts.query or parts.fragment:
        fault = "`/chat/completions` is put behind it, so nothing with ? or # can stand there"
    if fault:
        raise ValueError(f"{url!r} is no address of a server: {fault}")


class EngineConfig(StageConfig):
    """Keys of every stage that asks a model, beside those of the model itself."""

    engine: Literal["transformers", "vllm", "openai"] = "transformers"
    """What runs the model: `transformers` or `vllm` in the worker (the latter in an environment
    that holds both); `openai` asks a server with OpenAI's API (vLLM, SGLang, llama.cpp,
    `transformers serve`, hosted ones), which `model` is the name at.
    """
    engine_arguments: Annotated[dict[str, Any], ADDED] = {}
    """Further arguments of `engine: vllm`, as vLLM names them, such as `{max_model_len: 8192}`;
    part of the identity, since some of them decide values.
    """
    base_url: Annotated[str | None, SPEED, Reach("other", *TRANSIENT, "http_4xx")] = None
    """Where the server is, such as `http://127.0.0.1:8000/v1`.  Not part of the identity: an answer
    is the model's, wherever it runs.
    """
    serve: Annotated[Literal["vllm"] | ServedBy | None, SPEED] = None
    """Instead of `base_url`: each worker starts a server of its own on its node, with its GPUs
    (`resources: {gpus: 1}`), asks it, starts it again where it dies, and stops it at the end.
    `vllm`, or a mapping with `python`, `command`, `environment`.
    """
    serve_arguments: list[str] = []
    """Further words of vLLM's command line, such as `[--max-model-len, "8192"]`; part of the
    identity, since some of them decide values.
    """
    api_key_env: Annotated[str | None, SPEED] = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the server's key; `OPENAI_API_KEY`, if it is set, where
    `base_url` is absent.
    """
    concurrency: Annotated[int | None, SPEED] = Field(None, ge=1, le=4096)
    """Requests in flight to the server, at most, over all workers of the run; how many there are
    follows from what it can take.  With `engine: vllm` those of each worker.  Absent: 64, and 256
    with `engine: vllm`.
    """
    requests_per_minute: Annotated[float | None, SPEED] = Field(None, gt=0)
    """Requests to the server, over all workers of the run; no limit if absent."""
    tokens_per_minute: Annotated[float | None, SPEED] = Field(None, gt=0)
    """Tokens of requests and answers, over all workers of the run; no limit if absent."""
    request_timeout_s: Annotated[float, SPEED, Reach("more", "timeout")] = Field(
        300.0, gt=0, le=86_400
    )
    """Seconds for one attempt, from the request to the last token."""
    request_retries: Annotated[int, SPEED, Reach("more", *TRANSIENT)] = Field(6, ge=0, le=100)
    """Further attempts after timeouts, broken connections, 429 and 5xx, with growing pauses."""
    max_retry_after_s: Annotated[float, SPEED, Reach("more", "http_429", "http_5xx")] = Field(
        120.0, ge=0, le=86_400
    )
    """Longest Retry-After that is waited for."""
    prices: Annotated[Prices | None, SPEED] = None
    """Dollars for a million tokens, so that the run can say what it cost:
    `{prompt: 0.15, completion: 0.6}`.
    """
    extra_body: dict[str, Any] = {}
    """Further keys of each request, as the server takes them, such as `{top_k: 1}`; with `engine:
    vllm` keys of its SamplingParams.
    """

    @field_validator("extra_body")
    @classmethod
    def _further(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if "stream" in extra or "stream_options" in extra:
            raise ValueError("answers are read whole; leave `stream` out")
        for name in extra:
            if name in ASKED_BY_KEYS:
                raise ValueError(
                    f"{name!r} is sent by the stage itself; write `{ASKED_BY_KEYS[name]}:`"
                )
        return extra

    @field_validator("base_url")
    @classmethod
    def _http(cls, base_url: str | None) -> str | None:
        if base_url is not None:
            check_address(base_url)
        return base_url

    @model_validator(mode="after")
    def _server(self) -> "EngineConfig":
        if self.engine_arguments and self.engine != "vllm":
            raise ValueError(
                f"engine_arguments: of `engine: vllm`, and the engine is {self.engine}"
            )
        if said := [name for name in OF_THE_STAGE if name in self.engine_arguments]:
            raise ValueError(
                f"engine_arguments: {said[0]!r} is said by the stage; write "
                f"`{OF_THE_STAGE[said[0]]}:`"
            )
        if self.engine != "openai":
            own = ("extra_body",) if self.engine == "vllm" else ()
            keys = [name for name in OF_A_SERVER if name not in own]
            wrong = [name for name in keys if getattr(self, name) not in (None, {}, [])]
            if wrong:
                raise ValueError(
                    f"{', '.join(wrong)}: keys of `engine: openai`, and the engine is {self.engine}"
                )
            return self
        if self.serve is not None and (self.base_url or self.api_key_env):
            raise ValueError(
                "`serve` starts a server of its own, and `base_url` and `api_key_env` are for one "
                "that is there; name one"
            )
        if self.serve_arguments and not self.serves_vllm():
            raise ValueError("`serve_arguments` are words for vLLM, and `serve: vllm` is not there")
        return self

    def in_flight(self) -> int:
        """Requests in flight, at most."""
        return self.concurrency or (256 if self.engine == "vllm" else 64)

    def served_by(self) -> ServedBy | None:
        """How the server is started; None where it is another's affair."""
        return ServedBy() if self.serve == "vllm" else self.serve

    def serves_vllm(self) -> bool:
        """Whether the server is a vLLM that pairmill starts, with the checkpoint that `model`
        names.
        """
        how = self.served_by()
        return how is not None and how.command is None

    def elsewhere(self, field: str) -> bool:
        """A server's model is known by its name alone, unless the server is started with it."""
        return field == "model" and self.engine == "openai" and not self.serves_vllm()
