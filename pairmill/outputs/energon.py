"""Megatron-Energon's `.nv-meta` of a folder of tars: what `energon prepare` would ask for."""

from collections.abc import Sequence

from pairmill.outputs.base import OutputFile, bytes_file
from pairmill.outputs.values import json_bytes

FOLDER = ".nv-meta"


def nv_meta(tars: Sequence[tuple[str, int]], pictures: Sequence[str]) -> list[OutputFile]:
    """`dataset.yaml` (captioning samples), `split.yaml` (all in `train`) and the shards' counts.

    `tars`: name and samples of each.  `pictures`: suffixes of the pictures.  The index of the tars
    is Energon's own work: `energon prepare --tar-index-only FOLDER`.
    """
    dataset = (
        "sample_type:\n"
        "  __module__: megatron.energon\n"
        "  __class__: CaptioningSample\n"
        f"field_map:\n  image: {','.join(pictures)}\n  caption: txt\n"
    )
    names = "".join(f"  - {name}\n" for name, _ in tars)
    split = f"split_parts:\n  train:\n{names}  val: []\n  test: []\nexclude: []\n"
    info = {"energon_version": None, "shard_counts": dict(tars)}
    return [
        bytes_file(f"{FOLDER}/dataset.yaml", dataset.encode()),
        bytes_file(f"{FOLDER}/split.yaml", split.encode()),
        bytes_file(f"{FOLDER}/.info.json", json_bytes(info)),
    ]
