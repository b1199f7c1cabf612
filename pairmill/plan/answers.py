"""What a stage over all rows answered before, and what it answers now, as its chain knows it."""

from collections.abc import Collection, Mapping

import numpy as np

from pairmill.plan.chain import Chain
from pairmill.workspace.answers import answers_of, digests_at, store_digests, stored_digests
from pairmill.workspace.storage import Storage


def with_stored_answers(chain: Chain, index: int) -> tuple[Chain, bool]:
    """(the chain that knows what a stage over all rows answered for the rows that it looks at now,
    whether that is stored); where it is not, nothing is stored of the stage in any shard.
    """
    stage, names = chain.stages[index], chain.table.names
    key = answers_of(stage.definition_id, stage.population or "")
    found = stored_digests(Storage(chain.root), key, names)
    known = np.zeros(len(names), np.uint64) if found is None else found
    return chain.with_answers(index, known), found is not None


def with_new_answers(
    chain: Chain, index: int, found: Mapping[int, int], again: Collection[int]
) -> Chain:
    """The chain after a stage over all rows was asked.  `found`: shard → digest of its answers;
    `again`: shards of which something was lacking, that have the new ones in any case.
    """
    stage, names = chain.stages[index], chain.table.names
    key = answers_of(stage.definition_id, stage.population or "")
    by_name = {int(names[shard]): digest for shard, digest in found.items()}
    asked = {int(names[shard]) for shard in again}
    lines = store_digests(Storage(chain.root), key, by_name, asked)
    return chain.with_answers(index, digests_at(lines, names))
