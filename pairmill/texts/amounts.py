"""Numbers of things, as people say them."""

import re
from collections.abc import Mapping


def amount(count: int, thing: str) -> str:
    """`1 shard`, `1,200 shards`: a number and a regular English noun."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def counted(count: int, plural: str) -> str:
    """`3 webp pictures were encoded`, `1 webp picture was encoded`: a number before words whose
    subject, the first or second of them, is a regular plural.
    """
    if count == 1:
        plural = re.sub(r"^((?:\S+ )?[^\W\d_]+?)s\b", r"\1", plural, count=1)
        verb = re.search(r"\b(?:were|are)\b", plural)
        if verb is not None:
            singular = "was" if verb.group() == "were" else "is"
            plural = plural[: verb.start()] + singular + plural[verb.end() :]
    return f"{count:,} {plural}"


def commonest(counts: Mapping[str, int], most: int) -> str:
    """`dns ×9, timeout ×4, others ×3`: the most frequent by name, the others in one number, so that
    the numbers add up.
    """
    named = sorted(counts.items(), key=lambda item: -item[1])
    kept = named if len(named) <= most + 1 else named[:most]
    rest = sum(count for _, count in named[len(kept) :])
    told = [*kept, ("others", rest)] if rest else kept
    return ", ".join(f"{name} ×{count:,}" for name, count in told)


def hundredths(value: float) -> str:
    """`12.30`, `0.0042`: dollars or hours, with two digits that count of the smallest, too."""
    return f"{value:,.2f}" if value >= 0.095 or not value else f"{value:.2g}"
