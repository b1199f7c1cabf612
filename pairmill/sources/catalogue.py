"""The sources, by the `type` key of a pipeline's `source`."""

from pairmill.extensions import Configs, Extensible
from pairmill.schemas.pipeline import SourceConfig, SourcesConfig
from pairmill.sources.base import Source
from pairmill.sources.constants import WithConstants
from pairmill.sources.embeddings import EmbeddingsConfig, WithEmbeddings
from pairmill.sources.table_config import ArrowConfig, PairsConfig, ParquetConfig
from pairmill.sources.united import UnitedSource

_CONFIGS: dict[str, type[SourceConfig]] = {
    "pairs": PairsConfig,
    "parquet": ParquetConfig,
    "arrow": ArrowConfig,
}
_BUILT_IN: dict[str, type[Source] | str] = {
    "pairs": "pairmill.sources.tables:TableSource",
    "parquet": "pairmill.sources.tables:TableSource",
    "webdataset": "pairmill.sources.webdataset:WebDatasetSource",
    "arrow": "pairmill.sources.tables:TableSource",
    "lance": "pairmill.sources.lance_tables:LanceSource",
    "tfrecord": "pairmill.sources.tfrecord:TfRecordSource",
    "folder": "pairmill.sources.folder:FolderSource",
    "package": "pairmill.sources.package:PackageSource",
    "pairmill": "pairmill.pipeline.earlier_run:RunSource",
}
"""Imported when a pipeline names them: a command that only checks a file loads no others."""
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
    source = (config.type in LIKE_PACKAGES and of_package(config)) or READERS[config.type](config)
    has_embeddings = isinstance(config, EmbeddingsConfig) and config.embeddings is not None
    return WithEmbeddings(source) if has_embeddings else source


def of_package(config: SourceConfig) -> Source | None:
    """The reader of a package, if `path` is the folder of one and nothing else is asked for."""
    from pairmill.sources.package import PackageConfig, PackageSource, read_manifest

    path = getattr(config, "path", None)
    asked = config.model_fields_set - {"type", "path", "rows_per_shard", "check", "set"}
    if asked or not isinstance(path, str) or read_manifest(path) is None:
        return None
    check = getattr(config, "check", None)
    return PackageSource(
        PackageConfig(path=path, rows_per_shard=config.rows_per_shard, check=check, set=config.set)
    )
