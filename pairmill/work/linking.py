"""A stage that connects rows, over partitions: rows under their keys, components of what any
partition connects, rows of a component together; and one that answers from a summary of all.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from pairmill.schemas.arrow import ORDER
from pairmill.stages.base import CombiningStage, LinkingStage, Stage
from pairmill.work.far_components import owners, parents_of

KEY = "#key"
COMPONENT = "#component"


def linking_of(stage: Stage) -> LinkingStage | None:
    """The stage, if what it connects is found partition by partition, and not by equal keys."""
    return stage if isinstance(stage, LinkingStage) and not stage.keys() else None


def combining_of(stage: Stage) -> CombiningStage | None:
    """The stage, if it answers each row from a summary of all."""
    return stage if isinstance(stage, CombiningStage) else None


def spread_rows(stage: LinkingStage, rows: pa.Table, known: pa.Table | None) -> pa.Table:
    """Each row once for each of its keys: what the stage reads, uid, order, key."""
    rows = rows.drop_columns([c for c in ("__shard", "__row") if c in rows.schema.names])
    parts = [
        rows.append_column(KEY, pa.array(np.asarray(keys, np.uint64).view(np.int64)))
        for keys in stage.spread(rows, known)
    ]
    return pa.concat_tables(parts)


def edges_of(stage: LinkingStage, rows: pa.Table, known: pa.Table | None) -> pa.Table:
    """Of the rows that met in a partition, pairs that connect what belongs together: as many as
    there are rows at most.  Columns `one` and `two`: orders of rows.
    """
    order = rows.column(ORDER).to_numpy()
    _, first = np.unique(order, return_index=True)  # a row may have several keys here
    rows = rows.take(pa.array(first)).drop_columns([KEY])
    labels = np.asarray(stage.links(rows, known))
    _, head, which = np.unique(labels, return_index=True, return_inverse=True)
    order = order[first]
    one, two = order[head][which], order
    apart = one != two
    return pa.table({"one": one[apart], "two": two[apart]})


def with_components(
    rows: pa.Table, parts: int, total: int, part: Callable[[int], np.ndarray]
) -> pa.Table:
    """The rows beside the component of each.  `part`: gives one of so many parts of the rows that
    stand in pairs, with their components (far_components.py); `total`: places of the pool.
    """
    order = rows.column(ORDER).to_numpy()
    found, whose = order.copy(), owners(order, total, parts)
    for number in np.unique(whose).tolist():
        at = whose == number
        found[at] = parents_of(part(number), order[at])
    return rows.append_column(COMPONENT, pa.array(found))
