"""Which addresses may be connected to: checked on the very address that the connection then uses."""

import asyncio
import re
import socket
from concurrent.futures import Executor
from fnmatch import fnmatch
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from aiohttp.abc import AbstractResolver

NAT64 = 0x0064FF9B << 96
NUMERIC = re.compile(r"(?:0[xX][0-9a-fA-F]*|\d+)(?:\.(?:0[xX][0-9a-fA-F]*|\d+))*\.?")


class Refused(OSError):
    """An address or URL that policy does not let us fetch."""


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address inside an IPv4-mapped, -compatible, 6to4, NAT64 or Teredo address."""
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    number = int(address)
    if number >> 32 == NAT64 >> 32 or (number >> 32 == 0 and number > 0xFFFF):
        return IPv4Address(number & 0xFFFFFFFF)
    return None


def is_public(text: str) -> bool:
    """Whether an address is a unicast address of the public internet, its embedded IPv4 address
    included.
    """
    address = ip_address(text.split("%", 1)[0])
    if isinstance(address, IPv6Address):
        inner = embedded_ipv4(address)
        if inner is not None and not is_public(str(inner)):
            return False
        if address.is_site_local:
            return False
        if inner is not None:
            return True
    return address.is_global and not address.is_multicast and not address.is_reserved


class CheckedResolver(AbstractResolver):
    """Resolves a host and refuses it if any of its addresses is not public; the connector uses
    these very addresses.
    """

    def __init__(
        self,
        fixed: dict[str, str],
        private: list[str],
        pool: Executor,
        lookup: Any = socket.getaddrinfo,
    ) -> None:
        self.fixed, self.private, self.pool, self.lookup = fixed, private, pool, lookup

    def may_be_private(self, host: str) -> bool:
        return any(fnmatch(host, pattern) for pattern in self.private)

    def check_literal(self, host: str) -> None:
        """Refuses a host that is a non-public address itself (such hosts are never looked up)."""
        try:
            public = is_public(host.strip("[]"))
        except ValueError:
            if NUMERIC.fullmatch(
                host
            ):  # 2130706433, 127.1, 0x7f.1: the system's own look-up would take them
                raise Refused(f"{host} is an address in an unusual spelling") from None
            return
        if not public and not self.may_be_private(host) and host not in self.fixed:
            raise Refused(f"{host} is no public address")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[Any]:
        target = self.fixed.get(host)
        if target is None:
            target = next(
                (
                    t
                    for pattern, t in self.fixed.items()
                    if "*" in pattern and fnmatch(host, pattern)
                ),
                None,
            )
        if target is not None:
            address, port = split_target(target, port)
            return [self.entry(host, address, port)]
        loop = asyncio.get_running_loop()
        infos = await loop.run_in_executor(
            self.pool, lambda: self.lookup(host, port, family, socket.SOCK_STREAM)
        )
        addresses = list(dict.fromkeys(info[4][0] for info in infos))
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        if not self.may_be_private(host):
            for address in addresses:
                if not is_public(address):
                    raise Refused(f"{host} resolves to {address}, which is no public address")
        return [self.entry(host, address, port) for address in addresses]

    def entry(self, host: str, address: str, port: int) -> dict[str, Any]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return {
            "hostname": host,
            "host": address,
            "port": port,
            "family": family,
            "proto": 0,
            "flags": socket.AI_NUMERICHOST,
        }

    async def close(self) -> None:
        """Nothing to close: the pool belongs to the caller."""


def split_target(target: str, port: int) -> tuple[str, int]:
    """`address`, `address:port` or `[v6]:port`."""
    if target.startswith("["):
        address, _, rest = target[1:].partition("]")
        return address, int(rest[1:]) if rest else port
    if target.count(":") == 1:
        address, _, number = target.partition(":")
        return address, int(number)
    return target, port
