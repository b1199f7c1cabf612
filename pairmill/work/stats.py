"""What a stage did with one shard, in rows and seconds."""

from dataclasses import dataclass


@dataclass
class StageStats:
    """What a stage did with one shard, in rows and seconds."""

    stage: str
    rows: int = 0
    computed: int = 0
    cached: int = 0
    failed: int = 0
    errors: int = 0
    """Failures among the rows computed now."""
    dropped: int = 0
    missing: int = 0
    seconds: float = 0.0
    """From block to block; `busy_s` of them inside the stage itself, `setup_s` for loading it."""
    busy_s: float = 0.0
    setup_s: float = 0.0
    bytes: int = 0
    """Bytes committed, before compression."""
    tokens: int = 0
    """Tokens generated."""
    shard: int = -1
    worker: str = ""
    """Host and process that ran it."""
    began: float = 0.0
    """Seconds since the epoch, by the worker's clock."""
