"""The outputs, by the `type` key."""

from pairmill.extensions import Configs, Extensible
from pairmill.outputs.base import Writer
from pairmill.schemas.pipeline import OutputConfig

_BUILT_IN: dict[str, type[Writer] | str] = {
    "webdataset": "pairmill.outputs.webdataset:WebDatasetWriter",
    "parquet": "pairmill.outputs.parquet:ParquetWriter",
    "interleaved": "pairmill.outputs.interleaved:InterleavedWriter",
    "messages": "pairmill.outputs.messages:MessagesWriter",
    "mds": "pairmill.outputs.mds:MdsWriter",
    "table": "pairmill.outputs.table:TableWriter",
    "uids": "pairmill.outputs.uids:UidsWriter",
    "index": "pairmill.outputs.index:IndexWriter",
}
"""Imported when a pipeline names them: a command that only checks a file loads no others."""
WRITERS = Extensible("pairmill.outputs", Writer, _BUILT_IN)
OUTPUTS = Configs(WRITERS, {})


def open_writer(config: OutputConfig) -> Writer:
    """The writer for an output of this config's `type`."""
    return WRITERS[config.type](config)
