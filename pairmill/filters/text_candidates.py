"""Several texts for one row: the columns that hold them, and the keys that name these."""

from typing import Any

import pyarrow as pa

from pairmill.schemas.arrow import is_list
from pairmill.schemas.config import StageConfig


class CandidatesConfig(StageConfig):
    """The keys of stages that choose among texts."""

    candidates: str | list[str]
    """Column with lists of texts (`samples:` of `caption` makes one), or several columns."""

    def names(self) -> list[str]:
        """The columns."""
        return [self.candidates] if isinstance(self.candidates, str) else list(self.candidates)


def check_candidates(config: CandidatesConfig, schema: pa.Schema) -> None:
    """Raises ValueError where the columns hold no texts to choose among."""
    for name in config.names():
        if name not in schema.names:
            continue  # the planner tells
        kind = schema.field(name).type
        texts = kind.value_type if is_list(kind) else kind
        plain = pa.types.is_string(texts) or pa.types.is_large_string(texts)
        if not plain or is_list(kind) != isinstance(config.candidates, str):
            raise ValueError(
                f"candidates: {name!r} is {kind}; name one column with lists of texts, or a list "
                "of "
                "columns with one text each"
            )


def candidates_of(rows: pa.Table, config: CandidatesConfig) -> list[list[str | None]]:
    """The texts of each row, absent and blank ones as None; none where there is no list."""
    if isinstance(config.candidates, str):
        lists: Any = rows.column(config.candidates).to_pylist()
    else:
        lists = zip(*(rows.column(n).to_pylist() for n in config.candidates), strict=True)
    return [[there(text) for text in values or ()] for values in lists]


def there(text: str | None) -> str | None:
    """A text that says something, else None: models answer with nothing, now and then."""
    return text if text and not text.isspace() else None
