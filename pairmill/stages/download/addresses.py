"""Hosts and addresses as a pipeline file names them."""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from pairmill.stages.download.special_ranges import network_of

NUMERIC = re.compile(r"(?:0[xX][0-9a-fA-F]*|\d+)(?:\.(?:0[xX][0-9a-fA-F]*|\d+))*\.?")
NAME = re.compile(r"(?:\*\.)?[^\s*/:@?\[\]]+")


class Refused(OSError):
    """An address or URL that policy does not let us fetch."""


class HostList:
    """Hosts by exact name, by `*.suffix`, and by address or CIDR."""

    def __init__(self, entries: Sequence[str]) -> None:
        self.networks = [n for e in entries if (n := network_of(e)) is not None]
        self.names = {plain_name(e) for e in entries if network_of(e) is None}

    def has_name(self, host: str) -> bool:
        """Whether a host stands in the list by its name, or lies under a `*.suffix`."""
        host = plain_name(host)
        parents = (host[i:] for i, letter in enumerate(host) if letter == ".")
        return host in self.names or any(f"*{parent}" in self.names for parent in parents)

    def has_address(self, text: str) -> bool:
        """An IPv4 address counts in its IPv6 form (::ffff:…), too."""
        address = ip_address(text.split("%", 1)[0])
        forms = [address, getattr(address, "ipv4_mapped", None)]
        return any(form in network for form in forms if form for network in self.networks)


def plain_name(host: str) -> str:
    """As the DNS knows it: lower case, punycode, no dot at its end."""
    host = host.strip().lower().rstrip(".")
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host


def host_entry(text: str) -> str:
    """An entry of `allow_private_hosts` as it stands; raises ValueError where it is no host name,
    no `*.suffix`, no address and no CIDR (`10.*` is a name under the domain 10).
    """
    if network_of(text) is not None:
        return text
    if not NAME.fullmatch(text) or NUMERIC.fullmatch(text.removeprefix("*.")):
        raise ValueError(
            f"{text!r} is no host: name it in full (`cdn.internal`), by its domain (`*.internal`), "
            "or by address or network (`10.0.0.0/8`)"
        )
    return text
