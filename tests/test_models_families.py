"""Families of docs/models.md, tiny: loads, equals direct calls, batch = one by one, hostile
texts do no harm.
"""

from pathlib import Path

import families
import pytest
from tiny_models.heads import HEADS
from tiny_models.talkers import TALKERS
from tiny_models.towers import TOWERS

SLOW = "OWLv2 (detector)"
"""Its processor blurs large pictures for minutes; benchmarks/families.py has it."""
FAMILIES = [
    *(name for name in TOWERS if name != SLOW),
    *HEADS,
    *(name for name in TALKERS if TALKERS[name].each_time),
]
PAGE = (Path(__file__).parent.parent / "docs/models.md").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_family_is_right_and_the_page_says_so(family: str) -> None:
    row = next(families.rows_of([family]))
    assert row.right(), row
    assert families.table([row]).splitlines()[-1] in PAGE, "run benchmarks/families.py --write"
