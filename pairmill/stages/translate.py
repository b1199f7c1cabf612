"""Translations, each with a figure of how much of the text came through."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.captioners.config import AskingConfig
from pairmill.captioners.engine import Answer, Request
from pairmill.captioners.library import prompt_of
from pairmill.captioners.prompts import referenced
from pairmill.captioners.talks import TakenAnswer, Talk, sum_known, told_in
from pairmill.errors import RowError
from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED
from pairmill.stages.asking import AskedRow, AskingStage
from pairmill.texts.languages import language_name
from pairmill.texts.similarity import chrf, coverage
from pairmill.texts.untranslated import is_untranslated

REPAIR_READS = ("text", "to", "translation", "back")
"""Names that a prompt for a repair knows."""
Asked = Generator[list[Request], list[Answer], TakenAnswer]


class TranslateConfig(AskingConfig):
    """Translates a text column, checks each translation by its way back, and tries once more where
    it does not say what the text says.

    `keep: translation_fidelity >= 0.5` leaves what came through; demanding more costs rows whose
    words have several right translations.
    """

    stage: Annotated[Literal["translate"], SPEED] = "translate"
    text: str = "text"
    """Column to translate."""
    to: str = Field(pattern=r"^[a-z]{2,3}$")
    """Code of the language it is translated into, such as `de`."""
    language: str = "lang"
    """Column with the code of the text's own language, as `language` writes it.  A text that is in
    the language already, or empty, stays as it is, and no model is asked.
    """
    back: bool = True
    """Whether the translation is translated back, by the same model, and compared with the text;
    without that there is no fidelity, and no second try.
    """
    likeness: Literal["chrf", "words"] = "chrf"
    """How text and way back are compared: chrF forgives other forms of a word; `words` is the share
    of the text's words that come back, which sees one word that changed in a longer sentence.
    """
    least_fidelity: float = Field(0.5, ge=0, le=1)
    """Fidelity below which the model is shown the translation with its way back and asked to repair
    it.
    """
    tries: int = Field(2, ge=1, le=5)
    """Translations of a row at most, the first one included; the most faithful counts."""
    repair_prompt: str | None = Field(None, min_length=1, max_length=20_000)
    """What the model is asked then; reads `{text}`, `{to}`, `{translation}`, `{back}`.  Absent: the
    library's `repair-translation`.
    """

    @model_validator(mode="before")
    @classmethod
    def _prompted(cls, data: Any) -> Any:
        if isinstance(data, dict) and not {"prompt", "prompt_file"} & set(data):
            found = prompt_of("translate")
            return {"system": found.system, **data, "prompt": found.text}
        return data

    @model_validator(mode="after")
    def _plain(self) -> "TranslateConfig":
        if self.json_schema is not None or self.samples > 1 or self.image is not None:
            raise ValueError("`translate` takes no `json_schema`, `samples` or `image`")
        if self.prompt_file is None and "text" not in self.wording().references():
            raise ValueError("the prompt has to name {text}, what is to be translated")
        if self.prompt_file is None:
            known = dict.fromkeys((*REPAIR_READS, *self.values, *self.meant()))
            strange = [n for n in referenced(self.repair_prompt or "") if n not in known]
            if strange:
                names = ", ".join(f"{{{name}}}" for name in known)
                raise ValueError(f"repair_prompt reads {{{strange[0]}}}, and knows {names}")
        return self

    def references(self) -> list[str]:
        named = [name for key, name in self.meant().items() if key not in ("text", "to")]
        return list(dict.fromkeys([self.text, self.language, *named]))


LIKENESS = {"chrf": chrf, "words": coverage}


@dataclass
class Try:
    """One translation of a row."""

    answer: TakenAnswer
    back: str | None = None
    fidelity: float | None = None
    untranslated: bool = False


class TranslateStage(AskingStage):
    """Fidelity is the likeness of the text and its translation's way back, 0 to 1: cheap, for any
    pair of languages that the model knows, and a lower bound, since right ways back have other
    words, too.  A text of some words that the model gives back in its own language has a fidelity
    of 0; one of few words may be right as it is ("logo design").
    """

    Config = TranslateConfig
    prefix = "translation"
    version = 2
    decodes = False

    def has_system(self) -> bool:
        return super().has_system() or (self.config.back and self.config.tries > 1)

    def may_lack(self) -> list[str]:
        return [n for n in self.reads() if n not in (self.config.text, "uid")]

    def writes(self) -> pa.Schema:
        name, share = self.column(), pa.float32()
        to = language_name(self.config.to)
        text = column(name, pa.string(), f"the text in {to}", role="caption")
        fields = [self.with_origin(text)]
        if self.config.back:
            like = "likeness of the text and the translation's way back"
            fields += [
                column(self.column("fidelity"), share, like, "", 0, 1, role="score", of=name),
                column(self.column("back"), pa.string(), "the translation's way back", of=name),
            ]
        still = "whether it is in the text's own language still; false where that is not known"
        fields.append(column(self.column("untranslated"), pa.bool_(), still, of=name))
        doc = "stop, or length where the token limit cut it off"
        return pa.schema(
            [
                *fields,
                column(self.column("tries"), pa.int32(), "translations made; 0: not needed", "", 0),
                column(self.column("model"), pa.string(), "model that wrote it"),
                column(self.column("prompt_id"), pa.string(), "stands for the prompt's wording"),
                column(
                    self.column("finish_reason"), pa.string(), doc, role="finish_reason", of=name
                ),
                column(self.column("tokens"), pa.int32(), "tokens generated", "tokens", 0),
                column(
                    self.column("prompt_tokens"),
                    pa.int32(),
                    "tokens of all requests, where the engine tells",
                    "tokens asked",
                    0,
                ),
            ]
        )

    def talk(self, row: AskedRow) -> Talk:
        c = self.config
        text, own = str(row.values[c.text]), row.values[c.language]
        if own == c.to or not text.strip():
            return self.columns_of([], text, [])
        tries: list[Try] = []
        every: list[TakenAnswer] = []
        for number in range(c.tries if c.back else 1):
            values = {"text": text, "to": language_name(c.to)}
            if tries:
                last = tries[-1]
                back = last.back or (text if last.untranslated else "")
                values |= {"translation": last.answer.text or "", "back": back}
            answer = yield from self.asked_for(row, values, f"#{number}", repair=bool(tries))
            every.append(answer)
            one = Try(answer)
            same = next((t for t in tries if t.answer.text == answer.text), None)
            tries.append(one)
            if same is not None and c.temperature == 0:
                one.back, one.fidelity = same.back, same.fidelity
                one.untranslated = same.untranslated
                break  # whatever is asked now was asked before, and has the same answer
            one.untranslated = is_untranslated(text, answer.text or "", own, c.to)
            if c.back and (one.untranslated or not answer.text):
                one.fidelity = 0.0  # and no way back is paid
            elif c.back:
                home = {
                    "text": answer.text or "",
                    "to": language_name(own or "the former language"),
                }
                way = yield from self.asked_for(row, home, f"#{number}<", repair=False)
                every.append(way)
                one.back, one.fidelity = way.text, LIKENESS[c.likeness](text, way.text or "")
            if one.fidelity is None or one.fidelity >= c.least_fidelity:
                break
        return self.columns_of(tries, text, every)

    def asked_for(self, row: AskedRow, values: dict[str, Any], key: str, repair: bool) -> Asked:
        """One answer; raises RowError where the model never came to its end."""
        c = self.config
        wording = c.wording()
        if repair:
            library = prompt_of("repair-translation").wording
            wording = type(library)(c.repair_prompt or library.text, library.system)
        others = {k: row.values[n] for k, n in c.meant().items() if k not in ("text", "to")}
        request = self.request(row, wording, {**c.values, **others, **values}, key)
        (answer,) = yield from told_in([request], None)
        if answer.fault:
            raise RowError("unfinished", answer.fault)
        return answer

    def columns_of(self, tries: list[Try], text: str, every: list[TakenAnswer]) -> dict[str, Any]:
        """The row's columns from its most faithful try; the text itself where it is in the language
        already (no try).
        """
        c = self.config
        best = max(tries, key=lambda t: t.fidelity or 0.0) if tries else None
        return {
            self.column(): best.answer.text if best else text,
            self.column("fidelity"): best.fidelity if best else 1.0,
            self.column("back"): best.back if best else None,
            self.column("untranslated"): bool(best and best.untranslated),
            self.column("tries"): len(tries),
            self.column("model"): self.model_name() if best else None,
            self.column("prompt_id"): c.wording().digest if best else None,
            self.column("finish_reason"): best.answer.finish_reason if best else None,
            self.column("tokens"): sum_known(t.tokens for t in every),
            self.column("prompt_tokens"): sum_known(t.prompt_tokens for t in every),
        }
