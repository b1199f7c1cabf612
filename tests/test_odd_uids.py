"""Uids of the input that an output cannot hold."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.errors import RunError
from pairmill.pipeline.run import Runner
from pairmill.pipeline.watcher import Watcher
from tests.test_outputs_types import Write, picture, run


def test_uids_that_no_kept_row_can_leave_by_are_told_before_a_stage_computes(
    write: Write, tmp_path: Path
) -> None:
    stages = "stages: [{stage: image_hash, keep: text = 'a'}]\n"
    output = "{type: uids, path: out}"
    columns = {"image": [picture(9)] * 2, "text": ["a", "b"], "uid": ["row 1", "row 2"]}
    with pytest.raises(RunError, match="so are all 2 uids; nothing was computed"):
        run(write, tmp_path, columns, output, stages)
    assert not list(tmp_path.glob("workspace/columns/*/*.parquet"))
    some = {**columns, "uid": ["0" * 32, "row 2"]}  # which no gate keeps
    told: list[str] = []

    class NoteWatcher(Watcher):
        def note(self, text: str) -> None:
            told.append(text)

    pq.write_table(pa.table(some), tmp_path / "in.parquet")
    found = Pipeline.from_yaml(tmp_path / "pipeline.yaml")
    Runner(found.checked, found.text, NoteWatcher(), [], local=True, processes=0).run()
    assert len(np.load(tmp_path / "out/uids.npy")) == 1
    assert next(t for t in told if "would end this run" in t).startswith("1 of 2 uids")
