"""Run in open_clip's own environment: its data module reads the tars of a package.

Arguments: shards as open_clip takes them, number of samples.  Prints what came as JSON.
"""

import json
import sys
from types import SimpleNamespace

import torch
import webdataset
from without_cuda import torchvision_operators

torchvision_operators()

from open_clip_train.data import get_wds_dataset  # noqa: E402


def main(shards: str, samples: str) -> None:
    args = SimpleNamespace(
        train_data=shards, val_data=shards, train_num_samples=int(samples), val_num_samples=int(samples),
        dataset_resampled=False, train_data_upsampling_factors=None, batch_size=3, workers=1, world_size=1, seed=0,
    )  # fmt: skip
    for name, value in (("json_text_key", None), ("json_text_key_probs", None)):
        setattr(args, name, value)
    data = get_wds_dataset(
        args, lambda image: torch.tensor(image.size), False, tokenizer=lambda text: [text]
    )
    found = [
        [list(map(int, size)), text]
        for sizes, texts in data.dataloader
        for size, text in zip(sizes, texts, strict=True)
    ]
    print(json.dumps({"webdataset": webdataset.__version__, "samples": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
