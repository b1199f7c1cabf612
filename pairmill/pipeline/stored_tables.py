"""What the workspace knows of a pipeline's rows, and of the elements that its blocks open."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from pairmill.fates.survey import Survey, known_stages
from pairmill.plan.answers import with_stored_answers
from pairmill.plan.blocks import child_chain, with_inside
from pairmill.plan.chain import Chain
from pairmill.plan.identity import identified
from pairmill.schemas.hashing import digest
from pairmill.work.ahead import looks
from pairmill.work.elements import stored_elements
from pairmill.workspace.shards import ShardFacts
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table


@dataclass
class StoredTable:
    """The stages over a table as far as they are known; `waiting`: stage index → rows that wait for
    it (later stages will get at most what passes it), `shards`: the same by shard; `tables`: by
    block, its elements.
    """

    chain: Chain
    waiting: dict[int, int] = field(default_factory=dict)
    tables: dict[str, "StoredTable"] = field(default_factory=dict)
    shards: dict[int, dict[int, int]] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """Whether no row waits for anything."""
        return not self.waiting and known_stages(self.chain) == len(self.chain.stages)

    def every(self) -> Iterator["StoredTable"]:
        """This table, and those of blocks, at whatever depth."""
        yield self
        for table in self.tables.values():
            yield from table.every()

    def named(self, block: str) -> "StoredTable | None":
        """The elements of a block, if they are known."""
        return next(
            (
                t
                for t in self.every()
                if t.chain.elements is not None and t.chain.elements.block.name == block
            ),
            None,
        )


def stored_table(chain: Chain) -> StoredTable:
    """Looks at what is stored, and computes nothing."""
    survey = Survey(chain, looks(Storage(chain.root).local))
    digests: dict[int, str] = {}
    tables: dict[str, StoredTable] = {}
    while (
        len(chain.shard_rows)
        and (first := known_stages(survey.chain)) < len(chain.stages)
        and not survey.waiting()
    ):
        block = survey.chain.stages[first].block
        if block is None:
            digests[first] = survey.population()[0]
            survey.start(with_stored_answers(identified(survey.chain, digests), first)[0])
            continue
        child = stored_child(survey.chain, first)
        if child is None:
            break
        tables[block.name] = stored_table(child)
        if not tables[block.name].decided:
            break
        known = with_inside(survey.chain, first, tables[block.name].chain, digests)
        digests[first] = known.stages[first].population or ""
        survey.start(known)
    waiting = dict(survey.stages_waiting())
    shards = {shard: dict(told.waiting) for shard, told in survey.undecided.items()}
    return StoredTable(survey.chain, waiting, tables, shards)


def stored_child(chain: Chain, index: int) -> Chain | None:
    """The chain of a block whose elements are all stored; None where some are not."""
    over = looks(Storage(chain.root).local)
    facts = list(over(partial(stored_elements, chain, index), chain.shards()))
    shards = [f for f in facts if f is not None]
    return child_chain(chain, index, child_table(chain, index, shards)) if all(facts) else None


def child_table(chain: Chain, index: int, shards: list[ShardFacts]) -> Table:
    """The table of a block's elements: its name follows from what it holds."""
    block = chain.stages[index].block
    assert block is not None
    contents = [[f"{f.name:x}", f"{f.content:x}", sorted(f.digests.items())] for f in shards]
    return Table.of(digest([block.key, block.schema.names, contents]), shards, 0, ())
