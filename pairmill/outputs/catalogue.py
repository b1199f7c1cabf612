"""The outputs, by the `type` key."""

from pairmill.outputs.base import Writer
from pairmill.outputs.interleaved import InterleavedOutputConfig, InterleavedWriter
from pairmill.outputs.parquet import ParquetOutputConfig, ParquetWriter
from pairmill.outputs.webdataset import WebDatasetOutputConfig, WebDatasetWriter
from pairmill.schemas.pipeline import OutputConfig

OUTPUTS: dict[str, type[OutputConfig]] = {
    "webdataset": WebDatasetOutputConfig,
    "parquet": ParquetOutputConfig,
    "interleaved": InterleavedOutputConfig,
}
WRITERS: dict[str, type[Writer]] = {
    "webdataset": WebDatasetWriter,
    "parquet": ParquetWriter,
    "interleaved": InterleavedWriter,
}


def open_writer(config: OutputConfig) -> Writer:
    return WRITERS[config.type](config)
