"""Identities of a chain's stages: what decides their values, the rows of a shard aside."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pairmill.plan.chain import Chain
from pairmill.plan.declared import Declared
from pairmill.plan.own_code import code_digest
from pairmill.plan.spelling import without_spelling
from pairmill.schemas.config import value_fields
from pairmill.schemas.hashing import canonical, digest
from pairmill.stages.catalogue import BUILT_IN


def definition_of(
    found: Declared, redact: Callable[[Any], Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a stage is, beside the columns that it reads: (in clear, as it is hashed).

    Raises NoStableForm, with the place in the stage's keys.
    """
    config = found.stage.config
    params = redact(canonical({**value_fields(config), **found.facts}, found.stage.name))
    definition = {
        "stage": config.stage,
        "version": found.stage.version,
        "params": params,
        "writes": [str(f.type) for f in found.writes],
    }
    if config.stage not in (*BUILT_IN, "each"):
        definition["code"] = code_digest(type(found.stage))
    return definition, {**definition, "params": without_spelling(params, config, found.reads)}


def identified(chain: Chain, rows: Mapping[int, str] | None = None) -> Chain:
    """The chain with every identity that can be told.

    A global stage's identity includes the digest of the rows it looked at (`rows`: stage index →
    digest), so it is known once these are; what reads its columns waits for that, too.  The same
    of a block: what decides that is what is stored of its elements.
    """
    known: dict[str, str | None] = {name: f"source {name}" for name in chain.pool_schema.names}
    stages = []
    for stage in chain.stages:
        inputs = [known.get(c) for c in stage.reads]
        population = (rows or {}).get(stage.index)
        identity = None
        if None not in inputs and (not stage.is_alone or population):
            identity = digest([stage.definition_id, inputs, population])
        stages.append(replace(stage, identity=identity, population=population))
        for place, name in enumerate(stage.writes.names):
            known[name] = identity and f"{identity} {place}"
    return replace(chain, stages=tuple(stages))
