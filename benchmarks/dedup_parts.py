"""One contestant of benchmarks/dedup.py: makes the data, does the work, tells what it cost."""

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

THRESHOLD = 0.7
SAMPLE = 2_000
"""Texts whose true pairs are looked for."""
COSINE = 0.95


def clock() -> tuple[float, float, int]:
    """Wall and CPU seconds of this process, and the most memory until now, MB: the data."""
    return time.perf_counter(), time.process_time(), peak_mb()


def since(start: tuple[float, float, int]) -> dict[str, float]:
    """What the work since then cost."""
    wall, cpu, data = clock()[0], clock()[1], start[2]
    return {"s": wall - start[0], "cpu_s": cpu - start[1], "data_mb": data, "peak_mb": peak_mb()}


def peak_mb() -> int:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def word(number: int) -> str:
    """Letters alone: some libraries take all digits for one."""
    return "".join(chr(97 + number // 26**place % 26) for place in range(4))


def captions(rows: int) -> list[str]:
    """Texts of 8 to 16 words of a Zipf vocabulary; a fifth are others with a word exchanged."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([word(i) for i in range(20_000)], object)
    weight = 1 / (np.arange(20_000) + 10)
    lengths = rng.integers(8, 17, rows)
    ends = np.cumsum(lengths)
    words = vocabulary[rng.choice(20_000, ends[-1], p=weight / weight.sum())]
    texts = [" ".join(words[a:b]) for a, b in zip(ends - lengths, ends, strict=True)]
    for k in range(5, rows, 5):
        copy = texts[k - 1].split()
        copy[rng.integers(len(copy))] = "zzz"
        texts[k] = " ".join(copy)
    return texts


def shingles_of(text: str) -> set[str]:
    words = text.split()
    return {f"{a} {b}" for a, b in pairwise(words)}


def text_recall(texts: list[str], found: Callable[[int, int], bool]) -> dict[str, float]:
    """Of all pairs at or above the threshold that a sample of the texts has, by exact Jaccard
    similarity with every text, those found; and how many there are.
    """
    step = max(1, len(texts) // SAMPLE)
    sample = {k: shingles_of(texts[k]) for k in range(4, len(texts), step)}
    having: dict[str, list[int]] = {}
    for k, own in sample.items():
        for shingle in own:
            having.setdefault(shingle, []).append(k)
    hits = true = 0
    for other, text in enumerate(texts):
        theirs = shingles_of(text)
        shared = Counter(k for one in theirs & having.keys() for k in having[one] if k != other)
        for k, both in shared.items():
            if both / (len(sample[k]) + len(theirs) - both) >= THRESHOLD:
                true += 1
                hits += found(min(k, other), max(k, other))
    return {"recall": hits / max(1, true), "true_pairs": true}


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
    import faiss

    best: dict[str, Any] = {}
    for bands, bits, most in ((3, 21, 2), (4, 16, 2)) if words == 1 else ((16, 16, 1),):
        start = clock()
        index = faiss.IndexBinaryMultiHash(words * 64, bands, bits)
        index.nflip = most
        data = np.ascontiguousarray(values).view(np.uint8).reshape(rows, -1)
        index.add(data)
        limits, _, labels = index.range_search(data, radius + 1)
        spent = since(start)
        met = [k - 1 in labels[limits[k] : limits[k + 1]] for k in range(9, rows, 10)]
        told = {**spent, "recall": float(np.mean(met)), "index": f"MultiHash({bands}, {bits})"}
        best = min([best, told] if best else [told], key=lambda one: one["s"])
    return best


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
    index.nprobe = 8
    limits, _, labels = index.range_search(wide, COSINE)
    spent = since(start)
    met = [10 * k + 8 in labels[limits[10 * k + 9] : limits[10 * k + 10]] for k in true]
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
