"""Objects that a caption mentions and no detector found (CHAIR; Rohrbach et al. 2018)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pairmill.filters.concept_list import plural
from pairmill.texts.words import UNSPACED

COCO: dict[str, list[str]] = {
    "person": ["people", "man", "men", "woman", "women", "boy", "girl", "child", "children", "kid"],
    "bicycle": ["bike"], "car": ["sedan", "hatchback"], "motorcycle": ["motorbike"],
    "airplane": ["plane", "aircraft"], "bus": ["buses"], "train": ["locomotive"],
    "truck": ["lorry", "pickup"], "boat": ["ship", "ferry", "canoe"],
    "traffic light": ["stoplight"], "fire hydrant": ["hydrant"], "stop sign": [],
    "parking meter": [], "bench": ["benches"], "bird": ["gull", "pigeon", "parrot"],
    "cat": ["kitten"], "dog": ["puppy"], "horse": ["pony"], "sheep": ["lamb"],
    "cow": ["cattle", "calf"], "elephant": [], "bear": [], "zebra": [], "giraffe": [],
    "backpack": ["rucksack"], "umbrella": ["parasol"], "handbag": ["purse"], "tie": ["necktie"],
    "suitcase": ["luggage"], "frisbee": [], "skis": ["ski"], "snowboard": [],
    "sports ball": ["ball", "football", "basketball"], "kite": [], "baseball bat": [],
    "baseball glove": [], "skateboard": [], "surfboard": [], "tennis racket": ["racket"],
    "bottle": [], "wine glass": ["goblet"], "cup": ["mug"], "fork": [], "knife": ["knives"],
    "spoon": [], "bowl": [], "banana": [], "apple": [], "sandwich": ["burger", "sandwiches"],
    "orange": [], "broccoli": [], "carrot": [], "hot dog": [], "pizza": [], "donut": ["doughnut"],
    "cake": ["cupcake"], "chair": ["armchair"], "couch": ["sofa", "couches"],
    "potted plant": ["houseplant"], "bed": [], "dining table": ["table"], "toilet": [],
    "tv": ["television"], "laptop": ["notebook computer"], "mouse": [],
    "remote": ["remote control"], "keyboard": [], "cell phone": ["phone", "smartphone"],
    "microwave": [], "oven": ["stove"], "toaster": [], "sink": ["washbasin"],
    "refrigerator": ["fridge"], "book": [], "clock": [], "vase": [], "scissors": [],
    "teddy bear": ["teddy"], "hair drier": ["hairdryer"], "toothbrush": ["toothbrushes"],
}  # fmt: skip
"""COCO's categories, and words that mean them."""


class Mentions:
    """Finds the objects that a text names; of two names that overlap, the longer one counts."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self.meant: dict[str, str] = {}
        for name, words in names.items():
            for word in (name, *words):
                self.meant.setdefault(word.casefold(), name)
                if not UNSPACED.search(word):
                    for several in (f"{word.casefold()}s", plural(word.casefold())):
                        self.meant.setdefault(several, name)
        longest_first = sorted(self.meant, key=lambda w: (-len(w), w))
        spaced = [re.escape(w) for w in longest_first if not UNSPACED.search(w)]
        unspaced = [re.escape(w) for w in longest_first if UNSPACED.search(w)]
        forms = [rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)"] if spaced else []
        self.pattern = re.compile("|".join([*forms, *unspaced]) or r"(?!)")

    def of(self, text: str) -> list[str]:
        """Names of the objects that a text mentions, in order, each once."""
        found = (self.meant[word] for word in self.pattern.findall(text.casefold()))
        return list(dict.fromkeys(found))

    def ungrounded(self, text: str, detected: Iterable[Any]) -> tuple[list[str], list[str]]:
        """(objects mentioned, those of them that were not detected)."""
        labels = {self.meant.get(label, label) for label in map(label_of, detected)}
        mentioned = self.of(text)
        return mentioned, [name for name in mentioned if name not in labels]


def label_of(detected: Any) -> str:
    """The name of a detected object: a text, or a struct with `label`."""
    found = detected.get("label") if isinstance(detected, Mapping) else detected
    return str(found or "").casefold()
