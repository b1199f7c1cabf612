"""One contestant of benchmarks/dedup.py: makes the data, does the work, tells what it cost."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.dedup_data import THRESHOLD, captions, clock, shingles_of, since, text_recall

COSINE = 0.95


def text(name: str, rows: int) -> dict[str, Any]:
    texts = captions(rows)
    start = clock()
    if name == "pairmill":
        import pyarrow as pa

        from pairmill.stages.dedup.config import DedupConfig
        from pairmill.stages.dedup.stage import DedupStage

        stage = DedupStage(DedupConfig(kind="text", on=["t"], threshold=THRESHOLD))
        uid = pa.array([f"{i:08d}" for i in range(rows)])
        start = clock()
        table = pa.table({"t": texts, "uid": uid})
        cluster = stage(table)["cluster_id"].to_pylist()
        spent = since(start)
        return {**spent, **text_recall(texts, lambda a, b: cluster[a] == cluster[b])}
    if name.startswith("rensa"):
        from rensa import RMinHash, RMinHashLSH

        permutations = int(name.partition("-")[2])  # in bands of 4, as pairmill has them
        lsh = RMinHashLSH(THRESHOLD, permutations, permutations // 4)
        near: list[list[int]] = []
        for i, one in enumerate(texts):
            hashed = RMinHash(permutations, 42)
            hashed.update(list(shingles_of(one)))
            near.append(lsh.query(hashed))
            lsh.insert(i, hashed)
        spent = since(start)
        return {**spent, **text_recall(texts, lambda a, b: a in near[b])}
    if name == "datasketch":
        from datasketch import MinHash, MinHashLSH

        index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
        met: list[list[int]] = []
        for i, one in enumerate(texts):
            minhash = MinHash(num_perm=128)
            minhash.update_batch([s.encode() for s in shingles_of(one)])
            met.append(index.query(minhash))
            index.insert(i, minhash)
        spent = since(start)
        return {**spent, **text_recall(texts, lambda a, b: a in met[b])}
    return datatrove(texts)


def datatrove(texts: list[str]) -> dict[str, Any]:
    """datatrove's MinHash pipeline, its four steps in this process."""
    import tempfile

    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    start = clock()
    documents = [Document(text=t, id=str(i)) for i, t in enumerate(texts)]
    config = MinhashConfig(n_grams=2, num_buckets=16, hashes_per_bucket=4)
    with tempfile.TemporaryDirectory() as folder:
        kept: list[str] = []

        def note(data: Any, rank: int = 0, world_size: int = 1) -> Any:
            for document in data:
                kept.append(document.id)
                yield document

        signature = MinhashDedupSignature(f"{folder}/sig", config=config)
        steps: list[list[Any]] = [
            [documents, signature],
            [MinhashDedupBuckets(f"{folder}/sig", f"{folder}/buckets", config=config)],
            [MinhashDedupCluster(f"{folder}/buckets", f"{folder}/removed", config=config)],
            [documents, MinhashDedupFilter(f"{folder}/removed"), note],
        ]
        for number, step in enumerate(steps):
            tasks = config.num_buckets if number == 1 else 1
            logs = f"{folder}/logs{number}"
            LocalPipelineExecutor(step, tasks=tasks, workers=1, logging_dir=logs).run()
        spent = since(start)
        left = set(kept)
    met = text_recall(texts, lambda a, b: str(a) not in left or str(b) not in left)
    return {**spent, **met}


def exact(name: str, rows: int) -> dict[str, Any]:
    import polars as pl

    rng = np.random.default_rng(0)
    key = pl.Series(rng.integers(0, rows, rows)).cast(pl.String)
    uid = pl.Series(rng.permutation(rows)).cast(pl.String).str.zfill(10)
    if name == "polars":
        frame = pl.DataFrame({"key": key, "uid": uid})
        start = clock()
        first = frame.group_by("key").agg(pl.col("uid").min().alias("first"), pl.len())
        found = frame.join(first, on="key", how="left", maintain_order="left")
        answer = found.select(
            pl.when(pl.col("uid") != pl.col("first")).then("first").alias("dup_of"),
            pl.col("first"), "len",
        )  # fmt: skip
        return {
            **since(start),
            "duplicates": answer["dup_of"].is_not_null().sum(),
        }
    from pairmill.stages.dedup.config import DedupConfig
    from pairmill.stages.dedup.stage import DedupStage

    table = pl.DataFrame({"key": key, "uid": uid}).to_arrow()
    table = table.cast(table.schema)
    start = clock()
    answer_ = DedupStage(DedupConfig(on=["key"]))(table)
    spent = since(start)
    return {**spent, "duplicates": rows - answer_["dup_of"].null_count}


def planted(rng: np.random.Generator, rows: int, words: int, flips: int) -> np.ndarray:
    """Random hashes; every tenth is another with so many bits flipped."""
    hashes = rng.integers(0, 2**64, (rows, words), np.uint64)
    hashes[9::10] = hashes[8::10][: len(hashes[9::10])]
    for _ in range(flips):
        at = rng.integers(0, words, len(hashes[9::10]))
        bits = np.uint64(1) << rng.integers(0, 64, len(at)).astype(np.uint64)
        hashes[np.arange(9, rows, 10), at] ^= bits
    return hashes


def hashes(name: str, rows: int, words: int, radius: int, flips: int) -> dict[str, Any]:
    values = planted(np.random.default_rng(0), rows, words, flips)
    start = clock()
    if name == "pairmill":
        from pairmill.stages.dedup.looks import components

        found = components(values, None, radius)
        spent = since(start)
        return {**spent, "recall": float((found[9::10] == found[8::10][: rows // 10]).mean())}
    return faiss_hashes(values, radius)


FAISS = {
    8: (None, (9, 7, 0), (5, 12, 1), (4, 16, 2), (3, 21, 2)),
    31: (None, (32, 8, 0), (16, 16, 1)),
}
"""Exact indexes by radius: the flat one, and (hashes, bits, flips) of IndexBinaryMultiHash."""


def faiss_hashes(values: np.ndarray, radius: int) -> dict[str, Any]:
    """faiss's fastest exact index: that which answers a fiftieth of the rows first."""
    import faiss

    rows, words = values.shape
    data = np.ascontiguousarray(values).view(np.uint8).reshape(rows, -1)

    def search(kind: tuple[int, int, int] | None, queries: np.ndarray) -> tuple[Any, ...]:
        if kind is None:
            index: Any = faiss.IndexBinaryFlat(words * 64)
        else:
            index = faiss.IndexBinaryMultiHash(words * 64, kind[0], kind[1])
            index.nflip = kind[2]
        index.add(data)
        limits, _, labels = index.range_search(queries, radius + 1)
        return limits, labels

    pilots = {}
    for kind in FAISS[radius]:
        start = clock()
        search(kind, data[::50].copy())
        pilots[kind] = since(start)["s"]
    fastest = min(pilots, key=lambda kind: pilots[kind])
    start = clock()
    limits, labels = search(fastest, data)
    spent = since(start)
    met = [k - 1 in labels[limits[k] : limits[k + 1]] for k in range(9, rows, 10)]
    name = "Flat" if fastest is None else "MultiHash({}, {}) of {} flips".format(*fastest)
    return {**spent, "recall": float(np.mean(met)), "index": name}


def semantic(name: str, rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(300, 512)).astype(np.float32)
    vectors = topics[rng.integers(0, 300, rows)] * 0.6 + rng.normal(size=(rows, 512))
    vectors[9::10] = vectors[8::10][: rows // 10] + rng.normal(size=(rows // 10, 512)) * 0.25
    units = (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float16)
    wide = units.astype(np.float32)
    del vectors
    cosine = np.einsum("nd,nd->n", wide[8::10][: rows // 10], wide[9::10])
    true = np.flatnonzero(cosine / 1.0 >= COSINE + 1e-3)
    start = clock()
    if name == "pairmill":
        import pyarrow as pa

        from pairmill.stages.dedup.config import DedupConfig
        from pairmill.stages.dedup.stage import DedupStage

        column = pa.FixedSizeListArray.from_arrays(pa.array(units.ravel()), 512)
        uid = pa.array([f"{i:08d}" for i in range(rows)])
        stage = DedupStage(DedupConfig(kind="semantic", on=["v"], threshold=COSINE))
        start = clock()
        found = np.array(stage(pa.table({"v": column, "uid": uid}))["cluster_id"].to_pylist())
        spent = since(start)
        met = found[9::10][true] == found[8::10][: rows // 10][true]
        return {**spent, "recall": float(met.mean())}
    import faiss

    cells = round(rows**0.5)
    quantizer = faiss.IndexFlatIP(512)
    index = faiss.IndexIVFFlat(quantizer, 512, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(wide[: cells * 64])
    index.add(wide)
    built = since(start)
    for probes in (1, 2, 4, 8):
        index.nprobe = probes
        asked = clock()
        limits, _, labels = index.range_search(wide, COSINE)
        took = since(asked)
        met = [10 * k + 8 in labels[limits[10 * k + 9] : limits[10 * k + 10]] for k in true]
        if np.mean(met) >= 0.99:
            break
    spent = {**took, **{k: round(built[k] + took[k], 3) for k in ("s", "cpu_s")}, "probes": probes}
    return {**spent, "recall": float(np.mean(met))}


def one_look(rows: int) -> dict[str, Any]:
    """Near-equal hashes and thumbnails: a placeholder that comes often."""
    from pairmill.stages.dedup.looks import components

    rng = np.random.default_rng(0)
    values = np.full((rows, 1), 0x1234567, np.uint64)
    for _ in range(3):
        values[:, 0] ^= np.uint64(1) << rng.integers(0, 64, rows).astype(np.uint64)
    pixels = np.clip(rng.integers(60, 190, 192) + rng.integers(-3, 4, (rows, 192)), 0, 255)
    start = clock()
    found = components(values, pixels.astype(np.uint8), 8, 24, 36)
    return {**since(start), "clusters": len(np.unique(found))}


def equal_hashes(rows: int) -> dict[str, Any]:
    """One hash for all, and thumbnails that are flat in a colour of their own: hardly any agree."""
    from pairmill.stages.dedup.looks import components

    rng = np.random.default_rng(0)
    values = np.full((rows, 1), 0x1234567, np.uint64)
    pixels = np.repeat(rng.integers(0, 256, (rows, 3)), 64, 1) + rng.integers(-20, 21, (rows, 192))
    start = clock()
    found = components(values, np.clip(pixels, 0, 255).astype(np.uint8), 8, 24, 36)
    return {**since(start), "clusters": len(np.unique(found))}


def main() -> None:
    part, name, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "text": lambda: text(name, rows),
        "exact": lambda: exact(name, rows),
        "perceptual": lambda: hashes(name, rows, 1, 8, 5),
        "pdq": lambda: hashes(name, rows, 4, 31, 25),
        "semantic": lambda: semantic(name, rows),
        "one_look": lambda: one_look(rows),
        "equal_hashes": lambda: equal_hashes(rows),
    }
    found = work[part]()
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}))


if __name__ == "__main__":
    main()
