"""Addresses as they are spelled: signatures (S3, Google), thumbor links and percent-encodings mean
their exact bytes, so nothing is quoted, unquoted or put in order on the way to the server.
"""

import re

from yarl import URL

PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#\\]*)([^#]*)")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
BLANK = "".join(map(chr, range(33)))
UNSENDABLE = re.compile(r"[\x00-\x20\x7f-\U0010ffff]")


def as_spelled(address: str) -> URL:
    """The address with its path and query byte for byte.

    What HTTP cannot send (blanks, control characters, what is not ASCII) is percent-encoded as
    browsers do; blanks around the address, its line breaks, its fragment and its user and password
    are left out.  Raises ValueError.
    """
    address = re.sub(r"[\t\r\n]", "", address.strip(BLANK))
    match = PARTS.match(address)
    if match is None:
        return URL(address)  # no authority: what there is tells why it is refused
    scheme, authority, rest = match.groups()
    origin = URL(f"{scheme}://{authority.rpartition('@')[2]}")
    path, mark, query = rest.partition("?")
    path = path.replace("\\", "/") or "/"
    return URL(str(origin.with_path("")) + sendable(path + mark + query), encoded=True)


def sendable(text: str) -> str:
    """Blanks, control characters and what is not ASCII as percent-encoded UTF-8."""

    def quoted(match: re.Match[str]) -> str:
        return "".join(f"%{b:02X}" for b in match.group().encode("utf-8", "surrogateescape"))

    return UNSENDABLE.sub(quoted, text)


def pointed_to(url: URL, location: str) -> URL:
    """Where a redirect from `url` leads (RFC 3986, 5.2), spelled as the server spells it.  Raises
    ValueError.
    """
    location = re.sub(r"[\t\r\n]", "", location.strip(BLANK))
    target, origin = location.partition("#")[0], str(url.origin())
    if not target:
        return url
    if PARTS.match(target):
        return as_spelled(target)
    if target[:2] in ("//", "\\\\"):
        return as_spelled(f"{url.scheme}://{target[2:]}")
    if target[0] in "/\\":
        return as_spelled(origin + target)
    if target[0] == "?":
        return as_spelled(origin + url.raw_path + target)
    if SCHEME.match(target):
        return URL(target)  # of another scheme, or without a host: refused by its name
    path, mark, query = target.partition("?")
    folder = url.raw_path.rpartition("/")[0]
    return as_spelled(origin + without_dots(f"{folder}/{path}") + mark + query)


def without_dots(path: str) -> str:
    """A relative path after `.` and `..` are followed (RFC 3986, 5.2.4)."""
    found: list[str] = []
    parts = path.split("/")
    for i, part in enumerate(parts):
        if part == "..":
            del found[max(1, len(found) - 1) :]
        elif part != ".":
            found.append(part)
        if part in (".", "..") and i == len(parts) - 1:
            found.append("")
    return "/".join(found)


def same_for_lists(url: URL) -> str:
    """One spelling for all that mean the same, to be compared with a blocklist."""
    try:
        return str(URL(str(url)).with_user(None).with_fragment(None))
    except ValueError:
        return str(url)
