"""Which conditions decide whether a column has a value: a stage that may lack it hangs on them."""

from collections.abc import Iterable, Sequence

from pairmill.plan.planned import PlannedStage


def conditions_of(columns: Iterable[str], earlier: Sequence[PlannedStage]) -> list[PlannedStage]:
    """The stages whose `when` decides whether there are values in some columns, in order: that of
    the stage that writes one, and those of what it cannot do without.
    """
    found: dict[int, PlannedStage] = {}
    waiting, seen = list(columns), set[str]()
    while waiting:
        column = waiting.pop()
        writer = next((s for s in earlier if column in s.writes.names), None)
        if column in seen or writer is None:
            continue
        seen.add(column)
        if writer.when:
            found[writer.index] = writer
            waiting += writer.when.columns
        waiting += [name for name in writer.reads if name not in writer.stage.may_lack()]
    return [found[index] for index in sorted(found)]
