"""Identities of a chain's stages: what decides their values, the rows of a shard aside."""

from collections.abc import Mapping
from dataclasses import replace

from pairmill.plan.chain import Chain
from pairmill.schemas.hashing import digest


def identified(chain: Chain, rows: Mapping[int, str] | None = None) -> Chain:
    """The chain with every identity that can be told.

    A global stage's identity includes the digest of the rows it looked at (`rows`: stage index →
    digest), so it is known once these are; what reads its columns waits for that, too.
    """
    known: dict[str, str | None] = {name: f"source {name}" for name in chain.pool_schema.names}
    stages = []
    for stage in chain.stages:
        inputs = [known.get(c) for c in stage.reads]
        population = (rows or {}).get(stage.index)
        identity = None
        if None not in inputs and (not stage.is_global or population):
            identity = digest([stage.definition_id, inputs, population])
        stages.append(replace(stage, identity=identity, population=population))
        for place, name in enumerate(stage.writes.names):
            known[name] = identity and f"{identity} {place}"
    return replace(chain, stages=tuple(stages))
