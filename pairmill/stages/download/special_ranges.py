"""Addresses that are no part of the public internet, from a table of our own.

Python's `ipaddress` has another table in nearly every patch version.  Sources: IANA's IPv4 and IPv6
Special-Purpose Address Registries and Global Unicast registry (RFC 6890 and its successors, as of
2025), RFC 7526 (6to4 relays, withdrawn), RFC 9637 (3fff::/20), RFC 6052 and RFC 8215 (NAT64),
RFC 5214 (ISATAP); the providers' own documents for their metadata services.
"""

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network

SPECIAL_V4 = {
    IPv4Network("0.0.0.0/8"): "this network",
    IPv4Network("10.0.0.0/8"): "private use",
    IPv4Network("100.64.0.0/10"): "shared by carriers; Alibaba's metadata",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("168.63.129.16/32"): "Azure's metadata and wire server",
    IPv4Network("169.254.0.0/16"): "link-local; metadata of most clouds",
    IPv4Network("172.16.0.0/12"): "private use",
    IPv4Network("192.0.0.0/24"): "IETF protocols; Oracle's metadata",
    IPv4Network("192.0.2.0/24"): "documentation",
    IPv4Network("192.88.99.0/24"): "6to4 relays",
    IPv4Network("192.168.0.0/16"): "private use",
    IPv4Network("198.18.0.0/15"): "benchmarks",
    IPv4Network("198.51.100.0/24"): "documentation",
    IPv4Network("203.0.113.0/24"): "documentation",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved; broadcast",
}
GLOBAL_V6 = IPv6Network("2000::/3")
"""All global unicast addresses there are; loopback, private, link-local and multicast ones lie
elsewhere.
"""
SPECIAL_V6 = {
    IPv6Network("2001::/23"): "IETF protocols; Teredo",
    IPv6Network("2001:db8::/32"): "documentation",
    IPv6Network("3fff::/20"): "documentation",
}
MAPPED = IPv6Network("::ffff:0:0/96")
SIX_TO_FOUR = IPv6Network("2002::/16")
NAT64 = IPv6Network("64:ff9b::/96")
ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""Upper half of the interface identifiers that carry an IPv4 address in the lower."""
NAT64_LENGTHS = (32, 40, 48, 56, 64, 96)


def is_public(text: str, nat64: Sequence[IPv6Network] = ()) -> bool:
    """Whether an address is a unicast address of the public internet, the IPv4 address inside it
    included.  `nat64`: the site's own prefixes, in which the IPv4 address alone counts.
    """
    address = ip_address(text.split("%", 1)[0])
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    for network in (MAPPED, SIX_TO_FOUR, NAT64, *nat64):
        if address in network:
            return is_public(str(inside(address, network)))
    number = int(address)
    if number >> 32 & 0xFFFF_FFFF in ISATAP and not is_public(str(last_bits(number))):
        return False
    return address in GLOBAL_V6 and not any(address in network for network in SPECIAL_V6)


def inside(address: IPv6Address, network: IPv6Network) -> IPv4Address:
    """The IPv4 address that follows the prefix of a network; byte 8 is no part of it (RFC 6052,
    2.2).
    """
    if network.prefixlen == 16:  # 6to4 has no such byte
        return last_bits(int(address) >> 80)
    content = address.packed
    start = network.prefixlen // 8
    rest = content[start:] if start > 8 else content[start:8] + content[9:]
    return IPv4Address(rest[:4])


def last_bits(number: int) -> IPv4Address:
    """The IPv4 address in the lowest 32 bits."""
    return IPv4Address(number & 0xFFFF_FFFF)


def nat64_network(text: str) -> IPv6Network:
    """Raises ValueError for what is no prefix of RFC 6052."""
    network = IPv6Network(text)
    if network.prefixlen not in NAT64_LENGTHS:
        lengths = ", ".join(f"/{n}" for n in NAT64_LENGTHS)
        raise ValueError(f"{text}: a NAT64 prefix has one of the lengths {lengths}")
    return network


def network_of(text: str) -> Network | None:
    """An address or CIDR as a network; None where it is neither."""
    try:
        return ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
