"""What a source is: input files, the columns they give, and their rows in order."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import fsspec
import pyarrow as pa

from pairmill.addresses import without_credentials
from pairmill.errors import RunError
from pairmill.schemas.pipeline import SourceConfig

URL_NAMES = ("url", "image_url", "img_url", "image", "src", "link")
TEXT_NAMES = ("text", "caption", "alt", "alt_text", "title", "description")
UID_NAMES = ("uid", "sample_id", "id", "key")
# Facts that the input claims about its images; the pipeline measures its own, so these get another
# name.
CLAIMS = {
    "width",
    "height",
    "original_width",
    "original_height",
    "sha256",
    "md5",
    "status",
    "error_message",
    "exif",
    "mime_type",
}
CLAIM_PREFIX = "declared_"


class NoInput(RunError):
    """A source's path matches nothing, or nothing in it can be read."""


@dataclass(frozen=True)
class Input:
    """One input file: name relative to the others, bytes, and what tells one version from another."""

    name: str
    url: str
    size_bytes: int
    version: str


@dataclass(frozen=True)
class Unreadable:
    """An input row that could not be read: where it stands, and why; `rows` where it stands for
    several.
    """

    location: str
    reason: str


class Source:
    """Reads input files into Arrow tables whose columns are those of `schema`."""

    Config: ClassVar[type[SourceConfig]]

    def __init__(self, config: Any) -> None:
        self.config = config

    def inputs(self) -> list[Input]:
        """The input files, in name order; raises NoInput where there are none."""
        patterns = [self.config.path] if isinstance(self.config.path, str) else self.config.path
        found = [item for pattern in patterns for item in expand(pattern)]
        if not found:
            raise NoInput(f"source path {', '.join(patterns)} matches no file")
        return found

    def schema(self) -> pa.Schema:
        """The columns that `read` gives, beside those that the pool adds."""
        raise NotImplementedError

    def read(self) -> Iterator[pa.Table | Unreadable]:
        """Rows in the order of the input; every row that cannot be read comes as Unreadable."""
        raise NotImplementedError


def expand(pattern: str) -> list[Input]:
    """The files behind a path, glob or fsspec URL."""
    system, path = fsspec.core.url_to_fs(pattern)
    names = (
        system.glob(path)
        if any(c in path for c in "*?[")
        else [path]
        if system.exists(path)
        else []
    )
    files = []
    for name in sorted(names):
        info = system.info(name)
        if info["type"] == "directory":
            files += [
                i for i in expand(f"{pattern.rstrip('/')}/*") if not i.name.startswith(("_", "."))
            ]
            continue
        version = next(
            (
                str(info[k])
                for k in ("ETag", "etag", "mtime", "LastModified", "updated")
                if info.get(k)
            ),
            "",
        )
        files.append(
            Input(
                name.rsplit("/", 1)[-1], system.unstrip_protocol(name), info["size"] or 0, version
            )
        )
    return files


def content_digest(item: Input) -> str:
    """SHA-256 of a local file's bytes; of name, size and version for what lies elsewhere."""
    if not item.url.startswith("file://"):
        return hashlib.sha256(
            f"{without_credentials(item.url)}|{item.size_bytes}|{item.version}".encode()
        ).hexdigest()
    with open(item.url.removeprefix("file://"), "rb") as stream:
        return (
            hashlib.file_digest(stream, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else digest_of(stream)
        )


def digest_of(stream: Any) -> str:
    h = hashlib.sha256()
    while chunk := stream.read(2**20):
        h.update(chunk)
    return h.hexdigest()


def column_names(found: list[str], mapping: dict[str, str], image: bool) -> dict[str, str]:
    """Input column → pool column.  An explicit mapping (ours: theirs) comes first, then the names
    of known data sets.
    """
    names = {theirs: ours for ours, theirs in mapping.items()}
    taken = set(mapping)
    lower = {name.lower(): name for name in reversed(found)}
    for ours, known in (("url", URL_NAMES), ("text", TEXT_NAMES), ("uid", UID_NAMES)):
        if ours in taken:
            continue
        for candidate in known:
            theirs = lower.get(candidate)
            if theirs is not None and theirs not in names and not (candidate == "image" and image):
                names[theirs] = ours
                taken.add(ours)
                break
    for theirs in found:
        if theirs not in names:
            plain = (
                "".join(c if c.isalnum() else "_" for c in theirs.lower()).strip("_") or "column"
            )
            ours = CLAIM_PREFIX + plain if plain in CLAIMS else plain
            while ours in taken:
                ours += "_"
            names[theirs] = ours
            taken.add(ours)
    return names
