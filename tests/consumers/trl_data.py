"""Run in TRL's own environment: conversations of a package, prepared as `SFTTrainer` prepares them
for a vision model.

Argument: the package.  Prints roles, kinds of content and pictures' sizes as JSON.
"""

import json
import sys

import datasets
from without_cuda import torchvision_operators

torchvision_operators()

from trl.data_utils import is_conversational, prepare_multimodal_messages  # noqa: E402


def main(package: str, cache: str) -> None:
    found = []
    for row in datasets.load_dataset(package, split="train", cache_dir=cache):
        assert is_conversational({"messages": row["messages"]})
        messages = prepare_multimodal_messages(row["messages"], row["images"])
        parts = [[m["role"], [part["type"] for part in m["content"]]] for m in messages]
        sizes = [p["image"].size for m in messages for p in m["content"] if p["type"] == "image"]
        found.append([parts, sizes])
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
