"""Payload that a stricter run forgot (`store: kept`) and this run needs after all."""

import numpy as np
import pyarrow as pa

from pairmill.pipeline.attempt import Attempt
from pairmill.pipeline.chain import Chain, PlannedStage
from pairmill.pipeline.job import block_columns
from pairmill.pipeline.trace import ALIVE, PENDING, lost_payload, trace


def refetch(chain: Chain, stage: PlannedStage, shards: list[int], upto: int | None = None) -> None:
    """Computes the stage again for rows whose bytes are gone and that are alive or wait for a stage before index `upto`."""
    ready = False
    payload = stage.payload()
    for shard in shards:
        found = trace(chain, shard, upto, want=("uid", *payload))
        rows = np.flatnonzero(lost_payload(found, chain, payload) & np.isin(found.fate, (ALIVE, PENDING)))
        if len(rows):
            if not ready:
                stage.stage.setup()
                ready = True
            inputs = block_columns(chain, shard, rows, list(stage.reads), found, stage.index)
            answer = Attempt(stage, stage.stage, shard=shard).answer(inputs, rows)
            chain.store.commit(stage.column_set, shard, answer.add_column(0, "row", pa.array(rows.astype(np.int32))), stage.writes)
    if ready:
        stage.stage.close()
