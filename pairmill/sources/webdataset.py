"""WebDataset tars, as img2dataset, DataComp and others write them."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal

import pyarrow as pa

from pairmill.schemas.config import PATH, SPEED
from pairmill.sources.base import Input, Remark, Source, Unit, Unreadable
from pairmill.sources.embeddings import EmbeddingsConfig
from pairmill.sources.image_bytes import ImageBytesConfig, measured_schema
from pairmill.sources.sample_profile import SampleProfile, Shape
from pairmill.sources.sample_rows import SampleRows
from pairmill.sources.tar_samples import TarSamples

SUFFIXES = tuple(".tar .tar.gz .tgz .tar.bz2 .tbz .tbz2 .tar.xz .txz .tar.zst .tzst".split())
PROFILED_SAMPLES = 50_000
"""Samples whose JSON is looked at before rows are read, over all local tars together (about 5 s).
"""
PROFILED_TARS = 1000
PROFILED_BYTES = 2**26
"""Local tars of so many bytes in all are looked at in the same way where they are compressed."""
PROFILED_FAR_TARS = 16
"""Tars that are looked at of those that are compressed or lie elsewhere, 100 samples of each."""


class WebDatasetConfig(EmbeddingsConfig, ImageBytesConfig):
    """Tars of samples: an image, its text and facts, further members.  A sample where a tar is cut
    or damaged is `unreadable` unless it has all kinds of members that the others have.
    """

    type: Annotated[Literal["webdataset"], SPEED] = "webdataset"
    path: Annotated[str | list[str], PATH]
    """File, folder, glob or fsspec URL of .tar files (also .tar.gz, .bz2, .xz, .zst), or a list of
    them.
    """
    columns: dict[str, str | list[str]] = {}
    """Our column → the key in the samples' JSON, or the suffix of a member, where names are not
    recognised: `{text: blip_caption, mask: seg.png}`.
    """
    image: str | None = None
    """Suffixes of the member that is the image, the first that is there, such as `jpg;png`; found
    by itself if absent.
    """


class WebDatasetSource(Source):
    """Keys of the samples' JSON and members beside image and text become columns.

    The caption is the `.txt`, else the JSON's; what fits no column stays, as JSON, in `metadata`.
    """

    Config = WebDatasetConfig

    def __init__(self, config: WebDatasetConfig) -> None:
        super().__init__(config)
        names = config.image.lower().split(";") if config.image else []
        self.wanted = [name.strip().lstrip(".") for name in names]
        self._shape: Shape | None = None

    def reads(self, name: str) -> bool:
        return name.lower().endswith(SUFFIXES)

    def schema(self) -> pa.Schema:
        shape = self.shape()
        fields = [pa.field(shape.names[f.name], f.type) for f in shape.schema]
        return pa.schema([*fields, pa.field("metadata", pa.string()), *measured_schema()])

    def unseen(self) -> frozenset[str]:
        return self.shape().unseen

    def mapping(self) -> list[str]:
        return [self.shape().sentence]

    def shape(self) -> Shape:
        """What a look at the first samples of some tars found."""
        if self._shape is None:
            profile = SampleProfile(self.wanted)
            for item, most in self.profiled():
                profile.at(TarSamples(item, most))
            self._shape = profile.shape(self.config.path, self.config.columns)
        return self._shape

    def profiled(self) -> Iterator[tuple[Input, int]]:
        """(tar, how many of its samples are looked at): all, as long as they are few and local."""
        items = self.inputs()
        near = [i for i in items if i.url.startswith("file://")]
        few = sum(i.size_bytes for i in near) <= PROFILED_BYTES
        local = [i for i in near if few or i.name.endswith(".tar")]
        far = [i for i in items if i not in local]
        for item in local[:: max(1, len(local) // PROFILED_TARS)]:
            yield item, max(50, PROFILED_SAMPLES // len(local))
        for item in far[:: max(1, len(far) // PROFILED_FAR_TARS)]:
            yield item, 100

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        for unit in self.units():
            yield from unit.read()

    def units(self) -> list[Unit]:
        """Tar by tar."""
        shape = self.shape()
        how = repr((shape.schema, shape.names, shape.text_keys, sorted(shape.repeats)))
        return [Unit((item,), partial(self._samples_of, item), how) for item in self.inputs()]

    def _samples_of(self, item: Input) -> Iterator[pa.Table | Unreadable | Remark]:
        yield from SampleRows(TarSamples(item), self.shape(), self.wanted, self.config.check)
