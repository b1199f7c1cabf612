"""One address to its bytes: redirects, retries, caps, opt-outs; every way it can end has a class."""

import asyncio
import contextlib
import random
import re
import socket
import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from yarl import URL

from pairmill.errors import first_line
from pairmill.stages.download.addresses import CheckedResolver, Refused
from pairmill.stages.download.blocklists import UrlList
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.hosts import Host, Hosts
from pairmill.stages.download.opt_out import decision
from pairmill.stages.download.robots import Robots
from pairmill.stages.download.shares import Ask, follow

RETRIED = {"timeout", "connect", "http_429", "http_5xx", "dns_busy"}
CHUNK = 2**16
CREDENTIALS = re.compile(r"//[^/@\s'\"]*@")
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Fetched:
    """What became of an address; `error` is (class, message), and then there is no body."""

    body: bytes | None = None
    error: tuple[str, str] | None = None
    status: int | None = None
    content_type: str | None = None
    final_url: str | None = None
    opt_out: str | None = None
    retry_after_s: float | None = None
    final: bool = False
    """Another attempt would end alike."""


class Fetcher:
    """Fetches addresses with one connection pool; lives in one event loop."""

    def __init__(
        self, options: DownloadConfig, lookup: Any = socket.getaddrinfo, ask: Ask | None = None
    ) -> None:
        self.options = options
        self.lookups = ThreadPoolExecutor(32, thread_name_prefix="dns")
        self.resolver = CheckedResolver(
            options.resolve, options.allow_private_hosts, self.lookups, lookup
        )
        connector = aiohttp.TCPConnector(
            limit=options.connections, resolver=self.resolver, ttl_dns_cache=600, force_close=False
        )
        self.session = aiohttp.ClientSession(
            connector=connector, headers={"User-Agent": options.user_agent(), "Accept": "image/*,*/*;q=0.5"}, auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, max_field_size=2**15,
            timeout=aiohttp.ClientTimeout(total=options.timeout),
        )  # fmt: skip
        self.hosts = Hosts(options.host_connections, options.host_rate, shared=ask is not None)
        self.sharing = asyncio.ensure_future(follow(self.hosts, ask)) if ask else None
        self.in_flight = asyncio.Semaphore(options.connections)
        self.blocked = UrlList.read(options.block_urls) if options.block_urls else None
        self.robots = (
            Robots(self.plain, options.agent(), options.host_pause_s)
            if options.robots_txt
            else None
        )

    async def close(self) -> None:
        if self.sharing:
            self.sharing.cancel()
            await asyncio.gather(self.sharing, return_exceptions=True)
        await self.session.close()
        self.lookups.shutdown(wait=False, cancel_futures=True)

    @contextlib.asynccontextmanager
    async def fetch(self, address: str) -> AsyncIterator[Fetched]:
        """Never raises: every failure comes as an error class of the reference list.

        A body keeps its place among the requests in flight until the caller is done with it, so
        that bodies do not pile up before slow decoders.  A row that waits for its host or for its
        next attempt holds no place.
        """
        found = await self.attempts(address)
        try:
            yield found
        finally:
            if found.body is not None:
                self.in_flight.release()

    async def attempts(self, address: str) -> Fetched:
        return clean(await self.tried(address))

    async def tried(self, address: str) -> Fetched:
        found = Fetched()
        for attempt in range(self.options.retries + 1):
            found = await self.attempt(address)
            kind = found.error[0] if found.error else None
            if kind not in RETRIED or attempt == self.options.retries or found.final:
                break
            pause = self.options.backoff_s * 2**attempt * random.uniform(0.5, 1.5)
            if found.retry_after_s is not None:
                if found.retry_after_s > self.options.max_retry_after_s:
                    break  # the host is closed for longer than this row waits
                pause = found.retry_after_s + random.uniform(0, 0.25)
            await asyncio.sleep(pause)
        if found.error and found.error[0] == "dns_busy":
            found = replace(found, error=("dns", found.error[1]))
        return found

    async def attempt(self, address: str) -> Fetched:
        """One attempt, over all redirects; a found body holds a place in flight."""
        try:
            url = URL(address)
        except (ValueError, TypeError) as error:
            return Fetched(error=("policy", f"no valid URL: {first_line(error)}"))
        try:
            for _ in range(self.options.max_redirects + 1):
                check_url(url, self.resolver)
                if self.blocked and (entry := self.blocked.find(url)):
                    return Fetched(
                        error=("policy", f"blocked: {entry} stands in block_urls"),
                        final_url=str(url.with_user(None)),
                    )
                if self.robots and (reason := await self.robots.refusal(url)):
                    return Fetched(error=("policy", reason), final_url=str(url.with_user(None)))
                found = await self.hop(url)
                if isinstance(found, Fetched):
                    return found
                url = found
            return Fetched(
                error=("policy", f"more than {self.options.max_redirects} redirects"),
                final_url=str(url),
            )
        except Exception as error:  # the web finds every kind; classified, none is lost
            return Fetched(error=classify(error, self.options.timeout))

    async def hop(self, url: URL) -> Fetched | URL:
        host = self.hosts.of(url.host or "")
        async with host.turn():
            if pause := host.closed_s():
                return Fetched(error=left_alone(host, pause), final_url=str(url), final=True)
            await self.in_flight.acquire()
            found: Fetched | URL | None = None
            try:
                found = await self.request(url)
            except (OSError, asyncio.TimeoutError, aiohttp.ClientError) as error:
                kind = classify(error, self.options.timeout)[0]
                if kind in ("timeout", "connect"):
                    host.failed(kind, self.options.host_failures, self.options.host_pause_s)
                raise
            else:
                host.answered()
            finally:
                if not isinstance(found, Fetched) or found.body is None:
                    self.in_flight.release()
        if isinstance(found, Fetched) and found.retry_after_s:
            if found.retry_after_s > self.options.max_retry_after_s:
                host.close_for(found.retry_after_s)
            else:
                host.back_off(found.retry_after_s)
        return found

    async def plain(self, url: URL, cap: int) -> tuple[int, bytes]:
        """(status, at most `cap` bytes) of a text file, redirects followed and checked like an
        image's.
        """
        for _ in range(self.options.max_redirects + 1):
            check_url(url, self.resolver)
            async with (
                self.hosts.of(url.host or "").turn(),
                self.session.get(url, allow_redirects=False) as response,
            ):
                if response.status not in REDIRECTS or "Location" not in response.headers:
                    body = bytearray()
                    async for chunk in response.content.iter_chunked(CHUNK):
                        body += chunk
                        if len(body) > cap:
                            response.close()
                            break
                    return response.status, bytes(body[:cap])
                url = redirected(url, response)
        return 404, b""

    async def request(self, url: URL) -> Fetched | URL:
        """One request; the next URL where the server redirects."""
        async with self.session.get(url, allow_redirects=False) as response:
            if response.status in REDIRECTS and "Location" in response.headers:
                return redirected(url, response)
            robots = response.headers.getall("X-Robots-Tag", [])
            reason, consent = decision(
                robots,
                response.headers.get("tdm-reservation"),
                self.options.agent(),
                self.options.disallowed_header_directives,
            )
            facts = Fetched(
                status=response.status, content_type=response.headers.get("Content-Type", "").split(";")[0].strip().lower() or None,
                final_url=str(url.with_user(None)), opt_out=reason,
            )  # fmt: skip
            if response.status != 200:
                after = retry_after(response.headers.get("Retry-After"))
                return replace(
                    facts,
                    error=(status_class(response.status), f"HTTP {response.status}"),
                    retry_after_s=after,
                )
            if reason and self.options.opt_out != "allow":
                return replace(facts, error=("policy", f"the server opts out: {reason}"))
            if self.options.opt_out == "require_opt_in" and not consent:
                return replace(facts, error=("policy", "the server does not opt in"))
            return await self.read(response, facts)

    async def read(self, response: aiohttp.ClientResponse, facts: Fetched) -> Fetched:
        cap = self.options.max_bytes
        if (response.content_length or 0) > cap:
            return replace(
                facts,
                error=(
                    "too_large",
                    f"{response.content_length} bytes announced, max_bytes is {cap}",
                ),
            )
        if response.content_length is not None and "Content-Encoding" not in response.headers:
            return replace(facts, body=await response.read())  # the protocol ends it there
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > cap:
                response.close()
                return replace(facts, error=("too_large", f"more than max_bytes {cap} bytes"))
        return replace(facts, body=bytes(body))


def redirected(url: URL, response: aiohttp.ClientResponse) -> URL:
    """Where the server points to; names and passwords in it are not ours to use or to keep."""
    return url.join(URL(response.headers["Location"])).with_user(None).with_fragment(None)


def clean(found: Fetched) -> Fetched:
    """What servers sent as text that can be stored: valid Unicode, without names and passwords of
    addresses.
    """

    def text(value: str | None) -> str | None:
        return (
            None
            if value is None
            else CREDENTIALS.sub("//", value.encode("utf-8", "replace").decode())
        )

    error = found.error and (found.error[0], text(found.error[1]) or "")
    return replace(
        found,
        error=error,
        content_type=text(found.content_type),
        final_url=text(found.final_url),
        opt_out=text(found.opt_out),
    )


def left_alone(host: Host, pause_s: float) -> tuple[str, str]:
    """The error of a row whose host is closed now."""
    if host.down:
        return (
            host.down,
            f"the host did not answer {host.silent} times in a row; it is left alone for {pause_s:.0f} s more",
        )
    return "http_429", f"the host asked for a pause; {pause_s:.0f} s of it are left"


def check_url(url: URL, resolver: CheckedResolver) -> None:
    if url.scheme not in ("http", "https"):
        raise Refused(f"scheme {url.scheme or 'none'!r} is not http or https")
    if not url.host:
        raise Refused("no host in the URL")
    resolver.check_literal(url.host)


def status_class(status: int) -> str:
    if status == 429:
        return "http_429"
    return "http_5xx" if status >= 500 else "http_4xx"


def retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header: a number or an HTTP date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):
        return None


def classify(error: BaseException, timeout_s: float) -> tuple[str, str]:
    """The error class of whatever the network stack raised."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, Refused):
            return "policy", first_line(seen)
        if isinstance(seen, ssl.SSLError | aiohttp.ClientSSLError | ssl.CertificateError):
            return "tls", first_line(seen)
        if isinstance(seen, socket.gaierror):
            busy = seen.errno == socket.EAI_AGAIN
            return "dns_busy" if busy else "dns", first_line(seen)
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, asyncio.TimeoutError | TimeoutError | aiohttp.ServerTimeoutError):
        return "timeout", f"no complete answer in {timeout_s:g} s"
    if isinstance(error, aiohttp.InvalidURL | ValueError | UnicodeError):
        return "policy", f"no valid URL: {first_line(error)}"
    return "connect", f"{type(error).__name__}: {first_line(error)}"
