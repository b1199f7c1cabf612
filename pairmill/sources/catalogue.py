"""The sources, by the `type` key of a pipeline's `source`."""

from pairmill.extensions import Configs, Extensible
from pairmill.schemas.pipeline import SourceConfig, SourcesConfig
from pairmill.sources.base import Source
from pairmill.sources.constants import WithConstants
from pairmill.sources.embeddings import EmbeddingsConfig, WithEmbeddings
from pairmill.sources.folder import FolderConfig, FolderSource
from pairmill.sources.lance_tables import LanceConfig, LanceSource
from pairmill.sources.package import PackageConfig, PackageSource, read_manifest
from pairmill.sources.table_config import ArrowConfig, PairsConfig, ParquetConfig
from pairmill.sources.tables import TableSource
from pairmill.sources.tfrecord import TfRecordConfig, TfRecordSource
from pairmill.sources.united import UnitedSource
from pairmill.sources.webdataset import WebDatasetConfig, WebDatasetSource

_CONFIGS: dict[str, type[SourceConfig]] = {
    "pairs": PairsConfig,
    "webdataset": WebDatasetConfig,
    "parquet": ParquetConfig,
    "arrow": ArrowConfig,
    "lance": LanceConfig,
    "tfrecord": TfRecordConfig,
    "folder": FolderConfig,
    "package": PackageConfig,
}
_BUILT_IN: dict[str, type[Source] | str] = {
    "pairs": TableSource,
    "parquet": TableSource,
    "webdataset": WebDatasetSource,
    "arrow": TableSource,
    "lance": LanceSource,
    "tfrecord": TfRecordSource,
    "folder": FolderSource,
    "package": PackageSource,
    "pairmill": "pairmill.pipeline.earlier_run:RunSource",  # it plans another pipeline
}
READERS = Extensible("pairmill.sources", Source, _BUILT_IN)
SOURCES = Configs(READERS, _CONFIGS)
LIKE_PACKAGES = ("webdataset", "parquet")
"""Types under which the folder of a package is read as the package that it is."""


def open_source(config: SourceConfig) -> Source:
    """The reader of a config: of several sources one that unites them."""
    if isinstance(config, SourcesConfig):
        return UnitedSource({name: open_source(one) for name, one in config.sources.items()})
    source = plain_source(config)
    return WithConstants(source) if config.set else source


def plain_source(config: SourceConfig) -> Source:
    """The reader without the constant columns."""
    if config.type in LIKE_PACKAGES and (package := as_package(config)):
        return PackageSource(package)
    source = READERS[config.type](config)
    has_embeddings = isinstance(config, EmbeddingsConfig) and config.embeddings is not None
    return WithEmbeddings(source) if has_embeddings else source


def as_package(config: SourceConfig) -> PackageConfig | None:
    """The config of a package, if `path` is the folder of one and nothing else is asked for."""
    path = getattr(config, "path", None)
    asked = config.model_fields_set - {"type", "path", "rows_per_shard", "check", "set"}
    if asked or not isinstance(path, str) or read_manifest(path) is None:
        return None
    check = getattr(config, "check", None)
    return PackageConfig(
        path=path, rows_per_shard=config.rows_per_shard, check=check, set=config.set
    )
