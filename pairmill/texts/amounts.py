"""Numbers of things, as people say them."""


def amount(count: int, thing: str) -> str:
    """`1 shard`, `1,200 shards`: a number and a regular English noun."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
