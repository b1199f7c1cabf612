"""The sources, by the `type` key of a pipeline's `source`."""

from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Source
from pairmill.sources.tables import PairsConfig, ParquetConfig, TableSource
from pairmill.sources.webdataset import WebDatasetConfig, WebDatasetSource

SOURCES: dict[str, type[SourceConfig]] = {
    "pairs": PairsConfig,
    "webdataset": WebDatasetConfig,
    "parquet": ParquetConfig,
}
READERS: dict[str, type[Source]] = {
    "pairs": TableSource,
    "parquet": TableSource,
    "webdataset": WebDatasetSource,
}


def open_source(config: SourceConfig) -> Source:
    return READERS[config.type](config)
