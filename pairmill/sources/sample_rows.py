"""The rows of samples, by what a look at them found."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pairmill.sources.base import Remark, Unreadable
from pairmill.sources.image_bytes import Check, image_columns
from pairmill.sources.json_columns import columns_of, fits
from pairmill.sources.members import facts_of, image_suffix, text_of
from pairmill.sources.sample_profile import Shape
from pairmill.sources.samples import Sample, Samples, refuse_large_texts
from pairmill.sources.spelled_out import spelled_out
from pairmill.sources.tar import printable

BATCH_ROWS = 256
BATCH_BYTES = 2**25


@dataclass(frozen=True)
class Row:
    """A sample's place for people, its source, its values by name, its image."""

    place: str
    source: str
    facts: dict[str, Any]
    image: bytes


class SampleRows:
    """Gives samples as tables, and what became of all else."""

    def __init__(
        self, samples: Samples, shape: Shape, wanted: Sequence[str], check: Check | None
    ) -> None:
        self.samples, self.shape, self.wanted, self.check = samples, shape, wanted, check
        self.remarks: Counter[tuple[str, str]] = Counter()
        """(kind of a remark, what happened) → how often."""

    def __iter__(self) -> Iterator[pa.Table | Unreadable | Remark]:
        batch: list[Row] = []
        size = 0
        for sample in self.samples:
            if isinstance(sample, Unreadable | Remark):
                yield sample
                continue
            place = f"{sample.source} sample {printable(sample.key)}"
            try:
                facts, image = self.row(sample)
            except (ValueError, OSError, EOFError) as error:
                yield Unreadable(place, str(error))
                continue
            batch.append(Row(place, sample.source, facts, image))
            size += len(image) + sum(len(v) for v in facts.values() if isinstance(v, bytes | str))
            if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
                yield from self.table(batch)
                batch, size = [], 0
        if batch:
            yield from self.table(batch)
        for reason, count in self.samples.passed.items():
            self.remarks["skipped members", f"{reason} are no part of a sample"] += count
        for (kind, what), count in self.remarks.items():
            yield Remark(kind, self.samples.name, what, count)

    def row(self, sample: Sample) -> tuple[dict[str, Any], bytes]:
        """(values by name, image); raises ValueError or EOFError where the sample has no image, or
        is damaged.
        """
        refuse_large_texts(sample)
        image = image_suffix(sample.members, self.wanted)
        refused = "; ".join(f".{s} is not read: {why}" for s, why in sample.refused.items())
        there = ", ".join(sample.members) or "none"
        if image is None:
            raise ValueError(
                f"no image among its members ({there})" + (f"; {refused}" if refused else "")
            )

        if sample.damaged:
            raise ValueError(f"{sample.damaged}, so members may be missing (there: {there})")

        def read(suffix: str) -> bytes:
            return self.samples.read(sample.members[suffix])

        facts, repaired = facts_of(sample.members, image, read)
        data = read(image)
        for suffix in repaired:
            self.remarks["repaired values", f"U+FFFD for what is no UTF-8 in .{suffix}"] += 1
        if refused:
            self.remarks["members not read", refused] += 1
        if sample.repeats:
            self.remarks["repeated keys", "samples whose key stood before; each is a row"] += 1
        facts = {"key": sample.key, **sample.facts, **facts}
        self.caption(facts)
        for key in [k for k, v in facts.items() if self.is_lost(k, v)]:
            self.remarks[
                "members not read", f"{key} is no column, because few samples have it"
            ] += 1
            del facts[key]
        return facts, data

    def caption(self, facts: dict[str, Any]) -> None:
        """Puts the caption to where its column is; what says the same once more goes."""
        keys = self.shape.text_keys
        if not keys:
            return
        text, listed = text_of(facts, keys)
        more = {}
        if listed is not None:
            self.remarks["captions taken from lists", "the first is the text; all are kept"] += 1
            more = {f"{listed} (all)": facts[listed]} if listed == keys[0] else {}
        facts[keys[0]] = text
        for key in self.shape.repeats:
            if facts.get(key) == text:
                facts.pop(key, None)
        facts |= more

    def is_lost(self, key: str, value: Any) -> bool:
        """Whether bytes have no column; JSON without one stays in `metadata`."""
        if not isinstance(value, bytes):
            return False
        at = self.shape.schema.get_field_index(key)
        return at < 0 or not fits(value, self.shape.schema.field(at).type)

    def table(self, batch: list[Row]) -> Iterator[pa.Table | Unreadable | Remark]:
        """The rows of a batch in our columns with their images; JSON values that fit no column stay
        in `metadata`.
        """
        facts = [row.facts for row in batch]
        yield from spelled_out(facts, self.shape.schema, lambda i: batch[i].place)
        table, left, count = columns_of(facts, self.shape.schema)
        if count:
            what = "JSON values that fit no column, because few samples have such ones"
            self.remarks["values kept in metadata", what] += count
        table = table.rename_columns([self.shape.names[n] for n in table.schema.names])
        table = table.append_column("metadata", left)
        table = table.append_column(
            "image", pa.array([row.image for row in batch], pa.large_binary())
        )
        if "source" not in table.schema.names:
            table = table.append_column("source", pa.array([row.source for row in batch]))
        places = [row.place for row in batch]
        yield from image_columns(table, "image", "", places, self.check)
