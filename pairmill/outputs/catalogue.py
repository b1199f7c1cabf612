"""The outputs, by the `type` key."""

from pairmill.extensions import Configs, Extensible
from pairmill.outputs.base import Writer
from pairmill.outputs.interleaved import InterleavedOutputConfig, InterleavedWriter
from pairmill.outputs.parquet import ParquetOutputConfig, ParquetWriter
from pairmill.outputs.webdataset import WebDatasetOutputConfig, WebDatasetWriter
from pairmill.schemas.pipeline import OutputConfig

_CONFIGS: dict[str, type[OutputConfig]] = {
    "webdataset": WebDatasetOutputConfig,
    "parquet": ParquetOutputConfig,
    "interleaved": InterleavedOutputConfig,
}
_BUILT_IN: dict[str, type[Writer]] = {
    "webdataset": WebDatasetWriter,
    "parquet": ParquetWriter,
    "interleaved": InterleavedWriter,
}
WRITERS = Extensible("pairmill.outputs", Writer, _BUILT_IN)
OUTPUTS = Configs(WRITERS, _CONFIGS)


def open_writer(config: OutputConfig) -> Writer:
    return WRITERS[config.type](config)
