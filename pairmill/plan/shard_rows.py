"""How many rows a shard has where the user does not say: many where they are only looked at."""

from collections.abc import Sequence

import pyarrow as pa

from pairmill.plan.chain import PlannedStage
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.pipeline import SourceConfig, SourcesConfig
from pairmill.sources.base import Source

USUAL, NARROW = 1_024, 32_768
"""Rows of a shard; the second where no image is read and no stage is costly, so that what a shard
costs by itself (files, a look at its fates, a message) is little beside its rows.
"""


def settle_rows_per_shard(
    source: Source, pool_schema: pa.Schema, stages: Sequence[PlannedStage]
) -> None:
    """Fills in `rows_per_shard` of a source where it was left to the planner.

    It depends on the pipeline file and the input's columns alone, so it is the same in every run.
    """
    payload = any(is_payload(f.type) for f in pool_schema)
    rows = NARROW if not payload and all(map(is_light, stages)) else USUAL
    source.take_config(settled(source.config, rows))


def settled(config: SourceConfig, rows: int) -> SourceConfig:
    """A source's config with `rows_per_shard` filled in where it was left open; of several, in
    each.
    """
    if isinstance(config, SourcesConfig):
        parts = {name: settled(one, rows) for name, one in config.sources.items()}
        config = config.model_copy(update={"sources": parts})
    if config.rows_per_shard is None:
        return config.model_copy(update={"rows_per_shard": rows})
    return config


def is_light(stage: PlannedStage) -> bool:
    """Whether a stage is pairmill's own, makes no bytes and no rows, and costs little for each
    row.
    """
    if stage.block is not None:
        return False
    resources = stage.config.resources
    costly = stage.stage.actor or resources.gpus or resources.bounds() is not None
    own = type(stage.stage).__module__.startswith("pairmill.")
    return own and not costly and not stage.payload() and stage.stage.flush_s is None
