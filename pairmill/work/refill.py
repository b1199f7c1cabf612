"""Payload that a stricter run forgot (`store: kept`) and this run needs after all."""

import numpy as np
import pyarrow as pa

from pairmill.fates.decide import ALIVE, PENDING
from pairmill.fates.trace import lost_payload, trace, wanted_payload
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.attempt import Attempt
from pairmill.work.block import block_columns
from pairmill.work.claims import WorkPlace
from pairmill.work.deadline import Watchdog
from pairmill.work.line import Line
from pairmill.work.loaded import LoadedStage


def refetch(
    chain: Chain,
    planned: PlannedStage,
    upto: int | None,
    line: Line,
    watchdog: Watchdog,
    loaded: LoadedStage,
    shard: int,
) -> int:
    """Computes a stage again for the rows of a shard whose bytes are gone and that are alive, wait
    for a stage before index `upto`, or are taken by an output; gives their number.
    """
    payload, size = planned.payload(), planned.config.batch_size
    found = trace(chain, shard, upto, want=("uid", *payload))
    wanted = lost_payload(found, chain, payload) & np.isin(found.fate, (ALIVE, PENDING))
    taken = {name: upto for name, upto in chain.taken().items() if name in payload}
    wanted |= wanted_payload(found, chain, taken)
    rows = np.flatnonzero(wanted).astype(np.int32)
    if not len(rows):
        return 0
    place = WorkPlace(planned.label, shard)
    past = line.begin(place)
    stage, _ = loaded.take(planned, place, line, watchdog, past)
    attempt = Attempt(planned, stage, place, line, watchdog, past)
    for part in (rows[i : i + size] for i in range(0, len(rows), size)):
        inputs = block_columns(chain, shard, part, list(planned.reads), found, planned.index)
        with loaded.stores():
            answer = attempt.compute(inputs, part).add_column(0, "row", pa.array(part))
            loaded.check()
            chain.columns_of(planned, shard).commit(answer)
        loaded.check_halted()
    line.end(place)
    return len(rows)
