"""A stage of one's own, in a module as users write it: it waits 100 µs for each row."""

import time

import pyarrow as pa

from pairmill import Stage, StageConfig, column


class SlowStage(Stage):
    """The length of a text, slowly."""

    Config = StageConfig
    prefix = "slow"

    def reads(self) -> list[str]:
        return ["text"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int64(), "length of the text")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        time.sleep(1e-4 * rows.num_rows)
        return pa.table([[len(t) for t in rows["text"].to_pylist()]], schema=self.writes())
