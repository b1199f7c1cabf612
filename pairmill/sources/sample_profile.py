"""A look at samples before their rows are read: which columns they give."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pairmill.sources.base import NoInput, Remark, Unreadable
from pairmill.sources.faults import KeyFault, near_names
from pairmill.sources.json_columns import JsonShape
from pairmill.sources.members import TEXTS, facts_of, image_suffix, text_of
from pairmill.sources.names import TEXT_NAMES, map_columns
from pairmill.sources.samples import Sample, Samples, refuse_large_texts

MAX_SUFFIXES = 64
"""Kinds of further members that become columns, the most frequent ones; all others are told."""
OWN = {"metadata": "metadata_"}
"""Names that the source or packages use themselves, and what an input's column is called then."""
TEXT_COLUMNS = ("uid", "doc_id", "source", "url", "text")
NO_IMAGE_COLUMN = "\0"
"""No column of the samples' JSON holds the image."""


@dataclass(frozen=True)
class Shape:
    """What a look found: columns and our names of them, and where a sample's text stands."""

    schema: pa.Schema
    names: dict[str, str]
    text_keys: tuple[str, ...]
    """Where a sample's caption stands, the first that is there; the column is named after the
    first.
    """
    repeats: frozenset[str]
    """Keys of the JSON that say the caption once more, and are no columns of their own."""
    sentence: str
    unseen: frozenset[str] = frozenset()
    """Our names of the columns of which no value was seen."""


class SampleProfile:
    """Gathers what samples hold."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = wanted
        self.json, self.members, self.images = JsonShape(), JsonShape(), Counter[str]()
        self.differs: set[str] = set()
        self.faults: list[str] = []

    def at(self, samples: Samples) -> None:
        """Looks at samples; what cannot be read is told when the rows are read."""
        try:
            for sample in samples:
                if isinstance(sample, Unreadable):
                    self.faults.append(f"{sample.location}: {sample.reason}")
                elif not isinstance(sample, Remark):
                    self.sample(sample, samples)
        except OSError as error:
            self.faults.append(f"{samples.name}: {error}")

    def sample(self, sample: Sample, samples: Samples) -> None:
        """Takes in one sample: its image's suffix, its keys and values, and which of them differ
        from its caption.
        """
        refuse_large_texts(sample)
        image = image_suffix(sample.members, self.wanted)
        if image is None or sample.damaged:
            why = "no image" if image is None else sample.damaged
            self.faults.append(f"{sample.source} sample {sample.key}: {why}")
            return

        def read(suffix: str) -> bytes:
            return samples.read(sample.members[suffix])

        try:
            facts, _ = facts_of(sample.members, image, read, bytes_too=False)
        except (ValueError, OSError, EOFError) as error:
            self.faults.append(f"{sample.source} sample {sample.key}: {error}")
            return
        self.images[image] += 1
        facts = {"key": sample.key, **sample.facts, **facts}
        self.json.see({k: v for k, v in facts.items() if k[:1] != "."})
        self.members.see({k: v for k, v in facts.items() if k[:1] == "."})
        caption, _ = text_of(facts, ["." + suffix for suffix in TEXTS])
        for key, value in facts.items():
            if caption is not None and isinstance(value, str) and value != caption:
                self.differs.add(key)

    def shape(self, path: Any, columns: Mapping[str, str | list[str]]) -> Shape:
        """Raises NoInput where no sample was found, or one that `columns` names is not there."""
        if not self.images:
            faults = "; ".join(self.faults[:3])
            raise NoInput(f"no sample can be read from {path}" + (f": {faults}" if faults else ""))
        keys, members = self.json.schema(), self.members.schema()
        common = sorted(members.names, key=lambda n: -self.members.keys[n].count)[:MAX_SUFFIXES]
        schema = pa.schema([*keys, *(f for f in members if f.name in common)])
        asked = {
            ours: [as_found(one, schema.names) for one in ([t] if isinstance(t, str) else t)]
            for ours, t in columns.items()
        }
        missing = [(o, t) for o, ts in asked.items() for t in ts if t not in schema.names]
        if missing:
            have = [name.lstrip(".") for name in schema.names]
            raise NoInput(*(lacking(ours, theirs, have) for ours, theirs in missing))
        own = [f".{suffix}" for suffix in TEXTS if f".{suffix}" in schema.names]
        lower = {name.lower(): name for name in reversed(keys.names)}
        known = [lower[name] for name in TEXT_NAMES if name in lower]
        text_keys = tuple(asked.pop("text", []) or [*own, *known[:1]])
        repeats = {k for k in known if own and k not in self.differs and "text" not in columns}
        schema = pa.schema([f for f in schema if f.name not in repeats])
        mapping = map_columns(
            [schema.names],
            {**asked, **({"text": text_keys[0]} if text_keys else {})},
            NO_IMAGE_COLUMN,
        )[0]
        names = {theirs[0]: ours for ours, theirs in mapping.made.items()}
        names |= {theirs: OWN.get(ours, ours) for theirs, ours in mapping.others.items()}
        texts = {theirs for theirs, ours in names.items() if ours in TEXT_COLUMNS}
        schema = pa.schema([f if f.name not in texts else (f.name, pa.string()) for f in schema])
        unseen = frozenset(names[k] for k in self.json.unseen() & {*schema.names})
        sentence = self.sentence(mapping.sentence())
        return Shape(schema, names, text_keys, frozenset(repeats), sentence, unseen)

    def sentence(self, columns: str) -> str:
        """What becomes of the samples, in words: suffixes of images, then the columns."""
        images = ", ".join(f".{suffix}" for suffix, _ in self.images.most_common(5))
        return f"image ← {images}; {columns}"


def lacking(ours: str, theirs: str, have: Sequence[str]) -> KeyFault:
    """A name of `columns` that no sample has."""
    near = near_names(theirs, have)
    what = f"no sample has {theirs!r} for {ours!r}{near} (they have: {', '.join(have)})"
    return KeyFault(what, ("columns", ours))


def as_found(name: str, names: Sequence[str]) -> str:
    """A key of the JSON, or a member's suffix as it stands among the columns."""
    return "." + name if name not in names and "." + name in names else name
