"""The registrable domain of a host: `img.shop.co.uk` → `shop.co.uk`."""

import ipaddress
from functools import cache, lru_cache
from typing import Any

import polars as pl

KNOWN = 2**17
"""Hosts whose domains are remembered from one shard to the next: most come in many."""


@cache
def suffixes() -> Any:
    """The public suffix list (publicsuffix.org) that the library brings; nothing is fetched."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


@lru_cache(KNOWN)
def domain_of(host: str) -> str:
    """An IP address stands for itself, and so does a host that is a suffix or has no dot."""
    plain = host.strip("[]").rstrip(".")
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        return suffixes().privatesuffix(plain) or plain


def domains(urls: pl.Series) -> pl.Series:
    """The domain of each address; null where there is none."""
    host = urls.str.extract(r"(?i)^[a-z][a-z0-9+.-]*://(?:[^/@?#]*@)?(\[[^\]]*\]|[^/:?#]+)", 1)
    host = host.str.to_lowercase()
    known = host.drop_nulls().unique()
    names = pl.Series([domain_of(h) for h in known], dtype=pl.String)
    return host.replace_strict(known, names, default=None, return_dtype=pl.String)
