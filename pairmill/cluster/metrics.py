"""What a run counts: for Prometheus through Ray's metrics, the same numbers that
runs/<id>/metrics.json keeps.
"""

from pairmill.work.messages import StageStats

COUNTED = {
    "rows": "Rows that reached the stage alive and undecided",
    "computed": "Rows that the stage computed",
    "cached": "Rows that were stored already",
    "dropped": "Rows that the stage's gate dropped",
    "missing": "Rows that lacked an input of the stage or of its gate",
    "failed": "Rows that failed at the stage",
    "seconds": "Seconds that workers spent on the stage, from block to block",
    "busy_s": "Seconds inside the stage itself",
    "setup_s": "Seconds for loading the stage",
    "bytes": "Bytes committed, before compression",
    "tokens": "Tokens generated",
    "tokens_asked": "Tokens of requests to a model",
    "uncounted": "Rows that were answered, and whose tokens nobody counted",
    "dollars": "What the tokens cost, where the pipeline names prices",
}
TAGS = ("run", "stage")


def metric(key: str) -> str:
    """Name of a count in Ray; Prometheus sees it as `ray_<name>_total`."""
    return "pairmill_" + {
        "seconds": "stage_seconds",
        "busy_s": "busy_seconds",
        "setup_s": "setup_seconds",
    }.get(key, key)


class Meters:
    """Ray's counters of one run; lives in the run's actor, so that no count dies with a worker."""

    def __init__(self, run_id: str) -> None:
        from ray.util.metrics import Counter

        self.run_id = run_id
        self.counters = {
            key: Counter(metric(key), description=text, tag_keys=TAGS)
            for key, text in COUNTED.items()
        }
        self.shards = Counter(
            "pairmill_shards", description="Shards that passed the stage", tag_keys=TAGS
        )

    def count(self, stats: StageStats) -> None:
        """Adds what a stage did with one shard."""
        tags = {"run": self.run_id, "stage": stats.stage}
        self.shards.inc(1, tags)
        for key, counter in self.counters.items():
            if (value := getattr(stats, key)) > 0:
                counter.inc(value, tags)
