"""What a finished run did, kept in its folder: written once, at the end, and read back checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pairmill.errors import StrangeFile
from pairmill.fates.ledger import Funnel, read_funnel
from pairmill.workspace.encoding import sealed
from pairmill.workspace.storage import Storage

FILE = "metrics.json"
"""A run's folder holds it once the run has finished."""


@dataclass(frozen=True)
class RunMetrics:
    """`seconds`: by part of the run; `stages`: figures by stage; `loaded`: what stages said of what
    they loaded; `funnel`: rows in, kept and lost per step.
    """

    seconds: Mapping[str, float]
    stages: Mapping[str, Mapping[str, float]]
    loaded: Mapping[str, list[str]]
    funnel: Funnel

    def write(self, storage: Storage, folder: str) -> None:
        """Into a run's folder."""
        parts = {"seconds": self.seconds, "stages": self.stages, "loaded": self.loaded}
        storage.write_json(f"{folder}/{FILE}", sealed({**parts, "funnel": self.funnel.to_json()}))

    @classmethod
    def read(cls, storage: Storage, folder: str = "") -> "RunMetrics | None":
        """From a run's folder; None where the run has not finished.  Raises StrangeFile for a file
        that is not as `write` leaves it.
        """
        name = f"{folder}/{FILE}".lstrip("/")
        if not storage.exists(name):
            return None
        found, place = storage.read_json(name), storage.path(name)
        if not isinstance(found, dict):
            raise strange(place, "it holds no map")
        seconds: Any = found.get("seconds")
        stages, loaded = found.get("stages"), found.get("loaded")
        if not are_figures(seconds):
            raise strange(place, f"its seconds are {seconds!r:.60}")
        if not isinstance(stages, dict) or not all(map(are_figures, stages.values())):
            raise strange(place, f"its stages are {stages!r:.60}")
        if not isinstance(loaded, dict) or not all(map(are_texts, loaded.values())):
            raise strange(place, f"what was loaded is {loaded!r:.60}")
        return cls(seconds, stages, loaded, read_funnel(found.get("funnel"), place))


def are_figures(value: Any) -> bool:
    """Whether numbers by name."""
    return isinstance(value, dict) and all(isinstance(n, int | float) for n in value.values())


def are_texts(value: Any) -> bool:
    """Whether a list of texts."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def strange(place: str, what: str) -> StrangeFile:
    """The error of a file at `place` that holds something else."""
    return StrangeFile(f"{place} is not as pairmill writes it: {what}; was it damaged?")
