"""One address to its bytes: redirects, retries, caps, opt-outs; every end has a class."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import aiohttp
from yarl import URL

from pairmill.errors import first_line
from pairmill.shares import Ask, follow
from pairmill.stages.download.addresses import Refused
from pairmill.stages.download.answers import (
    RETRIED,
    SILENCE,
    classify,
    clean,
    left_alone,
    retry_after,
    status_class,
)
from pairmill.stages.download.blocklists import UrlList
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.hosts import Host, Hosts
from pairmill.stages.download.lenient import MOST_HEAD_BYTES, MOST_HEADERS, lenient
from pairmill.stages.download.opt_out import decision
from pairmill.stages.download.outcome import Fetched
from pairmill.stages.download.resolver import CheckedResolver
from pairmill.stages.download.robots import Robots
from pairmill.stages.download.urls import as_spelled, pointed_to

CHUNK = 2**16
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = {"Accept": "image/*,*/*;q=0.5"}


class Fetcher:
    """Fetches addresses with one connection pool; lives in one event loop."""

    def __init__(self, options: DownloadConfig, lookup: Any, ask: Ask | None = None) -> None:
        self.options = options
        self.lookups = ThreadPoolExecutor(32, thread_name_prefix="dns")
        self.resolver = CheckedResolver(
            options.resolve,
            options.allow_private_hosts,
            self.lookups,
            lookup,
            options.nat64_prefixes,
        )
        connector = aiohttp.TCPConnector(
            limit=options.connections,
            resolver=self.resolver,
            ttl_dns_cache=600,
            ssl=options.tls == "verify",
        )
        self.session = aiohttp.ClientSession(
            connector=lenient(connector),
            headers={"User-Agent": options.user_agent(), **HEADERS},
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=MOST_HEAD_BYTES,
            max_field_size=MOST_HEAD_BYTES,
            max_headers=MOST_HEADERS,
            timeout=aiohttp.ClientTimeout(total=options.timeout),
        )
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
        """Ends the connections and look-ups of names."""
        if self.sharing:
            self.sharing.cancel()
            await asyncio.gather(self.sharing, return_exceptions=True)
        await self.session.close()
        self.lookups.shutdown(wait=False, cancel_futures=True)

    @contextlib.asynccontextmanager
    async def fetch(self, address: str) -> AsyncIterator[Fetched]:
        """Never raises: every failure comes as an error class of the reference list.

        A body keeps its place among the requests in flight, and among those of its host, until the
        caller is done with it: bodies do not pile up before slow decoders, and a host whose
        pictures take long to decode waits for them itself.  A row that waits for its host or for
        its next attempt holds no place.
        """
        found = await self.attempts(address)
        try:
            yield found
        finally:
            if found.host is not None:
                self.in_flight.release()
                found.host.leave()

    def decoded(self, fetched: Fetched, seconds: float, lost: bool) -> None:
        """What decoding a body cost; `lost`: it took the decoder with it, or all of its time."""
        if fetched.host is None:
            return
        fetched.host.cost(seconds)
        if lost:
            o = self.options
            fetched.host.failed("decode", o.host_failures, o.host_pause_s)
        else:
            fetched.host.answered()

    async def attempts(self, address: str) -> Fetched:
        """The last of an address's attempts, its texts cleaned for storing."""
        return clean(await self.tried(address))

    async def tried(self, address: str) -> Fetched:
        """The last of up to `retries` + 1 attempts, with growing pauses or those that the server
        asks for.
        """
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
            url = as_spelled(address)
        except (ValueError, TypeError) as error:
            return Fetched(error=("policy", f"no valid URL: {first_line(error)}"))
        try:
            for _ in range(self.options.max_redirects + 1):
                check_url(url, self.resolver)
                reason = self.blocked_by(url)
                if reason is None and self.robots:
                    reason = await self.robots.refusal(url)
                if reason:
                    return Fetched(error=("policy", reason), final_url=str(url))
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

    def blocked_by(self, url: URL) -> str | None:
        """Why `block_urls` keeps us from an address, or None."""
        entry = self.blocked.find(url) if self.blocked else None
        return f"blocked: {entry} stands in block_urls" if entry else None

    async def hop(self, url: URL) -> Fetched | URL:
        """One request in the turn of its host; a body keeps both places."""
        host = self.hosts.of(url.host or "")
        await host.enter()
        held = True
        try:
            if pause := host.closed_s():
                return Fetched(error=left_alone(host, pause), final_url=str(url), final=True)
            await self.in_flight.acquire()
            found: Fetched | URL | None = None
            try:
                found = await self.request_of(host, url)
                held = not (isinstance(found, Fetched) and found.body is not None)
            finally:
                if held:
                    self.in_flight.release()
        finally:
            if held:
                host.leave()
        if not isinstance(found, Fetched):
            return found
        if found.retry_after_s:
            if found.retry_after_s > self.options.max_retry_after_s:
                host.close_for(found.retry_after_s)
            else:
                host.back_off(found.retry_after_s)
        return found if held else replace(found, host=host)

    async def request_of(self, host: Host, url: URL) -> Fetched | URL:
        """One request, by which the host is known to answer or not."""
        try:
            found = await self.request(url)
        except (OSError, asyncio.TimeoutError, aiohttp.ClientError) as error:
            kind = classify(error, self.options.timeout)[0]
            if kind in SILENCE:
                host.failed(kind, self.options.host_failures, self.options.host_pause_s)
            elif kind == "protocol":
                host.answered()
            raise
        if not isinstance(found, Fetched) or found.body is None:
            host.answered()  # with a body, that is said when it is decoded
        return found

    async def plain(self, url: URL, cap: int) -> tuple[int, bytes]:
        """(status, at most `cap` bytes) of a text file, redirects followed and checked like an
        image's.
        """
        for _ in range(self.options.max_redirects + 1):
            check_url(url, self.resolver)
            if reason := self.blocked_by(url):
                raise Refused(reason)
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
                url = pointed_to(url, response.headers["Location"])
        return 404, b""

    async def request(self, url: URL) -> Fetched | URL:
        """One request; the next URL where the server redirects."""
        async with self.session.get(url, allow_redirects=False) as response:
            if response.status in REDIRECTS and "Location" in response.headers:
                return pointed_to(url, response.headers["Location"])
            robots = response.headers.getall("X-Robots-Tag", [])
            reason, consent = decision(
                robots,
                response.headers.get("tdm-reservation"),
                self.options.agent(),
                self.options.disallowed_header_directives,
            )
            kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
            facts = Fetched(
                status=response.status,
                content_type=kind or None,
                final_url=str(url),
                opt_out=reason,
            )
            if not 200 <= response.status < 300:
                after = retry_after(response.headers.get("Retry-After"))
                missing = " without a Location" if response.status in REDIRECTS else ""
                error = status_class(response.status), f"HTTP {response.status}{missing}"
                return replace(facts, error=error, retry_after_s=after)
            if reason and self.options.opt_out != "allow":
                return replace(facts, error=("policy", f"the server opts out: {reason}"))
            if self.options.opt_out == "require_opt_in" and not consent:
                return replace(facts, error=("policy", "the server does not opt in"))
            return await self.read(response, facts)

    async def read(self, response: aiohttp.ClientResponse, facts: Fetched) -> Fetched:
        """The body, or the error class `too_large` as soon as it exceeds `max_bytes`."""
        cap = self.options.max_bytes
        announced = response.content_length or 0
        if announced > cap:
            message = f"{announced} bytes announced, max_bytes is {cap}"
            return replace(facts, error=("too_large", message))
        if response.content_length is not None and "Content-Encoding" not in response.headers:
            return replace(facts, body=await response.read())  # the protocol ends it there
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > cap:
                response.close()
                return replace(facts, error=("too_large", f"more than max_bytes {cap} bytes"))
        return replace(facts, body=bytes(body))


def check_url(url: URL, resolver: CheckedResolver) -> None:
    """Raises Refused for a scheme other than http(s), no host, or an address that is not public."""
    if url.scheme not in ("http", "https"):
        if not url.scheme:
            raise Refused("this is no address of the web: http:// or https:// is missing")
        raise Refused(f"scheme {url.scheme!r} is not http or https")
    if not url.host:
        raise Refused("no host in the URL")
    resolver.check_literal(url.host)
