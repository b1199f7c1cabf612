"""Looks up hosts, and gives only addresses that may be connected to."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from aiohttp.abc import AbstractResolver

from pairmill.stages.download.addresses import NUMERIC, HostList, Refused, plain_name
from pairmill.stages.download.special_ranges import is_public, nat64_network


class CheckedResolver(AbstractResolver):
    """Resolves a host and refuses it if any of its addresses is not public; the connector uses
    these very addresses.
    """

    def __init__(
        self,
        fixed: dict[str, str],
        private: Sequence[str],
        pool: Executor,
        lookup: Any = socket.getaddrinfo,
        nat64: Sequence[str] = (),
    ) -> None:
        self.fixed = {plain_name(host): target for host, target in fixed.items()}
        self.private, self.pool, self.lookup = HostList(private), pool, lookup
        self.nat64 = [nat64_network(prefix) for prefix in nat64]

    def may_connect(self, host: str, address: str) -> bool:
        """Whether an address is public, or it or its host is in `allow_private_hosts`."""
        return (
            is_public(address, self.nat64)
            or self.private.has_name(host)
            or self.private.has_address(address)
        )

    def target_of(self, host: str) -> str | None:
        """Where the option `resolve` sends a host: by its name, or by the longest `*.suffix`."""
        name = plain_name(host)
        if name in self.fixed:
            return self.fixed[name]
        suffixes = [name[i:] for i, letter in enumerate(name) if letter == "."]
        found = (self.fixed.get(f"*{suffix}") for suffix in suffixes)
        return next((target for target in found if target), self.fixed.get("*"))

    def check_literal(self, host: str) -> None:
        """Refuses a host that is a non-public address itself (such hosts are never looked up)."""
        try:
            allowed = self.may_connect(host, host.strip("[]"))
        except ValueError:
            if NUMERIC.fullmatch(host):  # 2130706433, 127.1, 0x7f.1: the system would take them
                raise Refused(f"{host} is an address in an unusual spelling") from None
            return
        if not allowed and plain_name(host) not in self.fixed:
            raise Refused(f"{host} is no public address")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[Any]:
        """Addresses of a host, or where the option `resolve` sends it, as aiohttp takes them;
        raises Refused where an address is not public, gaierror where there is none.
        """
        target = self.target_of(host)
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
        for address in addresses:
            if not self.may_connect(host, address):
                raise Refused(f"{host} resolves to {address}, which is no public address")
        return [self.entry(host, address, port) for address in addresses]

    def entry(self, host: str, address: str, port: int) -> dict[str, Any]:
        """One address as aiohttp's connector takes it, not to be looked up again."""
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
