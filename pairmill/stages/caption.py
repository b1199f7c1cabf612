"""Captions, rewritten texts and verdicts: what a model says to one prompt."""

from typing import Any

import pyarrow as pa

from pairmill.captioners.config import AskingConfig, CaptionConfig, JudgeConfig, RewriteConfig
from pairmill.captioners.structured import column_types
from pairmill.captioners.talks import TakenAnswer, Talk, sum_known, told_in
from pairmill.redaction import redact
from pairmill.schemas.arrow import MESSAGE_MAX, column
from pairmill.stages.asking import AskedRow, AskingStage

SHOWN = MESSAGE_MAX // 2
"""Characters of what is wrong with an answer that a failure's message has; then comes as much of
the answer as there is room for.
"""


class OnePromptStage(AskingStage):
    """Asks each row one prompt, once or `samples` times."""

    def __init__(self, config: AskingConfig) -> None:
        super().__init__(config)
        schema = self.config.json_schema
        if schema and schema["properties"].keys().isdisjoint(schema.get("required", ())):
            # answers without any property were stored as nulls
            self.version = self.version_of_config = self.version + 1

    def writes(self) -> pa.Schema:
        c = self.config
        fields = [self.with_origin(self.text_field())]
        if c.json_schema:
            fields += [
                self.field(name, kind, f"`{name}` of the model's answer")
                for name, kind in column_types(c.json_schema).items()
                if name != c.text_from
            ]
            fields.append(self.field("repaired", pa.bool_(), "right at the second try"))
        fields += [
            column(self.column("model"), pa.string(), "model that wrote it"),
            column(self.column("prompt_id"), pa.string(), "stands for the prompt's exact wording"),
            self.field(
                "finish_reason",
                pa.string(),
                "stop, or length where the token limit cut it off",
                role="finish_reason",
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
        if c.logprobs:
            doc = "mean natural logarithm of the probabilities of the answer's tokens"
            fields.append(self.field("logprob", pa.float32(), doc))
        if self.reasons():
            fields.append(self.field("reasoning", pa.string(), "what the model thought before"))
        return pa.schema(fields)

    def text_column(self) -> str:
        """The name of `text_field`."""
        c = self.config
        return self.column("answer" if c.json_schema and not c.text_from else "")

    def text_field(self) -> pa.Field:
        """The column of what the model wrote: the stage's text, or the answer as it came where the
        schema's columns hold what matters.
        """
        c = self.config
        if c.json_schema and not c.text_from:
            return self.field("answer", pa.string(), "what the model wrote, as it came")
        if c.samples > 1:
            return self.field("", pa.string(), "texts the model wrote, one a sample")
        doc = "text the model wrote"
        return column(self.column(), pa.string(), doc, role="caption")

    def field(self, suffix: str, dtype: pa.DataType, doc: str, role: Any = None) -> pa.Field:
        """A column with one value a sample."""
        kind = dtype if self.config.samples == 1 else pa.list_(dtype)
        of = self.column() if role else ""
        single = role if self.config.samples == 1 else None
        return column(self.column(suffix), kind, doc, role=single, of=of)

    def talk(self, row: AskedRow) -> Talk:
        c = self.config
        wording = c.wording()
        values = {**c.values, **{n: row.values[name] for n, name in c.meant().items()}}
        requests = [
            self.request(row, wording, values, f"#{i}" if i else "") for i in range(c.samples)
        ]
        answers = yield from told_in(requests, c.json_schema)
        columns = self.columns_of(answers)
        self.alterations.extend(filter(None, (one.altered for one in answers)))
        if all(one.fault for one in answers):
            first = next((one for one in answers if not one.refused), answers[0])
            kind = "unfinished" if first.text is None else "bad_json"
            said = f": {first.text[:MESSAGE_MAX]!r}" if first.text else ""
            columns["error"] = (kind, redact(f"{str(first.fault)[:SHOWN]}{said}"))
        return columns

    def columns_of(self, answers: list[TakenAnswer]) -> dict[str, Any]:
        """A row's columns; of several samples, those that are of no use are null."""
        c = self.config
        found: dict[str, list[Any]] = {
            self.column("finish_reason"): [t.finish_reason for t in answers],
            self.column("reasoning"): [t.reasoning for t in answers],
            self.column("logprob"): [t.logprob for t in answers],
        }
        unfit = all(t.fault for t in answers)  # a failed row keeps them as they came
        plain = not c.json_schema or not c.text_from or unfit
        texts = [t.text if plain else t.values.get(c.text_from) for t in answers]
        found[self.text_column()] = texts
        if c.json_schema:
            for name in c.json_schema["properties"]:
                if name != c.text_from:
                    found[self.column(name)] = [t.values.get(name) for t in answers]
            found[self.column("repaired")] = [t.repaired for t in answers]
        single = c.samples == 1
        return {
            **{name: values[0] if single else values for name, values in found.items()},
            self.column("model"): self.model_name(),
            self.column("prompt_id"): c.wording().digest,
            self.column("tokens"): sum_known(t.tokens for t in answers),
            self.column("prompt_tokens"): sum_known(t.prompt_tokens for t in answers),
        }


class CaptionStage(OnePromptStage):
    """Writes the text and, beside it, model, prompt id, finish reason, token count and, for models
    that think, the reasoning.
    """

    Config = CaptionConfig
    prefix = "caption"
    version = 2


class RewriteStage(OnePromptStage):
    """Writes the new text beside the old ones, which stay."""

    Config = RewriteConfig
    prefix = "rewrite"


class JudgeStage(OnePromptStage):
    """Writes one column for each property of the schema, and the answer as it came; gates are
    yours: `keep: judge_score >= 4`.
    """

    Config = JudgeConfig
    prefix = "judge"
