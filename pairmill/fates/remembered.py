"""What a pipeline's run remembers of fates for the next one: `fates/<pipeline>.parquet`, a line for
each shard.  Where little is new, most shards are not opened then.

It is taken off again as what a process remembers is (fates/fate_memory.py): by the versions of the
files that it was read from.  So nothing is lost with the file, and nothing of it is believed of
files that are others now.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pairmill.errors import PairmillError
from pairmill.fates.decide import FATES
from pairmill.fates.fate_memory import (
    FOLLOWED,
    KnownFates,
    Place,
    ShardPopulation,
    WrittenLedger,
    common,
    files_of,
    place_of,
    steps_of,
    version,
)
from pairmill.plan.chain import Chain
from pairmill.redaction import redact
from pairmill.workspace.contents import FATES as FOLDER
from pairmill.workspace.storage import Storage

SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("rows", pa.int64()),
        ("steps", pa.list_(pa.string())),
        ("fate", pa.large_binary()),
        ("at", pa.large_binary()),
        ("why", pa.large_binary()),
        ("words", pa.string()),
        ("ran", pa.list_(pa.int32())),
        ("ran_rows", pa.large_binary()),
        ("ledger", pa.string()),
        ("ledger_version", pa.list_(pa.int64())),
        ("looked", pa.string()),
    ]
)
"""`fate`, `at`, `why`: numbers of one, two or four bytes a row, as they lie in memory: Parquet
writes them in a tenth of the time that lists take.  `ran`: stages of which rows have values,
`ran_rows`: which, eight to a byte, one stage after another.
"""
NARROW = (np.int8, np.int16, np.int32)
"""Types of such numbers; those of `fate`, `at` and `why` in memory."""
UNSURE_S = 0.1
"""Seconds after a file's last change within which another change may leave it with the same times:
clocks of file systems tick every hundredth of a second at the least.
"""
COARSE_S = 2.0
"""The same where they tick in seconds."""


def file_of(pipeline: str) -> str:
    """Where a pipeline's fates are remembered."""
    return f"{FOLDER}/{pipeline}.parquet"


def recall(root: str, pipeline: str) -> None:
    """Takes off what the last run of a pipeline remembered in the workspace `root`, beside what
    this process knows itself; nothing where that is damaged.
    """
    storage = Storage(root)
    if not storage.local:
        return
    try:
        table = storage.read_table(file_of(pipeline), SCHEMA.names)
        found = [fates_in(root, line) for line in table.cast(SCHEMA).to_batches()]
    except (
        FileNotFoundError,
        PairmillError,
        pa.ArrowException,
        LookupError,
        TypeError,
        ValueError,
    ):
        return
    for place, fates in (pair for part in found for pair in part):
        if FOLLOWED.fates(place) is None:
            FOLLOWED.put(place, fates)


def keep(root: str, pipeline: str, chains: Iterable[Chain]) -> None:
    """Remembers the fates of the shards of some tables."""
    storage = Storage(root)
    if not storage.local:
        return
    known = [pair for chain in chains for pair in holding(storage, chain)]
    if known:
        storage.write_table(file_of(pipeline), table_of(known))


def holding(storage: Storage, chain: Chain) -> Iterator[tuple[Place, KnownFates]]:
    """What is known of each shard, as far as it still holds."""
    for shard in chain.shards():
        place = place_of(chain, shard)
        if (fates := FOLLOWED.fates(place)) is None:
            continue
        sure = min(
            common(fates.steps, steps_of(chain, shard, chain.stages, ())),
            settled(storage, chain, shard),
        )
        if sure:
            whole = sure == len(fates.steps)
            yield place, fates if whole else shortened(fates, sure)


def shortened(fates: KnownFates, steps: int) -> KnownFates:
    """What the first steps tell."""
    first = KnownFates.of(fates.steps[:steps], fates.until(steps - 1))
    return replace(first, looked=fates.looked)


def settled(storage: Storage, chain: Chain, shard: int) -> int:
    """How many of the first steps are of files that were changed long enough ago to have other
    times if they are changed again.
    """
    now = time.time_ns()
    for place, file in enumerate(files := files_of(chain, shard, chain.stages)):
        told = version(storage, file) if file else None
        if told is not None:
            changed = max(told[2:])
            pause = COARSE_S if changed % 10**9 == 0 else UNSURE_S
            if now - changed < pause * 10**9:
                return place
    return len(files)


def table_of(known: Sequence[tuple[Place, KnownFates]]) -> pa.Table:
    """As the file has it, a line for each shard; reasons tell no secret."""
    words = ([[r and redact(r), m and redact(m)] for r, m in f.words] for _, f in known)
    ledgers = [f.ledger for _, f in known]
    columns = {
        "file": [place[1] for place, _ in known],
        "rows": [place[2] for place, _ in known],
        "steps": [f.steps for _, f in known],
        "fate": [narrowed(f.fate) for _, f in known],
        "at": [narrowed(f.at) for _, f in known],
        "why": [narrowed(f.why) for _, f in known],
        "words": [json.dumps(w) for w in words],
        "ran": [sorted(f.ran) for _, f in known],
        "ran_rows": [packed(f) for _, f in known],
        "ledger": [w and w.file for w in ledgers],
        "ledger_version": [w and w.version for w in ledgers],
        "looked": [
            json.dumps({k: (p.count, p.digest.hex()) for k, p in f.looked.items()})
            for _, f in known
        ],
    }
    return pa.table(columns, schema=SCHEMA)


def packed(fates: KnownFates) -> bytes:
    """Which rows have values of the stages in order, eight rows to a byte."""
    return b"".join(np.packbits(fates.ran[index]).tobytes() for index in sorted(fates.ran))


def narrowed(numbers: np.ndarray) -> bytes:
    """Whole numbers in the narrowest type that holds them."""
    least, most = numbers.min(initial=0), numbers.max(initial=0)
    kind = next(k for k in NARROW if np.iinfo(k).min <= least and most <= np.iinfo(k).max)
    return numbers.astype(kind).tobytes()


def widened(data: bytes, rows: int, kind: type) -> np.ndarray:
    """The same numbers, one a row, in a type; raises ValueError where there are not as many."""
    for narrow in NARROW:
        if len(data) == rows * np.dtype(narrow).itemsize:
            return np.frombuffer(data, narrow).astype(kind)
    raise ValueError("its lines have not as many numbers as rows")


def fates_in(root: str, lines: pa.RecordBatch) -> list[tuple[Place, KnownFates]]:
    """What lines tell; raises ValueError, LookupError or TypeError where they are not as they were
    written.
    """
    found = []
    for i in range(lines.num_rows):
        rows, *bytes_of = (
            lines.column(c)[i].as_py() for c in ("rows", "fate", "at", "why", "ran_rows")
        )
        fate, at, why = map(widened, bytes_of[:3], [rows] * 3, NARROW)
        packed = np.frombuffer(bytes_of[3], np.uint8)
        words = tuple((r, m) for r, m in json.loads(lines.column("words")[i].as_py()))
        steps, ran = (lines.column(c)[i].as_py() for c in ("steps", "ran"))
        sound = len(fate) == len(at) == len(why) == rows and why.min(initial=0) >= 0
        sound &= why.max(initial=0) < len(words) and at.max(initial=0) < len(steps)
        if not (sound and fate.min(initial=0) >= 0 and fate.max(initial=0) < len(FATES)):
            raise ValueError("its lines are no fates")
        size = -(-rows // 8)
        masks = {
            index: np.unpackbits(packed[n * size : (n + 1) * size], count=rows).astype(bool)
            for n, index in enumerate(ran)
        }
        ledger = lines.column("ledger")[i].as_py()
        told = lines.column("ledger_version")[i].as_py()
        written = WrittenLedger(ledger, tuple(told)) if ledger else None
        file = lines.column("file")[i].as_py()
        looked = {
            key: ShardPopulation(int(count), bytes.fromhex(digest))
            for key, (count, digest) in json.loads(lines.column("looked")[i].as_py()).items()
        }
        place = (root, file, rows)
        known = KnownFates(tuple(steps), fate, at, why, words, masks, written, looked)
        found.append((place, known))
    return found
