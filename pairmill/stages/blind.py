"""Is a question answered without the picture?"""

import re
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.captioners.config import AskingConfig, PromptId
from pairmill.captioners.talks import Talk
from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, SPEED
from pairmill.stages.asking import AskedRow
from pairmill.stages.caption import OnePromptStage
from pairmill.texts.words import plain_words

OPTION = re.compile(r"[A-Z]")
"""An answer that is the letter of an option."""


class BlindConfig(AskingConfig):
    """Asks a text model a row's question without its picture, and says how often the answer is
    right: what is known blind tests no sight (MMStar, Chen et al. 2024, which refuses what more
    than two of eight models know).

    `{stage: blind, model: Qwen/Qwen3-4B, samples: 8, temperature: 1, keep: blind_right <= 0.25}`.
    Several models are several `blind` stages.
    """

    stage: Annotated[Literal["blind"], SPEED] = "blind"
    prompt: Annotated[str, Field(min_length=1, max_length=20_000)] | PromptId | None = "{question}"
    """What the model is asked; `{column}` stands for the row's value.  Or `{id: NAME}`: a prompt of
    the library (`pairmill prompts`).
    """
    system: str | None = Field(
        "You see no picture. Answer with what you know, and guess where you do not.",
        min_length=1,
        max_length=20_000,
    )
    """A system turn before it, with references like `prompt`."""
    right: Annotated[str, COLUMN] = "answer"
    """Column with the right answer, or with a list of answers of which each is right."""

    @model_validator(mode="after")
    def _without_picture(self) -> "BlindConfig":
        if self.image is not None:
            raise ValueError("`blind` shows no picture: leave `image` out, or take `caption`")
        if self.json_schema is not None and not self.text_from:
            raise ValueError("say with `text_from` which property of `json_schema` is the answer")
        return self


class BlindStage(OnePromptStage):
    """`blind`: the model's answer, a list where there are several `samples`; `blind_right`: the
    share of them that are right, null where the row has no right answer.

    Right is what says the answer, word for word and in any case, among other words.  Where the
    answer is the letter of an option (`B`), the model's has to begin with it, alone or before
    `)`, `.` or `:`, or to hold `(B)` or `answer is B`.
    """

    Config = BlindConfig
    prefix = "blind"

    def references(self) -> list[str]:
        return list(dict.fromkeys([*super().references(), self.config.right]))

    def may_lack(self) -> list[str]:
        return [self.config.right] if self.config.right not in self.config.references() else []

    def writes(self) -> pa.Schema:
        doc = f"share of the answers that say `{self.config.right}`"
        right = column(self.column("right"), pa.float32(), doc, "", 0, 1, role="score")
        return pa.schema([*super().writes(), right])

    def talk(self, row: AskedRow) -> Talk:
        columns = yield from super().talk(row)
        said = columns[self.text_field().name]
        texts = [said] if not isinstance(said, list) else said
        expected = row.values[self.config.right]
        answers = expected if isinstance(expected, list) else [expected]
        known = [str(a) for a in answers if a is not None and str(a).strip()]
        share = share_right([text for text in texts if text is not None], known)
        return {**columns, self.column("right"): share}


def share_right(texts: list[Any], answers: list[str]) -> float | None:
    """The share of texts that say one of the answers; None without either."""
    if not texts or not answers:
        return None
    return sum(any(says(str(text), answer) for answer in answers) for text in texts) / len(texts)


def says(text: str, answer: str) -> bool:
    """Whether a text gives the answer."""
    answer = answer.strip()
    if OPTION.fullmatch(answer):
        forms = rf"^\W*{answer}(?:\W*$|[).:])|\({answer}\)|(?i:answer(?: is)?)[:\s]+{answer}\b"
        return re.search(forms, text.strip()) is not None
    wanted, words = plain_words(answer), plain_words(text)
    if not wanted:  # signs alone, such as "+"
        return answer in text
    return any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))
