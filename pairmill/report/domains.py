"""The registrable domain of a host: `img.shop.co.uk` → `shop.co.uk`."""

import ipaddress
from functools import cache
from typing import Any

import polars as pl

PLAIN = r"^[A-Za-z][A-Za-z0-9+.-]*://([A-Za-z0-9.-]+)(?:[/?#]|$)"
"""Nearly every address, in a quarter of the time: neither user, port, brackets nor other letters
stand before its path.
"""
ANY = r"(?i)^[a-z][a-z0-9+.-]*://(?:[^/@?#]*@)?(\[[^\]]*\]|[^/:?#]+)"


@cache
def rules() -> dict[str, list[str]]:
    """The public suffix list (publicsuffix.org) that the library brings, by last label; nothing is
    fetched.
    """
    from publicsuffixlist import PSLFILE

    found: dict[str, list[str]] = {}
    with open(PSLFILE, encoding="utf-8") as lines:
        for line in lines:
            if (rule := line.strip().split(" ")[0]) and not rule.startswith("//"):
                found.setdefault(last_label(rule), []).append(rule)
    return found


@cache
def suffixes(last: str) -> Any:
    """The part of the list that tells of hosts with a last label: the whole takes the library
    longer to read than a small report takes otherwise.
    """
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(rules().get(last, []))


def last_label(host: str) -> str:
    """In ASCII, small letters; as it stands where that cannot be."""
    label = host.rpartition(".")[2].lower()
    if label.isascii():
        return label
    try:
        return label.encode("idna").decode("ascii")
    except UnicodeError:
        return label


def domain_of(host: str) -> str:
    """An IP address stands for itself, and so does a host that is a suffix or has no dot."""
    plain = host.strip("[]").rstrip(".")
    if ":" in plain or plain[-1:].isdigit():  # no other host is an IP address
        try:
            return str(ipaddress.ip_address(plain))
        except ValueError:
            pass
    return suffixes(last_label(plain)).privatesuffix(plain) or plain


def hosts(urls: pl.Series) -> pl.Series:
    """The host of each address, in small letters; null where there is none."""
    found = urls.str.extract(PLAIN, 1)
    odd = found.is_null() & urls.is_not_null()
    if odd.any():
        found = found.zip_with(~odd, urls.set(~odd, None).str.extract(ANY, 1))
    return found.str.to_lowercase()


def domains(hosts: pl.Series) -> pl.Series:
    """The domain of each host, in as many calls as there are different ones; null where there is
    none.
    """
    known = hosts.drop_nulls().unique()
    names = pl.Series([domain_of(h) for h in known.to_list()], dtype=pl.String)
    return hosts.replace_strict(known, names, default=None, return_dtype=pl.String)
