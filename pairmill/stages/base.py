"""What a stage is: a frozen config, and a function from some columns to new columns of the same
rows.
"""

import re
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from pairmill.schemas.config import StageConfig


class Stage:
    """A map stage: sees living rows of one shard as an Arrow table, answers with its columns for
    the same rows.

    Subclasses set `Config`, `prefix` and `version` (raise it when values would change) and write
    `reads`, `writes` and `__call__`.  `setup` runs once in each worker, before the first row and
    only if there is a row to compute; whatever is heavy (models, sockets) belongs there.  A row's
    own failure is told in an `error` column of type `pairmill.schemas.arrow.ERROR`, or by raising:
    the runtime then finds the failing rows by bisection.
    """

    Config: ClassVar[type[StageConfig]] = StageConfig
    version: int = 1
    prefix: ClassVar[str] = ""
    decodes: ClassVar[bool] = False
    """True where every image of the column `config.image` is decoded, so that a damaged one fails
    as `decode`: then a source need not look at its pixels first.
    """
    cpus: ClassVar[float] = 1.0
    """Cores of one worker, unless the pipeline says otherwise."""
    actor: ClassVar[bool] = False
    """True where `setup` is costly, so that workers should live long."""
    flush_s: ClassVar[float | None] = None
    """Costly rows: commit what there is at the first batch boundary after so many seconds."""

    takes_nulls: ClassVar[bool] = False
    """True where rows are computed though a column they are read from is null there."""
    overlap: int = 1
    """Shards that one worker takes at the same time, `__call__` in as many threads: for stages that
    mostly wait.
    """
    ahead: int = 1
    """Batches that `prepare` is told of before they are asked for."""
    ask: Any = None
    """`HostBoard.share` of the run, where the stage runs beside other workers (see
    shares.py).
    """

    run_folder: str = ""
    """The run's folder in the workspace, for logs of a worker's own; empty where there is none."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def __reduce__(self) -> Any:
        """A stage travels to a worker as its config alone; what `setup` made stays behind."""
        return type(self), (self.config,)

    def altered(self) -> int:
        """Answers of a model since the last call whose values are not stored as it spelled them."""
        return 0

    @property
    def name(self) -> str:
        """Name in the pipeline: as given, else by the stage's type."""
        return self.config.name or default_name(self.config.stage)

    def column(self, suffix: str = "") -> str:
        """Full name of one of the stage's columns: a given `name` takes the place of the type's
        prefix.
        """
        prefix = self.config.name or self.prefix
        return f"{prefix}_{suffix}" if prefix and suffix else prefix or suffix

    @classmethod
    def own_seed(cls, config: Any, seed: int) -> int:
        """The seed of a stage that names none, made of the pipeline's."""
        return seed

    def bind(self, schema: pa.Schema) -> None:
        """Learns which columns stand before it, ahead of `reads` and `writes`, in the planner
        alone; raises ValueError where they do not do.
        """

    def reads(self) -> list[str]:
        """Columns without which a row cannot be computed (but for those that it `may_lack`)."""
        raise NotImplementedError

    def may_lack(self) -> list[str]:
        """Those of `reads` that may be null in a row that is computed."""
        return self.reads() if self.takes_nulls else []

    def writes(self) -> pa.Schema:
        """One field per new column, with the field metadata of `pairmill.schemas.arrow.column`."""
        raise NotImplementedError

    def made_by(self, params: dict[str, Any]) -> dict[str, Any]:
        """What a reader of a package should know of how the values were made, for the manifest;
        `params`: the keys that decide values, as the identity has them, without secrets.
        """
        return {}

    note: str = ""
    """How a worker loaded the stage (device, precision), for the report; set by `setup`."""

    def shares(self) -> Hashable | None:
        """Stands for what `setup` loads, where other stages of the process use the same copy: on
        Ray, neighbours with an equal one get the same workers.  None: it is the stage's own.
        """
        return None

    def waits(self) -> bool:
        """Whether the stage mostly waits for others, and one worker is enough for all cores."""
        return self.overlap > 1

    def loads_bytes(self) -> int | None:
        """Bytes that `setup` loads into a process's memory, told by files that are there; 0 where
        that is little, None where it is not known yet.
        """
        return 0

    def notes(self) -> list[str]:
        """What a person should know of it before it runs, one line each, for the plan."""
        return []

    def examine(self) -> list[str]:
        """Looks, before any work, at what `setup` will load; says what was found, one line each.

        Raises PairmillError for what would fail then.
        """
        return []

    def missing_here(self) -> str | None:
        """What its workers need of this machine and would not find, where they run on it."""
        return None

    def imports(self) -> Sequence[str]:
        """Modules that take seconds to import and that `setup` needs: a worker begins with them
        while it waits for its first rows.
        """
        return ()

    def setup(self) -> None:
        """Loads what `__call__` needs."""

    def prepare(self, rows: pa.Table) -> None:
        """Told of the rows of the next call while those of this one wait: to read ahead."""

    def close(self) -> None:
        """Gives back what `setup` took, where the process lives on; on Ray of actors (`actor`,
        `replicas`, GPUs), while light stages end with their process, which asks nobody.
        """

    def abandon(self) -> None:
        """Ends processes of its own at once, where a run ends before its time: the stage may be at
        work, or half set up.  `close` comes after; what is answered meanwhile counts for nothing.
        """

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The new columns (and perhaps `error`), same rows, same order."""
        raise NotImplementedError


class GlobalStage(Stage):
    """A stage that looks at the whole dataset: it gets narrow columns of all living rows.

    `rows` holds `reads()`, `uid`, and `#order` (int64, the row's place in the pool).  Rows that are
    equal in all `keys()` arrive in one call; without keys, all rows do.  The answer for a row must
    not depend on which other keys share its call, so that any number of partitions gives the same
    result.
    """

    def keys(self) -> list[str]:
        """Columns whose equal values must meet."""
        return []


class LinkingStage(GlobalStage):
    """A stage over all rows that connects some of them with others, and answers component by
    component.

    In one process `links` sees all rows, then `answer` does.  Where rows are too many for that,
    `learn` makes one table of what every partition's `sample` gave; `spread` gives each row its
    keys; rows that share a key meet in one call of `links`; and the rows of one component, over all
    calls, meet in one call of `answer`.  A stage that has `keys()` needs none of this: rows that it
    may connect meet anyway.  `total`: rows that the stage looks at, in all partitions.
    """

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        """A small part of some rows, for `learn`; None where nothing has to be learnt."""
        return None

    def learn(self, samples: pa.Table, total: int) -> pa.Table | None:
        """What `spread` and `links` have to know of all rows; the same for any order of samples."""
        return None

    def spread(self, rows: pa.Table, known: pa.Table | None) -> list[Any]:
        """Arrays of keys, each uint64, (n,)."""
        raise NotImplementedError

    def links(self, rows: pa.Table, known: pa.Table | None) -> Any:
        """For each row a number, int64, (n,), that it shares with those it is connected to."""
        raise NotImplementedError

    def answer(self, rows: pa.Table, labels: Any) -> pa.Table:
        """The new columns, for whole components: rows of one share a number of `labels`."""
        raise NotImplementedError

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The new columns, where all rows are there."""
        sample = self.sample(rows, rows.num_rows)
        known = None if sample is None else self.learn(sample, rows.num_rows)
        return self.answer(rows, self.links(rows, known))


class CombiningStage(GlobalStage):
    """A stage over all rows that answers each from a summary of all, too many rows for one call.

    In one process it sees all rows.  Where they are too many, `learn` makes one table of what every
    partition's `sample` gave; each partition's `summary` is made with that; `merged` makes one
    table of all summaries, from which every partition answers its rows.  `sample`, `summary` and
    `answer` run in stages that were not set up.  `total`: rows that the stage looks at.
    """

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        """A small part of some rows, for `learn`; None where nothing has to be learnt."""
        return None

    def learn(self, samples: pa.Table | None, total: int) -> pa.Table:
        """What `summary` has to know; the same for any order of samples."""
        raise NotImplementedError

    def summary(self, rows: pa.Table, known: pa.Table) -> pa.Table:
        """What these rows contribute."""
        raise NotImplementedError

    def merged(self, summaries: pa.Table) -> pa.Table:
        """What all rows come to; the same for any order and any cut of the rows."""
        raise NotImplementedError

    def answer(self, rows: pa.Table, merged: pa.Table) -> pa.Table:
        """The new columns of some rows."""
        raise NotImplementedError

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The new columns, where all rows are there."""
        known = self.learn(self.sample(rows, rows.num_rows), rows.num_rows)
        return self.answer(rows, self.merged(self.summary(rows, known)))


def default_name(stage_type: str) -> str:
    """`my_module:MyStage` → `my_stage`; built-in types are their own names."""
    tail = stage_type.rsplit(":", 1)[-1].removesuffix("Stage") if ":" in stage_type else stage_type
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", tail).lower()
