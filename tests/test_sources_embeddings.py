"""DataComp's embeddings in npz files, joined by uid."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pairmill.sources.base import NoInput
from pairmill.sources.catalogue import SOURCES, open_source
from tests.inputs import Given, given_by, sample, write_tar

UIDS = [f"{i:032x}" for i in range(30)]
VECTORS = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float16)


def metadata(folder: Path, packed: bool = False) -> Path:
    """Three files as DataComp's metadata: a Parquet with uids, an npz in the same order."""
    folder.mkdir()
    save = np.savez_compressed if packed else np.savez
    for i in range(3):
        rows = slice(i * 10, i * 10 + 10)
        frame = {"uid": UIDS[rows], "url": UIDS[rows], "text": ["t"] * 10}
        pl.DataFrame(frame).write_parquet(folder / f"{i}.parquet")
        save(folder / f"{i}.npz", l14_img=VECTORS[rows], b32_txt=VECTORS[rows][:, :3],
             flags=np.ones(10))  # fmt: skip
    return folder


def read(**keys: Any) -> Given:
    return given_by(open_source(SOURCES[keys["type"]].model_validate(keys)))


@pytest.mark.parametrize("packed", [False, True])
def test_metadata_get_their_embeddings(tmp_path: Path, packed: bool) -> None:
    folder = str(metadata(tmp_path / "metadata", packed))
    rows, bad, _ = read(type="pairs", path=folder, embeddings=folder)
    assert bad == []
    assert np.array_equal(np.array(rows["l14_img"].to_list()), VECTORS.astype(np.float32))
    assert np.array_equal(np.array(rows["b32_txt"].to_list()), VECTORS[:, :3].astype(np.float32))
    assert "flags" not in rows.columns


def test_samples_in_another_order_are_joined_by_uid(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(30).tolist()
    uids = [*(UIDS[i] for i in order), "f" * 32]
    members = [m for i, uid in enumerate(uids) for m in sample(f"{i:03d}", i, "t", uid=uid)]
    tar = write_tar(tmp_path / "a.tar", members)
    folder = metadata(tmp_path / "metadata")
    rows, _, remarks = read(type="webdataset", path=str(tar), embeddings=str(folder))
    assert rows["l14_img"].to_list()[:-1] == VECTORS[order].astype(np.float32).tolist()
    assert rows["l14_img"][-1] is None
    assert [(r.kind, r.count) for r in remarks] == [("rows without embeddings", 1)]


def test_uids_in_the_npz_itself_and_uids_that_repeat(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    pl.DataFrame({"uid": UIDS[:2], "url": UIDS[:2]}).write_csv(table)
    uids = np.array([UIDS[1], UIDS[0], UIDS[1]])
    np.savez(tmp_path / "a.npz", uid=uids, v=np.array([[1.0], [2.0], [3.0]]))
    rows, _, remarks = read(type="pairs", path=str(table), embeddings=str(tmp_path / "a.npz"))
    assert rows["v"].to_list() == [[2.0], [1.0]]
    assert [(r.kind, r.count) for r in remarks] == [("repeated embeddings", 1)]


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    folder = metadata(tmp_path / "metadata")
    np.savez(folder / "2.npz", l14_img=VECTORS[:9])
    with pytest.raises(NoInput, match=r"2\.npz has 9 rows of embeddings and 10 uids"):
        read(type="pairs", path=str(folder), embeddings=str(folder))
    np.savez(folder / "2.npz", l14_img=VECTORS[:10, :5])
    with pytest.raises(NoInput, match="has 5 values a row, others 8"):
        read(type="pairs", path=str(folder), embeddings=str(folder))
    np.savez(folder / "2.npz", l14_img=np.array([object()]), allow_pickle=True)
    (folder / "1.npz").write_bytes(b"PK nothing")
    with pytest.raises(NoInput, match=r"1\.npz is no file of arrays"):
        read(type="pairs", path=str(folder), embeddings=str(folder))
