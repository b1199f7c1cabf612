"""What every part of a pipeline file has in common: strict models, and marks on fields."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Mark(str):
    """A mark on a config field, read by the planner."""


SPEED = Mark("speed")
"""The field changes how fast or where a value is computed, never the value; it is no part of an
identity.
"""
MODEL = Mark("model")
"""The field names a model: hub id (identity: resolved revision) or folder (identity: its content).
"""
COLUMN = Mark("column")
"""The field names a column, or several, that the stage reads (in `reads`): how they are called is
no
part of its identity, what they hold is.
"""
TEMPLATE = Mark("template")
"""The field is a text with names of columns that the stage reads in braces: the same of these."""
ADDED = Mark("added")
"""The field came after values had been stored without it.  At its default, which means what was
before, it is no part of the identity, so that a new version of pairmill computes nothing again.
"""
PATH = Mark("path")
"""The field names a file or folder, relative to the pipeline file."""
FILE = Mark("file")
"""The field names a file whose content decides values (identity: its content)."""


class Reach(Mark):
    """The field decides no value, but which rows get one: failures of `classes` may end otherwise
    where it is `more` (or `less`, or any `other` than) it was.  An absent limit is the highest.
    """

    way: Literal["more", "less", "other"]
    classes: tuple[str, ...]

    def __new__(cls, way: Literal["more", "less", "other"], *classes: str) -> "Reach":
        made = super().__new__(cls, f"reach {way} {' '.join(classes)}")
        made.way, made.classes = way, classes
        return made

    def frees(self, before: Any, now: Any) -> bool:
        """Whether a change of the field may turn stored failures into values."""
        if self.way == "other":
            return bool(before != now)
        old, new = (float("inf") if value is None else value for value in (before, now))
        return bool(new > old if self.way == "more" else new < old)


def is_ours(module: str) -> bool:
    """Whether a module is pairmill's own."""
    return module.partition(".")[0] == "pairmill"


class Strict(BaseModel):
    """Frozen; unknown keys and wrong types are errors; defaults are checked too."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
    )

    def __init_subclass__(cls, **options: Any) -> None:
        """Pairmill's own models are built when they are first used, and what stands below their
        fields is read when somebody asks for it (schemas/field_docs.py): both take milliseconds for
        each model, of which a command uses few.
        """
        super().__init_subclass__(**options)
        ours = is_ours(cls.__module__)
        cls.model_config["defer_build"] = ours
        cls.model_config["use_attribute_docstrings"] = not ours


class Resources(Strict):
    """What one worker of a stage needs.  Only speed depends on it."""

    cpus: float | None = Field(None, gt=0, le=1024)
    """CPU cores per worker; the stage's own default if absent."""
    gpus: float = Field(0, ge=0, le=64)
    """GPUs per worker; a fraction below 1 shares one GPU."""
    memory: str | None = Field(None, pattern=r"^\d+(\.\d+)?\s*(MB|GB|MiB|GiB)$")
    """RAM per worker, such as `4 GB`, so that Ray does not put too many on one node."""
    replicas: int | Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """Number of workers: `n`, or `[min, max]`."""

    @field_validator("gpus")
    @classmethod
    def _fraction_of_one(cls, value: float) -> float:
        if value > 1 and value % 1:
            raise ValueError("a worker shares one GPU (0.5) or has whole ones (2)")
        return value

    @field_validator("replicas")
    @classmethod
    def _ordered(cls, value: Any) -> Any:
        least, most = value if isinstance(value, list) else (value, value)
        if least is not None and not 1 <= least <= most:
            raise ValueError("write a number from 1 on, or [least, most] in this order")
        return value

    def bounds(self) -> tuple[int, int] | None:
        """(least, most) workers, or None where the user did not say."""
        if self.replicas is None:
            return None
        return (
            (self.replicas, self.replicas)
            if isinstance(self.replicas, int)
            else (self.replicas[0], self.replicas[1])
        )

    def memory_bytes(self) -> int | None:
        """`memory` in bytes, or None where the user did not say."""
        if self.memory is None:
            return None
        unit = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
        number = self.memory.rstrip("BGMi ")
        return int(float(number) * unit[self.memory[len(number) :].strip()])


class StageConfig(Strict):
    """The keys that every stage takes; a stage's own config adds to them."""

    stage: Annotated[str, SPEED]
    """Type of the stage: a built-in name, an entry point's name, or `my_module:MyStage`."""
    name: Annotated[str | None, SPEED] = Field(None, pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """Name of this stage, and prefix of its columns; needed where two stages have one type."""
    keep: Annotated[str | None, SPEED] = None
    """SQL expression over columns (docs/expressions.md); rows for which it is not true go no
    further.
    """
    when: Annotated[str | None, SPEED] = None
    """Expression: the stage computes only these rows; the others pass it and its `keep` by, with
    nulls in its columns.
    """
    on_missing: Annotated[Literal["drop", "keep", "fail"], SPEED] = "drop"
    """What becomes of a row whose inputs are null: it is dropped as `missing`, passes the stage and
    its `keep` by, or fails.
    """
    max_failures: Annotated[float, SPEED] = Field(0.05, ge=0, le=1)
    """Share of rows that may fail before the run stops (looked at from the 20th failure on)."""
    deadline_s: Annotated[float | None, SPEED, Reach("more", "deadline")] = Field(
        3600, gt=0, le=1e8
    )
    """Seconds after which a batch that gives no answer counts as hanging; null waits for ever.  For
    a stage that looks at all rows: seconds for each million rows of a call.
    """
    on_deadline: Annotated[Literal["fail", "stop"], SPEED] = "fail"
    """What becomes of a batch that hangs: the worker starts anew, halves it until the row is found,
    and this row fails as `deadline`; or the run stops and names it.  With `--processes 0`, and for
    stages that look at all rows, the run stops.  Where a stage asks row by row, the late row alone
    is given up, wherever it runs.
    """
    setup_deadline_s: Annotated[float | None, SPEED] = Field(14_400, gt=0, le=1e8)
    """Seconds after which loading the stage (a model that is fetched, as a rule) counts as hanging
    and stops the run; null waits for ever.
    """
    batch_size: Annotated[int, SPEED] = Field(256, ge=1, le=65_536)
    """Rows given to the stage at once."""
    resources: Annotated[Resources, SPEED] = Resources()
    """CPUs, GPUs, memory and number of workers."""
    store: Annotated[Literal["all", "kept"], SPEED] = "all"
    """Whose payload bytes stay in the workspace: of all rows, or of rows that outlive the phase."""

    def elsewhere(self, field: str) -> bool:
        """Whether what a MODEL field names is at a server, so that its name is all there is to
        hash.
        """
        return False


def marks_of(config: type[BaseModel], field: str) -> set[str]:
    """The marks on a field of a config model."""
    return {m for m in config.model_fields[field].metadata if isinstance(m, Mark)}


def value_fields(config: BaseModel) -> dict[str, Any]:
    """The fields that decide values, as they are: all but those marked SPEED, and those marked
    ADDED that are at their default.

    They are hashed (`schemas/hashing.py`) before anything flattens them, so that a value without a
    stable form (a set, NaN, an object) is refused and not turned into one.
    """
    kind = type(config)
    values = {
        name: getattr(config, name)
        for name in kind.model_fields
        if SPEED not in marks_of(kind, name)
    }
    return {
        name: value
        for name, value in values.items()
        if ADDED not in marks_of(kind, name) or value != kind.model_fields[name].default
    }
