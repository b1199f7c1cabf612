"""Run in Energon's own environment: its loader reads a prepared package.

Argument: the package.  Prints keys, captions and pictures' shapes as JSON.
"""

import json
import sys

from megatron.energon import WorkerConfig, get_savable_loader, get_train_dataset


def main(path: str, samples: str) -> None:
    dataset = get_train_dataset(
        path,
        batch_size=None,
        shuffle_buffer_size=None,
        max_samples_per_sequence=None,
        worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0),
    )
    found = {}
    for sample in get_savable_loader(dataset):
        found[sample.__key__] = [type(sample).__name__, sample.caption, list(sample.image.shape)]
        if len(found) == int(samples):
            break
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
