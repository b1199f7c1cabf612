"""What became of an address: the answer as the columns tell it, and the class of every way to
fail.
"""

import asyncio
import re
import socket
import ssl
from dataclasses import replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.http_exceptions import (
    ContentLengthError,
    HttpProcessingError,
    TransferEncodingError,
)

from pairmill.errors import first_line
from pairmill.stages.download.addresses import Refused
from pairmill.stages.download.hosts import Host
from pairmill.stages.download.outcome import Fetched

CREDENTIALS = re.compile(r"//[^/@\s'\"]*@")
RETRIED = {"timeout", "connect", "http_429", "http_5xx", "dns_busy"}
CUT_OFF = (ContentLengthError, TransferEncodingError)
"""The connection ended before the body did."""
SILENCE = {"timeout", "connect"}
"""Classes after which nobody can say that the host answered."""


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
        what = "did not answer" if host.down in SILENCE else "sent what decoders died of"
        times = f"{host.silent} times in a row; it is left alone for {pause_s:.0f} s more"
        return host.down, f"the host {what} {times}"
    return "http_429", f"the host asked for a pause; {pause_s:.0f} s of it are left"


def status_class(status: int) -> str:
    """The error class of a status that is neither 2xx nor a redirect that can be followed."""
    if status == 429:
        return "http_429"
    if status < 400:
        return "protocol"
    return "http_5xx" if 500 <= status < 600 else "http_4xx"


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
        if isinstance(seen, CUT_OFF):
            return "connect", f"the answer is cut off: {unparsed(seen)}"
        if isinstance(seen, HttpProcessingError | aiohttp.ClientResponseError):
            return "protocol", f"the answer cannot be parsed: {unparsed(seen)}"
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, asyncio.TimeoutError | TimeoutError | aiohttp.ServerTimeoutError):
        return "timeout", f"no complete answer in {timeout_s:g} s"
    if isinstance(error, aiohttp.InvalidURL | ValueError | UnicodeError):
        return "policy", f"no valid URL: {first_line(error)}"
    return "connect", f"{type(error).__name__}: {first_line(error)}"


def unparsed(error: HttpProcessingError | aiohttp.ClientResponseError) -> str:
    """What the parser says, in one line."""
    return " ".join(error.message.split())[:200]
