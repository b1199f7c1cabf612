"""The outputs, by the `type` key."""

from pairmill.extensions import Configs, Extensible
from pairmill.outputs.base import Writer
from pairmill.outputs.index import IndexWriter
from pairmill.outputs.interleaved import InterleavedWriter
from pairmill.outputs.mds import MdsWriter
from pairmill.outputs.messages import MessagesWriter
from pairmill.outputs.parquet import ParquetWriter
from pairmill.outputs.table import TableWriter
from pairmill.outputs.uids import UidsWriter
from pairmill.outputs.webdataset import WebDatasetWriter
from pairmill.schemas.pipeline import OutputConfig

_BUILT_IN: dict[str, type[Writer]] = {
    "webdataset": WebDatasetWriter,
    "parquet": ParquetWriter,
    "interleaved": InterleavedWriter,
    "messages": MessagesWriter,
    "mds": MdsWriter,
    "table": TableWriter,
    "uids": UidsWriter,
    "index": IndexWriter,
}
WRITERS = Extensible("pairmill.outputs", Writer, _BUILT_IN)
OUTPUTS = Configs(WRITERS, {})


def open_writer(config: OutputConfig) -> Writer:
    """The writer for an output of this config's `type`."""
    return WRITERS[config.type](config)
