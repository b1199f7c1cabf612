"""Numbers of things, as people say them."""


def amount(count: int, thing: str) -> str:
    """`1 shard`, `1,200 shards`: a number and a regular English noun."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def hundredths(value: float) -> str:
    """`12.30`, `0.0042`: dollars or hours, with two digits that count of the smallest, too."""
    return f"{value:,.2f}" if value >= 0.095 or not value else f"{value:.2g}"
