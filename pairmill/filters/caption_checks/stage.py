"""The stage that checks captions."""

from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.filters.caption_checks.config import CaptionChecksConfig
from pairmill.filters.caption_checks.objects import Mentions
from pairmill.filters.caption_checks.rules import facts_of_caption
from pairmill.filters.fasttext_file import check_fasttext
from pairmill.filters.language import LanguageConfig, LanguageStage
from pairmill.filters.text_scores import Error, TextScorer
from pairmill.schemas.arrow import about, column, error_array
from pairmill.stages.base import Stage
from pairmill.texts.words import sentences

SHARE = pa.float32()


class CaptionChecksStage(Stage):
    """Counts and signs by rules in eight languages (en, de, fr, es, ru, zh, ja, ar), language by
    fastText, objects and sentences where a column of objects and a model are named.
    """

    Config = CaptionChecksConfig
    prefix = "check"
    version = 3
    actor = True
    languages: LanguageStage
    scorer: TextScorer | None = None
    mentions: Mentions | None = None

    def bind(self, schema: pa.Schema) -> None:
        if self.config.finish_reason is None:
            name = about(schema, self.config.caption, "finish_reason")
            self.config = self.config.model_copy(update={"finish_reason": name})

    def reads(self) -> list[str]:
        c = self.config
        picture = c.image if c.model else None
        named = [c.caption, picture, c.alt, *c.facts, c.finish_reason, c.objects]
        return list(dict.fromkeys(name for name in named if name is not None))

    def may_lack(self) -> list[str]:
        needed = (self.config.caption, self.config.image if self.config.model else None)
        return [name for name in self.reads() if name not in needed]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                *self.counts(),
                *(self.of_alt() if self.config.alt else []),
                self.field("invented_numbers", pa.int32(), "numbers above 12 that no text has", 0),
                column(
                    self.column("language"), pa.string(), "language by lid.176", role="language",
                    of=self.config.caption,
                ),
                self.field("language_score", SHARE, "fastText's probability of it", 0, 1),
                *(self.of_objects() if self.config.objects else []),
                *(self.of_sentences() if self.config.model else []),
            ]
        )  # fmt: skip

    def field(
        self,
        suffix: str,
        dtype: pa.DataType,
        doc: str,
        low: float | None = None,
        high: float | None = None,
        unit: str = "",
    ) -> pa.Field:
        """One of the stage's columns, marked as a fact of the caption column."""
        return column(self.column(suffix), dtype, doc, unit, low, high, of=self.config.caption)

    def counts(self) -> list[pa.Field]:
        """Columns that need the caption alone."""
        f = self.field
        unspaced = "words; characters of unspaced scripts count one each"
        return [
            f("words", pa.int32(), unspaced, 0, unit="words"),
            f("sentences", pa.int32(), "sentences", 0, unit="sentences"),
            f("refusal", pa.bool_(), "the model says that it cannot or will not"),
            f("hedges", SHARE, "words of doubt per 100 words", 0, 100),
            f("leak", pa.bool_(), "a token of a template, a mark of a format, words of the prompt"),
            f("truncated", pa.bool_(), "cut by the token limit, or ends as no sentence does"),
            f("repeated_sentences", SHARE, "sentences that stand before / sentences", 0, 1),
            f("longest_run", pa.int32(), "most repeats in a row of up to 8 words", 0),
            f("word_repetition", SHARE, "word 5-grams that occur again / all", 0, 1),
            f("character_repetition", SHARE, "commonest character 10-grams / all", 0, 1),
            f("type_token_ratio", SHARE, "different words / words, in a window of 50", 0, 1),
        ]

    def of_alt(self) -> list[pa.Field]:
        """Columns that compare the caption with the alt text."""
        kept = "names and numbers of the alt text that the caption has / all; null without any"
        return [
            self.field("alt_ratio", SHARE, "words of the caption / of the alt text", 0),
            self.field("alt_retention", SHARE, kept, 0, 1),
        ]

    def of_objects(self) -> list[pa.Field]:
        """Columns that compare the objects mentioned with those detected in the image."""
        return [
            self.field("objects", pa.int32(), "objects that the caption mentions", 0),
            self.field("ungrounded", pa.list_(pa.string()), "those of them not detected"),
            self.field("ungrounded_rate", SHARE, "not detected / mentioned; null without", 0, 1),
        ]

    def of_sentences(self) -> list[pa.Field]:
        """Columns of a two-tower model's cosines: image and sentences, image and alt text."""
        cosine = "cosine of image and sentence"
        fields = [
            self.field("clip_mean", SHARE, f"{cosine}: mean over the sentences", -1, 1),
            self.field("clip_min", SHARE, f"{cosine}: least of the sentences", -1, 1),
        ]
        if self.config.alt:
            fields.append(self.field("clip_alt", SHARE, "cosine of image and alt text", -1, 1))
        return fields

    def examine(self) -> list[str]:
        if self.config.language_model:
            check_fasttext(self.name, self.config.language_model)
        if self.config.model is None:
            return []
        from pairmill.models.check import check_clip

        return check_clip(self.name, self.config.spec(self.cpus))

    def setup(self) -> None:
        c = self.config
        self.languages = LanguageStage(LanguageConfig(model=c.language_model))
        self.languages.setup()
        if c.objects:
            self.mentions = Mentions(c.object_names)
        if c.model:
            self.scorer = TextScorer(self.name, c.spec(self.cpus))
            self.note = self.scorer.note

    def close(self) -> None:
        if self.scorer is not None:
            self.scorer.close()

    def __call__(self, rows: pa.Table) -> pa.Table:
        c = self.config
        captions = rows.column(c.caption).to_pylist()
        alts = rows.column(c.alt).to_pylist() if c.alt else [None] * rows.num_rows
        languages = self.languages(pa.table({"text": pa.array(captions, pa.string())}))
        columns = self.by_rules(rows, captions, alts, languages["lang"].to_pylist())
        columns += [languages["lang"].to_pylist(), languages["lang_score"].to_pylist()]
        errors: list[Error] = [None] * rows.num_rows
        if self.mentions is not None:
            columns += self.by_objects(captions, rows.column(c.objects).to_pylist())
        if self.scorer is not None:
            scores, errors = self.by_sentences(rows.column(c.image), captions, alts)
            columns += scores if c.alt else scores[:2]
        schema = self.writes()
        arrays = [
            pa.array([None if e else v for v, e in zip(values, errors, strict=True)], field.type)
            for values, field in zip(columns, schema, strict=True)
        ]
        return pa.table(arrays, schema=schema).append_column("error", error_array(errors))

    def by_rules(
        self,
        rows: pa.Table,
        captions: list[str],
        alts: list[str | None],
        languages: list[str | None],
    ) -> list[list[Any]]:
        """Values of the columns that rules fill, in order."""
        c = self.config
        finished = rows.column(c.finish_reason).to_pylist() if c.finish_reason else None
        known = [rows.column(name).to_pylist() for name in c.facts]
        plain = pa.table({"text": pa.array([alt or "" for alt in alts], pa.string())})
        of_alts = self.languages(plain)["lang"].to_pylist() if c.alt else alts
        found = []
        for row, (caption, alt) in enumerate(zip(captions, alts, strict=True)):
            texts = [alt, *(values[row] for values in known)]
            finish = finished[row] if finished else None
            context = "\n".join(str(t) for t in texts if t is not None)
            facts = facts_of_caption(caption, languages[row], alt, of_alts[row], context, finish)
            found.append(tuple(vars(facts).values()))
        columns = [list(values) for values in zip(*found, strict=True)] if found else [[]] * 14
        return columns if c.alt else [*columns[:-3], columns[-1]]

    def by_objects(self, captions: list[str], detected: list[Any]) -> list[list[Any]]:
        """Objects mentioned, those not detected, and their share."""
        assert self.mentions is not None, "asked for only where objects are named"
        counts: list[int | None] = []
        missing: list[list[str] | None] = []
        shares: list[float | None] = []
        for caption, objects in zip(captions, detected, strict=True):
            mentioned, absent = self.mentions.ungrounded(caption, objects or [])
            known = objects is not None
            counts.append(len(mentioned))
            missing.append(absent if known else None)
            shares.append(len(absent) / len(mentioned) if known and mentioned else None)
        return [counts, missing, shares]

    def by_sentences(
        self, images: pa.ChunkedArray, captions: list[str], alts: list[str | None]
    ) -> tuple[list[list[Any]], list[Error]]:
        """Mean and least cosine of a caption's sentences, and the alt text's; why rows have
        none.
        """
        assert self.scorer is not None, "asked for only where a model is named"
        texts = [[*sentences(c), alt or ""] for c, alt in zip(captions, alts, strict=True)]
        scores, errors = self.scorer.scores(images, texts)
        found: list[list[Any]] = [[], [], []]
        for row, alt in zip(scores, alts, strict=True):
            own = row[:-1] if row is not None else ()
            found[0].append(float(np.mean(own)) if len(own) else None)
            found[1].append(float(np.min(own)) if len(own) else None)
            found[2].append(float(row[-1]) if row is not None and alt else None)
        return found, errors
