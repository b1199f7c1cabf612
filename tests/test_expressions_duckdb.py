"""Gates against DuckDB: thousands of random expressions over nulls, NaN, infinities and extreme
integers.
"""

import random

import duckdb
import pytest

from pairmill.schemas.expressions import compile_gate
from tests.random_gates import FLAG, Gates, rows

pytestmark = pytest.mark.slow

AT_ONCE = 25


@pytest.mark.parametrize("seed", range(8))
def test_random_gates_give_what_duckdb_gives(seed: int) -> None:
    frame = rows(random.Random(seed), 120)
    table = frame.to_arrow()
    gates = Gates(seed)
    drawn = [gates.of(FLAG, gates.chance.randint(1, 4)) for _ in range(300)]
    connection = duckdb.connect()
    connection.register("rows", table)
    for first in range(0, len(drawn), AT_ONCE):
        some = drawn[first : first + AT_ONCE]
        columns = ", ".join(f"({gate.duck}) AS c{i}" for i, gate in enumerate(some))
        theirs = list(
            zip(*connection.execute(f"SELECT {columns} FROM rows").fetchall(), strict=True)
        )
        for i, gate in enumerate(some):
            ours = compile_gate(gate.ours, table.schema).evaluate(frame).to_list()
            differing = [
                (frame.row(at, named=True), mine, other)
                for at, (mine, other) in enumerate(zip(ours, theirs[i], strict=True))
                if mine != other
            ]
            assert not differing, (gate.ours, gate.duck, differing[:1])
