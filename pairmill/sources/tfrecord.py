"""TFRecord as img2dataset writes it: each record a sample, read without TensorFlow."""

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import fsspec
import pyarrow as pa

from pairmill.errors import MissingPackage
from pairmill.schemas.config import PATH, SPEED
from pairmill.sources.base import Input, Remark, Source, Unreadable
from pairmill.sources.image_bytes import ImageBytesConfig, measured_schema
from pairmill.sources.members import IMAGES, TEXTS
from pairmill.sources.sample_profile import SampleProfile, Shape
from pairmill.sources.sample_rows import SampleRows
from pairmill.sources.samples import Sample
from pairmill.sources.tar import CHUNK, MAX_MEMBER_BYTES, uncompressed

SUFFIXES = (".tfrecord", ".tfrecords", ".tfrec", ".tfrecord.gz", ".tfrecords.gz")
ENCODED = ("image", "image/encoded", "image_raw", "image_bytes")
"""Features in which others keep the encoded image; img2dataset's is named by its format."""
PROFILED_SAMPLES = 20_000


class TfRecordConfig(ImageBytesConfig):
    """TFRecord files of `tf.train.Example`, as img2dataset's `tfrecord` output; needs
    `pairmill[tfrecord]`.
    """

    type: Annotated[Literal["tfrecord"], SPEED] = "tfrecord"
    path: Annotated[str | list[str], PATH]
    """File, folder, glob or fsspec URL of .tfrecord files (also .gz), or a list of them."""
    columns: dict[str, str | list[str]] = {}
    """Our column → the feature, where names are not recognised."""


class TfRecordSource(Source):
    """Features become columns; bytes that are UTF-8 are text."""

    Config = TfRecordConfig

    def __init__(self, config: TfRecordConfig) -> None:
        super().__init__(config)
        self._shape: Shape | None = None

    def reads(self, name: str) -> bool:
        return name.lower().endswith(SUFFIXES)

    def shape(self) -> Shape:
        """What a look at the first records of every file found."""
        if self._shape is None:
            profile = SampleProfile(())
            inputs = self.inputs()
            for item in inputs:
                profile.at(TfRecordSamples(item, max(50, PROFILED_SAMPLES // len(inputs))))
            self._shape = profile.shape(self.config.path, self.config.columns)
        return self._shape

    def schema(self) -> pa.Schema:
        shape = self.shape()
        fields = [pa.field(shape.names[f.name], f.type) for f in shape.schema]
        return pa.schema([*fields, pa.field("metadata", pa.string()), *measured_schema()])

    def unseen(self) -> frozenset[str]:
        return self.shape().unseen

    def mapping(self) -> list[str]:
        return [self.shape().sentence]

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        for item in self.inputs():
            yield from SampleRows(TfRecordSamples(item), self.shape(), (), self.config.check)


class TfRecordSamples:
    """The records of one file, each with its checksum compared.  `most`: how many, for a look."""

    def __init__(self, item: Input, most: int | None = None) -> None:
        self.item, self.name, self.most = item, item.name, most
        self.passed: Counter[str] = Counter()

    def read(self, member: bytes) -> bytes:
        """The bytes of a member, which a record holds in full."""
        return member

    def __iter__(self) -> Iterator[Sample | Unreadable | Remark]:
        example, checksum = light_reader()
        with fsspec.open(self.item.url, "rb") as raw:
            stream = uncompressed(raw)
            number = 0
            while self.most is None or number < self.most:
                place = f"{self.item.name} record {number}"
                try:
                    data = record(stream, checksum)
                except (OSError, EOFError, ValueError) as error:
                    yield Unreadable(f"{place} and all behind it", str(error))
                    return
                if data is None:
                    return
                number += 1
                if isinstance(data, str):
                    yield Unreadable(place, data)
                    continue
                try:
                    features = example.FromString(data).features.feature
                    yield sample_of(number - 1, self.item.name, features)
                except Exception as error:  # protobuf's own kinds of errors
                    yield Unreadable(place, f"no tf.train.Example: {type(error).__name__}")


def light_reader() -> tuple[Any, Any]:
    """(the message `tf.train.Example`, CRC-32C)."""
    try:
        from crc32c import crc32c
        from tfrecord import example_pb2
    except ModuleNotFoundError:
        raise MissingPackage("tfrecord", "a source of type tfrecord", "tfrecord") from None
    return example_pb2.Example, crc32c


def record(stream: Any, checksum: Any) -> bytes | str | None:
    """The next record, None at the end, or why this one is damaged; raises ValueError where none
    behind it can be found.
    """
    head = exactly(stream, 12)
    if not head:
        return None
    if len(head) < 12:
        raise EOFError("the file breaks off")
    length, of_length = struct.unpack("<QI", head)
    if masked(checksum(head[:8])) != of_length:
        raise ValueError("the checksum of a record's length is wrong")
    if length > MAX_MEMBER_BYTES:
        raise ValueError(f"a record of {length:,} bytes, more than {MAX_MEMBER_BYTES:,}")
    data = exactly(stream, length + 4)
    if len(data) < length + 4:
        raise EOFError("the file breaks off")
    data, of_data = data[:length], data[length:]
    if masked(checksum(data)) != struct.unpack("<I", of_data)[0]:
        return "its checksum is wrong"
    return data


def exactly(stream: Any, count: int) -> bytes:
    """`count` bytes; fewer only at the end, and never more held than the file has."""
    parts = []
    while count > 0 and (part := stream.read(min(count, CHUNK))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def masked(crc: int) -> int:
    """TFRecord's form of a checksum, rotated and shifted."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def sample_of(number: int, file: str, features: Any) -> Sample:
    """A record as a sample: the image and the caption as members, all else as facts."""
    sample = Sample(str(number), file)
    for name in features:
        kind = features[name].WhichOneof("kind")
        values = list(getattr(features[name], kind).value) if kind else []
        value = values[0] if len(values) == 1 else values or None
        if name == "key" and isinstance(value, bytes):
            sample.key = value.decode("utf-8", "replace")
        elif name in IMAGES and isinstance(value, bytes):
            sample.members[name] = value
        elif name in ENCODED and isinstance(value, bytes):
            sample.members["jpg"] = value
        elif name in TEXTS and isinstance(value, bytes):
            sample.members[name] = value
        else:
            add_fact(sample, name, value)
    return sample


def add_fact(sample: Sample, name: str, value: Any) -> None:
    """A feature that is text, numbers, or bytes that are no text."""
    values = value if isinstance(value, list) else [value]
    try:
        plain = [v.decode() if isinstance(v, bytes) else v for v in values]
    except UnicodeDecodeError:
        sample.facts[f".{name}"] = value if isinstance(value, bytes) else None
        return
    sample.facts[name] = plain if isinstance(value, list) else plain[0]
