"""What decides the bytes of one output shard, whatever else is in its package: a package that is
made anew keeps the files of those shards in which nothing changed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pairmill.outputs.base import Writer
from pairmill.packages.order import FORMAT, ShardTask, logic_of, options_of
from pairmill.plan.chain import Chain
from pairmill.schemas.hashing import digest
from pairmill.workspace.answers import is_answers


@dataclass(frozen=True)
class Ingredients:
    """What decides an output shard's bytes beside its rows.

    `settled`: what the writer was told of the whole package, and the versions of the libraries.
    """

    chain: Chain
    writer: Writer
    settled: Sequence[str]

    def of(self, tasks: Sequence[ShardTask]) -> dict[int, str]:
        """Number of an output shard → digest of all that decides its bytes.

        Values are told by the addresses that they are stored under: those that are kept are sound,
        and a sound value under an address never changes.
        """
        options = options_of(self.writer)
        columns = self.writer.columns(self.chain.schema)
        common = digest([FORMAT, options, logic_of(self.chain.stages), columns, list(self.settled)])
        known: dict[int, bytes] = {}
        return {task.number: self.of_task(task, common, known) for task in tasks}

    def of_task(self, task: ShardTask, common: str, known: dict[int, bytes]) -> str:
        """The same of one; `known`: of shards of the pool that were asked for."""
        h = hashlib.blake2b(common.encode(), digest_size=16)
        h.update(f"{task.number} {task.first_key} {task.samples}".encode())
        sources = np.unique(task.shards)
        for shard in sources.tolist():
            if shard not in known:
                known[shard] = self.of_shard(shard)
            h.update(known[shard])
        h.update(np.searchsorted(sources, task.shards).astype(np.int32).tobytes())
        h.update(task.rows.tobytes())
        return h.hexdigest()

    def of_shard(self, shard: int) -> bytes:
        """Stands for every value of a shard of the pool."""
        chain = self.chain
        made = [address or 0 for address in chain.addresses(shard)]
        table = chain.table
        numbers = [int(table.names[shard]), int(table.contents[shard]), *made]
        digests = sorted(d for d in chain.digests_of(shard).items() if not is_answers(d[0]))
        return digest([numbers, digests]).encode()
