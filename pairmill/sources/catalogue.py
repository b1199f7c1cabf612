"""The sources, by the `type` key of a pipeline's `source`."""

from pairmill.extensions import Configs, Extensible
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Source
from pairmill.sources.tables import PairsConfig, ParquetConfig, TableSource
from pairmill.sources.webdataset import WebDatasetConfig, WebDatasetSource

_CONFIGS: dict[str, type[SourceConfig]] = {
    "pairs": PairsConfig,
    "webdataset": WebDatasetConfig,
    "parquet": ParquetConfig,
}
_BUILT_IN: dict[str, type[Source]] = {
    "pairs": TableSource,
    "parquet": TableSource,
    "webdataset": WebDatasetSource,
}
READERS = Extensible("pairmill.sources", Source, _BUILT_IN)
SOURCES = Configs(READERS, _CONFIGS)


def open_source(config: SourceConfig) -> Source:
    return READERS[config.type](config)
