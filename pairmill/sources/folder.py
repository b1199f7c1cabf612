"""Images on disk: with texts beside them, with a metadata file, in folders of classes."""

from collections.abc import Iterator
from typing import Annotated, Literal

import pyarrow as pa

from pairmill.schemas.config import PATH, SPEED
from pairmill.sources.base import NoInput, Remark, Source, Unreadable
from pairmill.sources.folder_samples import BESIDE, METADATA, FolderSamples, base_of, suffix_of
from pairmill.sources.image_bytes import ImageBytesConfig, measured_schema
from pairmill.sources.members import IMAGES
from pairmill.sources.sample_profile import SampleProfile, Shape
from pairmill.sources.sample_rows import SampleRows

PROFILED_SAMPLES = 20_000
"""Images whose texts and JSON are looked at before rows are read."""


class FolderConfig(ImageBytesConfig):
    """Image files in folders, also img2dataset's `files` and Hugging Face's `imagefolder` layout.

    An image's caption and facts stand in `.txt` and `.json` files of its name beside it, or in a
    `metadata.jsonl`, `.csv` or `.parquet` whose `file_name` names it.  In folders that hold nothing
    but images their names are the column `label`.
    """

    type: Annotated[Literal["folder"], SPEED] = "folder"
    path: Annotated[str | list[str], PATH]
    """Folder, glob or fsspec URL, or a list of them; folders are read with all folders below."""
    columns: dict[str, str | list[str]] = {}
    """Our column → the input's, where names are not recognised."""


class FolderSource(Source):
    """Each image is a row; `source` is its path, and `split` the folder `train`, `test` or the
    like.
    """

    Config = FolderConfig

    def __init__(self, config: FolderConfig) -> None:
        super().__init__(config)
        self._samples: FolderSamples | None = None
        self._shape: Shape | None = None

    def reads(self, name: str) -> bool:
        return suffix_of(name) in {*IMAGES, *BESIDE} or base_of(name) in METADATA

    def samples(self) -> FolderSamples:
        """The samples of the folder, whose files are listed once."""
        if self._samples is None:
            self._samples = FolderSamples(self.inputs(), str(self.config.path))
        return self._samples

    def shape(self) -> Shape:
        """What a look at samples from all over the folder found; raises NoInput where there is no
        image.
        """
        if self._shape is None:
            if not self.samples().samples:
                raise NoInput(f"there is no image in {self.config.path} ({', '.join(IMAGES)})")
            profile = SampleProfile(())
            samples = self.samples()
            for sample in samples.samples[:: 1 + len(samples.samples) // PROFILED_SAMPLES]:
                profile.sample(sample, samples)
            self._shape = profile.shape(self.config.path, self.config.columns)
        return self._shape

    def schema(self) -> pa.Schema:
        shape = self.shape()
        fields = [pa.field(shape.names[f.name], f.type) for f in shape.schema]
        return pa.schema([*fields, pa.field("metadata", pa.string()), *measured_schema()])

    def unseen(self) -> frozenset[str]:
        return self.shape().unseen

    def mapping(self) -> list[str]:
        classes = "label ← folder; " if self.samples().classes else ""
        return [classes + self.shape().sentence]

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        yield from SampleRows(self.samples(), self.shape(), (), self.config.check)
