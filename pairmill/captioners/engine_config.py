"""The keys by which a stage chooses the engine that runs its model."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pairmill.schemas.config import SPEED, Reach, StageConfig, Strict

TRANSIENT = ("timeout", "connect", "protocol", "http_429", "http_5xx")
"""Classes of failures that another attempt may mend."""


class Prices(Strict):
    """What an endpoint takes, in dollars for a million tokens."""

    prompt: float = Field(0.0, ge=0)
    """Tokens of requests."""
    completion: float = Field(0.0, ge=0)
    """Tokens of answers."""

    def dollars(self, prompt: int, completion: int) -> float:
        """What tokens cost."""
        return (prompt * self.prompt + completion * self.completion) / 1e6


class EngineConfig(StageConfig):
    """Keys of every stage that asks a model, beside those of the model itself."""

    engine: Literal["transformers", "openai"] = "transformers"
    """What runs the model: `transformers` in the worker; `openai` asks a server with OpenAI's API
    (vLLM, SGLang, llama.cpp, `transformers serve`, hosted ones), which `model` is the name at.
    """
    base_url: Annotated[str | None, SPEED, Reach("other", *TRANSIENT, "http_4xx")] = None
    """Where the server is, such as `http://127.0.0.1:8000/v1`.  Not part of the identity: an answer
    is the model's, wherever it runs.
    """
    api_key_env: Annotated[str | None, SPEED] = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the server's key; `OPENAI_API_KEY`, if it is set, where
    `base_url` is absent.
    """
    concurrency: Annotated[int, SPEED] = Field(64, ge=1, le=4096)
    """Requests in flight to the server, at most, over all workers of the run; how many there are
    follows from what it can take.
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
    """Further keys of each request, as the server takes them, such as `{top_k: 1}`."""

    @field_validator("base_url")
    @classmethod
    def _http(cls, base_url: str | None) -> str | None:
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise ValueError(f"{base_url!r} is no http:// or https:// address")
        return base_url

    @model_validator(mode="after")
    def _server(self) -> "EngineConfig":
        if self.engine != "openai":
            wrong = [
                name
                for name in (
                    "base_url",
                    "api_key_env",
                    "prices",
                    "requests_per_minute",
                    "tokens_per_minute",
                )
                if getattr(self, name) is not None
            ]
            if wrong or self.extra_body:
                raise ValueError(
                    f"{', '.join(wrong) or 'extra_body'}: keys of `engine: openai`, and the engine "
                    f"is {self.engine}"
                )
        return self

    def elsewhere(self, field: str) -> bool:
        """A server's model is known by its name alone."""
        return field == "model" and self.engine == "openai"
