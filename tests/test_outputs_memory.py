"""What writing an output shard holds in memory follows batches, not shards."""

import io
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.fates.trace import RememberedFates
from pairmill.outputs.uids import UidsOutputConfig, UidsWriter
from pairmill.packages.gather import BATCH_BYTES, SPOOL_BYTES, Place, gathered
from pairmill.pipeline.run import Runner
from pairmill.pipeline.watcher import Watcher
from tests.everything import picture

pytestmark = pytest.mark.slow

Write = Callable[[str], Path]
COUNT, SIZE = 320, 300_000


def test_an_output_shard_is_written_from_batches_of_bounded_bytes(
    write: Write, tmp_path: Path
) -> None:
    chance = np.random.default_rng(0)
    images = [picture(1) + chance.bytes(SIZE) for _ in range(COUNT)]
    texts = [str(i) for i in range(COUNT)]
    pq.write_table(pa.table({"image": images, "text": texts}), tmp_path / "in.parquet")
    text = "name: x\nsource: {type: parquet, path: in.parquet, rows_per_shard: 80}\noutputs: []\n"
    found = Pipeline.from_yaml(write(text))
    chain = Runner(found.checked, found.text, Watcher(), [], local=True).run().chain
    assert SPOOL_BYTES < COUNT * SIZE
    order = chance.permutation(COUNT)
    shards = (np.searchsorted(chain.starts, order, "right") - 1).astype(np.int32)
    rows = (order - chain.starts[shards]).astype(np.int32)
    place = Place(chain, shards, rows, RememberedFates(chain, ("image",)))
    before, largest = pa.total_allocated_bytes(), 0
    with ExitStack() as files:
        gathered_rows = gathered(place, ["image", "text"], str(tmp_path), files)
        seen = []
        for _, table, payload in gathered_rows.batches():
            assert payload.nbytes <= BATCH_BYTES + SIZE
            largest = max(largest, pa.total_allocated_bytes() - before)
            for name, image in zip(
                table.column("text").to_pylist(), payload.column("image"), strict=True
            ):
                assert image.as_py() == images[int(name)]
                seen.append(int(name))
        assert seen == order.tolist()
    assert largest < COUNT * SIZE * 0.8


def test_uids_of_a_package_take_sixteen_bytes_each(write: Write, tmp_path: Path) -> None:
    count, per_shard = 40_000, 4_000
    text = f"name: x\nsource: {{type: pairs, path: in.parquet, rows_per_shard: {per_shard}}}\n"
    pq.write_table(pa.table({"text": [str(i) for i in range(count)]}), tmp_path / "in.parquet")
    found = Pipeline.from_yaml(write(f"{text}outputs: []\n"))
    chain = Runner(found.checked, found.text, Watcher(), [], local=True).run().chain
    shards = np.repeat(np.arange(len(chain.shard_rows), dtype=np.int32), chain.shard_rows)
    rows = np.concatenate([np.arange(n, dtype=np.int32) for n in chain.shard_rows])
    place = Place(chain, shards, rows, RememberedFates(chain, ()))
    before, largest, uids = pa.total_allocated_bytes(), 0, []
    with ExitStack() as files:
        narrow = gathered(place, ["uid"], str(tmp_path), files).narrow
        for part in narrow():
            largest = max(largest, pa.total_allocated_bytes() - before)
            uids += part.column("uid").to_pylist()
        del part
        assert largest < count * 36 / 2  # as Arrow's text; the shards one after the other
        stored = gathered(place, ["uid"], str(tmp_path), files)
        (file,) = UidsWriter(UidsOutputConfig(path="x")).files(stored, 0, 0)
    out = io.BytesIO()
    file.write(out)  # type: ignore[arg-type]
    written = np.load(io.BytesIO(out.getvalue()))
    assert written.nbytes == count * 16
    assert [f"{a:016x}{b:016x}" for a, b in written.tolist()] == sorted(uids)
