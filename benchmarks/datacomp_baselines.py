"""DataComp's baselines by recipes/datacomp-*.yaml against their published definition, written down
once more over generated metadata: `python benchmarks/datacomp_baselines.py --rows 100000`.

The metadata has planted ties, nulls, boundary sizes, odd white space; a baseline is exact if both
sets of uids are equal.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import fasttext
import numpy as np
import polars as pl

from pairmill.filters.language import bundled_model

ROOT = Path(__file__).parent.parent
NAMES = ("no-filter", "basic", "clip", "laion2b", "text", "image", "image-clip")
WORDS = "a red ball on the meadow two small boats at night house Dog, dogs. sign tree".split()
ODD = ("\n", "\t", "\u00a0", "  ", "\u3000", "\x1f", "\r", " ")
FOREIGN = ("ein roter Ball liegt auf der Wiese", "un ballon rouge dans la neige", "红色的球在草地上",
           "два красных шара на пляже ночью", "")  # fmt: skip
ENTRIES = ("ball", "boats", "dog,", "tree")
DIM, CLUSTERS = 16, 200


def generate(folder: Path, rows: int, seed: int = 0) -> pl.DataFrame:
    """Writes metadata as DataComp's (Parquet files with npz beside), centroids, targets, entries."""
    rng = np.random.default_rng(seed)
    texts = [sentence(rng) for _ in range(rows)]
    scores = np.round(rng.normal(0.22, 0.06, (rows, 2)), 2 if seed else 3).astype(np.float32)
    missing = rng.random((rows, 2)) < 0.05
    edge = np.array([1, 199, 200, 201, 599, 600, 601, 640])
    sizes = np.where(rng.random((rows, 2)) < 0.5, rng.choice(edge, (rows, 2)),
                     rng.integers(64, 2000, (rows, 2)))  # fmt: skip
    frame = pl.DataFrame(
        {
            "uid": [f"{int(a):016x}{int(b):016x}" for a, b in rng.integers(0, 2**63, (rows, 2))],
            "url": [f"http://a.test/{i}" for i in range(rows)],
            "text": texts,
            "original_width": sizes[:, 0],
            "original_height": sizes[:, 1],
            "clip_b32_similarity_score": scores[:, 0],
            "clip_l14_similarity_score": scores[:, 1],
        }
    )
    frame = frame.with_columns(
        pl.when(pl.Series(~missing[:, i])).then(pl.col(name)).alias(name)
        for i, name in enumerate(("clip_b32_similarity_score", "clip_l14_similarity_score"))
    )
    vectors = rng.normal(size=(rows, DIM)).astype(np.float16)
    centroids = rng.normal(size=(CLUSTERS, DIM)).astype(np.float32)
    centroids[7] = centroids[3]  # two that are equal: the first is the nearest
    (folder / "metadata").mkdir(parents=True)
    for i, part in enumerate(np.array_split(np.arange(rows), 4)):
        frame[part].write_parquet(folder / f"metadata/{i}.parquet")
        np.savez(folder / f"metadata/{i}.npz", l14_img=vectors[part])
    np.save(folder / "centroids.npy", centroids)
    np.save(folder / "imagenet.npy", rng.normal(size=(60, DIM)).astype(np.float32))
    (folder / "entries.txt").write_text("\n".join(ENTRIES))
    return frame.with_columns(l14=pl.Series(vectors.astype(np.float32).tolist()))


def sentence(rng: np.random.Generator) -> str:
    if rng.random() < 0.3:
        return str(rng.choice(FOREIGN))
    words = rng.choice(WORDS, rng.integers(1, 9))
    joints = rng.choice(ODD, len(words), p=[0.02] * 7 + [0.86])
    return "".join(f"{word}{joint}" for word, joint in zip(words, joints, strict=True))


def published(frame: pl.DataFrame, folder: Path) -> dict[str, set[str]]:
    """Each baseline as the paper and its code define it, row by row."""
    import gcld3

    fast = fasttext.load_model(bundled_model())
    cld3 = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)
    rows, count = frame.to_dicts(), frame.height
    for row in rows:
        line = row["text"].replace("\n", " ")
        labels = fast.predict(line, k=1)[0]
        row["english"] = bool(labels) and labels[0] == "__label__en"
        row["english_cld3"] = cld3.FindLanguage(text=line).language == "en"
    centroids = np.load(folder / "centroids.npy")
    wanted = {int((centroids @ target).argmax()) for target in np.load(folder / "imagenet.npy")}
    scores = frame["clip_l14_similarity_score"].fill_null(float("nan")).to_numpy()
    threshold = -np.sort(-scores)[int(count * 0.3)]

    def basic(r: dict) -> bool:
        small, large = sorted((r["original_width"], r["original_height"]))
        long_enough = len(r["text"].split()) > 2 and len(r["text"]) > 5
        return r["english"] and long_enough and small >= 200 and large / small <= 3.0

    def laion(r: dict) -> bool:
        score = r["clip_b32_similarity_score"]
        return score is not None and np.float32(score) >= 0.28 and r["english_cld3"]

    def named(r: dict) -> bool:
        return r["english"] and any(word.lower() in ENTRIES for word in r["text"].split())

    def clip(r: dict) -> bool:
        score = r["clip_l14_similarity_score"]
        return score is not None and np.float32(score) >= threshold

    def image(r: dict) -> bool:
        tokens = len([t for t in fast_tokens(r["text"]) if t])
        if not (r["english"] and tokens > 1 and len(r["text"]) > 5):
            return False
        return int((centroids @ np.array(r["l14"], np.float32)).argmax()) in wanted

    rules: dict[str, Callable[[dict], bool]] = {
        "no-filter": lambda r: True, "basic": basic, "clip": clip, "laion2b": laion, "text": named,
        "image": image, "image-clip": lambda r: clip(r) and image(r),
    }  # fmt: skip
    return {name: {r["uid"] for r in rows if rule(r)} for name, rule in rules.items()}


def fast_tokens(text: str) -> list[str]:
    """Words as fastText's reader takes them from a stream, byte by byte; a line's end is one."""
    found, word = [], b""
    for byte in text.encode():
        char = bytes([byte])
        if char in b" \n\r\t\v\f\0":
            if word:
                found.append(word.decode())
            word = b""
            if char == b"\n":
                found.append("</s>")
        else:
            word += char
    return [*found, word.decode()] if word else found


def achieved(folder: Path, name: str) -> set[str]:
    """The uids that the recipe writes."""
    from pairmill.api import Pipeline

    copyfile(ROOT / f"recipes/datacomp-{name}.yaml", folder / f"{name}.yaml")
    Pipeline.from_yaml(folder / f"{name}.yaml").run(local=True, progress=False)
    pairs = np.load(folder / name / "uids.npy")
    assert pairs.dtype == np.dtype("u8,u8")
    assert (np.sort(pairs) == pairs).all()
    return {f"{int(a):016x}{int(b):016x}" for a, b in pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        expected = published(generate(folder, rows), folder)
        print(
            f"| baseline, {rows:,} rows | published | pairmill | differing | s |\n|---|--:|--:|--:|--:|"
        )
        for name in NAMES:
            start = time.perf_counter()
            found = achieved(folder, name)
            seconds = time.perf_counter() - start
            wrong = len(found ^ expected[name])
            print(
                f"| {name} | {len(expected[name]):,} | {len(found):,} | {wrong} | {seconds:.1f} |"
            )


if __name__ == "__main__":
    main()
