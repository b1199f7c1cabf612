"""Lists of what is never stored: addresses and domains, hashes of files, perceptual hashes of
pictures.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from yarl import URL

from pairmill.errors import RunError
from pairmill.stages.download.pdq import pdq
from pairmill.stages.download.urls import same_for_lists
from pairmill.texts.files import lines_in


def entries(path: str) -> list[tuple[int, str]]:
    """(line number, first word) of every line that is neither empty nor a `#` comment; raises
    RunError.
    """
    try:
        lines = list(lines_in(Path(path).read_bytes()))
    except (OSError, ValueError) as error:
        raise RunError(f"blocklist {path} cannot be read: {error}") from None
    found = []
    for n, line in lines:
        words = line.split() if "://" in line else line.replace(",", " ").split()
        if words and not words[0].startswith("#"):
            found.append((n, words[0]))
    return found


def host_name(url: URL) -> str:
    """The host as the DNS knows it: punycode, lower case, no dot at its end."""
    return (url.raw_host or "").lower().rstrip(".")


@dataclass(frozen=True)
class UrlList:
    """Whole addresses (with `://`) and domains; a domain stands for its subdomains, too."""

    urls: frozenset[str]
    domains: frozenset[str]

    @classmethod
    def read(cls, path: str) -> "UrlList":
        """The list in a file; raises RunError with the line of an entry that is neither address nor
        domain.
        """
        urls, domains = set(), set()
        for line, word in entries(path):
            try:
                if "://" in word:
                    urls.add(same_for_lists(URL(word)))
                else:
                    domains.add(
                        host_name(URL.build(scheme="http", host=word.removeprefix("*.").strip(".")))
                    )
            except ValueError as error:
                raise RunError(
                    f"{path} line {line}: {word[:70]!r} is neither an address nor a domain: {error}"
                ) from None
        return cls(frozenset(urls), frozenset(domains))

    def find(self, url: URL) -> str | None:
        """The entry that blocks an address, or None."""
        if same_for_lists(url) in self.urls:
            return "the address"
        labels = host_name(url).split(".")
        for i in range(len(labels)):
            if (domain := ".".join(labels[i:])) in self.domains:
                return f"the domain {domain}"
        return None


@dataclass(frozen=True)
class HashList:
    """SHA-256 (64 hex digits) and MD5 (32) of raw bytes."""

    sha256: frozenset[str]
    md5: frozenset[str]

    @classmethod
    def read(cls, path: str) -> "HashList":
        """The list in a file; raises RunError with the line of an entry that is neither."""
        found: dict[int, set[str]] = {32: set(), 64: set()}
        for line, word in entries(path):
            if len(word) not in found or not is_hex(word):
                raise RunError(
                    f"{path} line {line}: {word[:70]!r} is neither a SHA-256 (64 hex digits) "
                    "nor an MD5 (32)"
                )
            found[len(word)].add(word.lower())
        return cls(frozenset(found[64]), frozenset(found[32]))

    def find(self, sha256: str, md5: str | None) -> str | None:
        """The kind of hash by which a body is blocked, or None; `md5` may be None where the list
        has none.
        """
        if sha256 in self.sha256:
            return "SHA-256"
        return "MD5" if md5 in self.md5 else None


@dataclass(frozen=True)
class PdqList:
    """256-bit PDQ hashes, (n, 4) uint64, and the Hamming distance in bits within which a picture
    counts as the same.
    """

    hashes: np.ndarray
    radius: int

    @classmethod
    def read(cls, path: str, radius: int) -> "PdqList":
        """The list in a file; raises RunError with the line of an entry that is no PDQ hash."""
        rows = []
        for line, word in entries(path):
            if len(word) != 64 or not is_hex(word):
                raise RunError(f"{path} line {line}: {word[:70]!r} is no PDQ hash (64 hex digits)")
            rows.append(np.frombuffer(bytes.fromhex(word), ">u8"))
        return cls(np.array(rows, np.uint64).reshape(-1, 4), radius)

    def nearest(self, image: Image.Image) -> int | None:
        """Distance to the nearest entry within the radius, or None."""
        if not len(self.hashes):
            return None
        own = np.frombuffer(pdq(image.convert("RGB"))[0], ">u8").astype(np.uint64)
        distance = int(np.bitwise_count(self.hashes ^ own).sum(1).min())
        return distance if distance <= self.radius else None


def is_hex(word: str) -> bool:
    """Whether all letters of a word are hexadecimal digits, of either case."""
    return all(c in "0123456789abcdefABCDEF" for c in word)
