"""Texts and addresses made alike, so that what differs in spelling alone is equal."""

import unicodedata
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import polars as pl

TRACKING = ("utm_", "fbclid", "gclid", "msclkid", "mc_cid", "mc_eid", "igshid", "yclid")
"""Beginnings of query parameters that say how a reader came to an address, and not what it is."""
PORTS = {"http": "80", "https": "443"}


def normal_texts(texts: pl.Series) -> pl.Series:
    """NFKC, folded case, punctuation and whitespace as one space, none at the ends."""
    plain = texts.str.normalize("NFKC").str.to_lowercase()
    # marks belong to letters; symbols such as emoji are content
    return plain.str.replace_all(r"[\p{P}\p{Z}\p{C}]+", " ").str.strip_chars()


def normal_urls(urls: pl.Series) -> pl.Series:
    """Addresses without scheme, default port, fragment, tracking parameters and order of the rest,
    with host in small letters, escapes as UTF-8, no slash at the end.
    """
    return urls.map_elements(normal_url, return_dtype=pl.String)


def normal_url(url: str) -> str:
    """One address; what is none is only stripped."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return url.strip()
    if not parts.hostname:
        return url.strip()
    host = unicodedata.normalize("NFKC", parts.hostname).lower().removeprefix("www.").rstrip(".")
    if port is not None and str(port) != PORTS.get(parts.scheme.lower()):
        host = f"{host}:{port}"
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = sorted((k, v) for k, v in pairs if not k.lower().startswith(TRACKING))
    path = unquote(parts.path).rstrip("/")
    return urlunsplit(("", host, path, urlencode(kept), ""))
