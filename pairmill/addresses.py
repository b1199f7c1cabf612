"""Addresses of files and images: what of them may be stored and shown."""

import re
from urllib.parse import urlsplit, urlunsplit

BROKEN = re.compile(r"^(\s*[a-z][\w+.-]{0,30}:/{2,3})[^/?#]*@", re.IGNORECASE)


def without_credentials(url: str | None) -> str | None:
    """The URL without `user:password@`: a secret has no place in a data set."""
    if url is None or "@" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:  # broken addresses carry passwords, too
        return BROKEN.sub(r"\1", url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]))
