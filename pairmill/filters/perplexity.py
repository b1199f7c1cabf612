"""How likely a small language model finds a text."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.filters.kenlm_model import KenlmModel
from pairmill.models.finite import Finite
from pairmill.models.library import LIBRARIES
from pairmill.models.load import Spec, load
from pairmill.models.loaded_model import LoadedModel
from pairmill.models.transfers import placed
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import COLUMN, FILE, MODEL, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.torch_device import Device, Precision, Room, in_halves


class PerplexityConfig(StageConfig):
    """Perplexity of a text by a causal model of `transformers`, or by a KenLM file (extra
    `kenlm`).

    POINTS keeps the fifth of its pairs with the lowest: `{stage: select, by: 0 - perplexity,
    fraction: 0.2, keep: selected}`.
    """

    stage: Annotated[Literal["perplexity"], SPEED] = "perplexity"
    model: Annotated[str | None, MODEL] = None
    """Hub id or folder of a causal language model; or else name a file by `kenlm`."""
    kenlm: Annotated[str | None, FILE] = None
    """An n-gram model: an ARPA file or KenLM's binary one.  A line is a sentence, whose end counts
    as a token.
    """
    pieces: Annotated[str | None, FILE] = None
    """Sentencepiece model whose pieces are the words of `kenlm`, as CCNet's files want it; absent:
    words are what stands between spaces.
    """
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    text: Annotated[str, COLUMN] = "text"
    """Column to look at."""
    max_tokens: int = Field(256, ge=2, le=32_768)
    """Tokens of a text that are looked at."""
    device: Annotated[Device, SPEED] = "auto"
    """`cuda` without a GPU is an error, never a CPU run."""
    dtype: Precision = "float32"
    """Precision of the model."""
    batch_size: Annotated[int, SPEED] = Field(32, ge=1, le=65_536)
    """Texts given to the model at once; halved where they do not fit its memory."""

    @model_validator(mode="after")
    def _one_model(self) -> "PerplexityConfig":
        if (self.model is None) == (self.kenlm is None):
            raise ValueError("give either `model:` (transformers) or `kenlm:` (a file)")
        if self.pieces and not self.kenlm:
            raise ValueError("`pieces:` belongs to `kenlm:`; a model has its own tokenizer")
        return self


class PerplexityStage(Stage):
    """`perplexity`: exp of the mean negative log-probability of a token given those before it;
    `perplexity_tokens`: how many were predicted; `perplexity_bits`: bits in all.

    A causal model predicts all tokens behind the first (which is its beginning where its tokenizer
    puts one), KenLM all words and the end of each line; a text without any has no perplexity.
    """

    Config = PerplexityConfig
    prefix = "perplexity"
    actor = True
    score: "CausalModel | KenlmModel"

    def reads(self) -> list[str]:
        return [self.config.text]

    def writes(self) -> pa.Schema:
        c = self.column
        return pa.schema(
            [
                column(c(), pa.float32(), "exp of the mean negative log-probability", "", 1,
                       role="score", of=self.config.text),
                column(c("tokens"), pa.int32(), "tokens that were predicted", "tokens", 0),
                column(c("bits"), pa.float32(), "negative log-probability of them", "bits", 0),
            ]
        )  # fmt: skip

    def imports(self) -> Sequence[str]:
        return () if self.config.kenlm else LIBRARIES

    def examine(self) -> list[str]:
        if self.config.kenlm:
            self.setup()
        return []

    def setup(self) -> None:
        config = self.config
        if config.kenlm:
            self.score = KenlmModel(self.name, config.kenlm, config.pieces, config.max_tokens)
            return
        assert config.model is not None
        cpus = config.resources.cpus or self.cpus
        spec = Spec(
            config.model, config.revision, device=config.device, dtype=config.dtype, cpus=cpus
        )
        self.score = CausalModel(self.name, spec, config.max_tokens)
        self.note = self.score.note

    def __call__(self, rows: pa.Table) -> pa.Table:
        nats, tokens = self.score(rows.column(self.config.text).to_pylist())
        errors = self.score.judged(nats)
        nats = np.where([error is None for error in errors], nats, np.nan)
        each = np.divide(nats, tokens, out=np.full(len(nats), np.nan), where=tokens > 0)
        columns = [
            pa.array(np.exp(np.minimum(each, 80)).astype(np.float32), from_pandas=True),
            pa.array(tokens, pa.int32()),
            pa.array((nats / np.log(2)).astype(np.float32), from_pandas=True),
        ]
        table = pa.table(columns, schema=self.writes())
        return table.append_column("error", error_array(errors))


class CausalModel:
    """A causal language model: negative log-probabilities of texts."""

    def __init__(self, stage: str, spec: Spec, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.loaded: LoadedModel = load(
            stage, spec, ["AutoModelForCausalLM"], "AutoTokenizer", self.probe
        )
        self.finite = Finite.of(stage, spec.model, self.loaded)
        self.note, self.room = self.loaded.note, Room()

    def probe(self, model: Any, processor: Any, device: str, dtype: Any) -> Callable[[], Any]:
        """A forward pass over four times the same sentence."""
        import torch

        ids = torch.tensor([processor("a red ball on the meadow")["input_ids"]] * 4, device=device)

        def work() -> None:
            with torch.inference_mode():
                model(input_ids=ids)

        return work

    def __call__(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """(negative log-probability in nats, float64; tokens predicted, int64) of each text."""
        options = {"truncation": True, "max_length": self.max_tokens}
        ids = self.loaded.processor(texts, **options)["input_ids"] if texts else []
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        nats, tokens = np.zeros(len(ids)), np.array([max(0, len(i) - 1) for i in ids], np.int64)
        asked = [i for i in order if len(ids[i]) > 1]
        answers = in_halves(self.answers, [ids[i] for i in asked], self.room)
        nats[asked] = answers
        return nats, tokens

    def judged(self, nats: np.ndarray) -> list[tuple[str, str] | None]:
        """An error for each text of which the model says no number."""
        return self.finite.judged(np.isfinite(nats).tolist())

    def answers(self, ids: list[list[int]]) -> list[float]:
        """Negative log-probability of the tokens behind the first."""
        import torch

        longest = max(map(len, ids))
        padded = torch.zeros(len(ids), longest, dtype=torch.long)
        mask = torch.zeros(len(ids), longest, dtype=torch.long)
        for row, tokens in enumerate(ids):
            padded[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        inputs = placed({"input_ids": padded, "attention_mask": mask}, self.loaded.device, None)
        with torch.inference_mode(), self.loaded.lock:
            logits = self.loaded.model(**inputs).logits[:, :-1].float()
            said = inputs["input_ids"][:, 1:, None]
            found = (
                -logits.log_softmax(-1).gather(-1, said)[..., 0] * inputs["attention_mask"][:, 1:]
            )
        return found.double().sum(1).tolist()
