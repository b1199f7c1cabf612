"""Payload that a stricter run forgot (`store: kept`) and this run needs after all."""

from functools import partial

import numpy as np
import pyarrow as pa

from pairmill.fates.trace import ALIVE, PENDING, lost_payload, trace
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.attempt import Attempt
from pairmill.work.block import block_columns
from pairmill.work.claims import SETUP
from pairmill.work.deadline import Watchdog
from pairmill.work.here import LineHere


def refetch(chain: Chain, stage: PlannedStage, shards: list[int], upto: int | None = None) -> None:
    """Computes the stage again for rows whose bytes are gone and that are alive or wait for a stage
    before index `upto`.
    """
    ready = False
    payload, size = stage.payload(), stage.config.batch_size
    line, watchdog = LineHere(), Watchdog()
    try:
        for shard in shards:
            found = trace(chain, shard, upto, want=("uid", *payload))
            rows = np.flatnonzero(
                lost_payload(found, chain, payload) & np.isin(found.fate, (ALIVE, PENDING))
            ).astype(np.int32)
            if len(rows) and not ready:
                with watchdog.call(
                    stage.config.setup_deadline_s,
                    partial(line.hang, stage.column_set, shard, SETUP),
                    lambda: None,
                ):
                    stage.stage.setup()
                ready = True
            attempt = Attempt(stage, stage.stage, line, watchdog, shard)
            for part in (rows[i : i + size] for i in range(0, len(rows), size)):
                answer = attempt.compute(
                    block_columns(chain, shard, part, list(stage.reads), found, stage.index), part
                )
                chain.store.commit(
                    stage.column_set,
                    shard,
                    answer.add_column(0, "row", pa.array(part)),
                    stage.writes,
                )
    except KeyboardInterrupt:
        line.raise_if_hung((stage,))
        raise
    if ready:
        stage.stage.close()
