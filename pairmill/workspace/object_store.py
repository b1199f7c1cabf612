"""Writes to an object store: whole objects, and, where that matters, only over the version that was
read.

pyarrow lists, deletes and reads columns of large files; it can neither make a write depend on what
is there nor give up an upload that broke, and asks twice for a small file, so obstore writes
objects and reads small ones.  Both are told by the same URL where the store is.
"""

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from pairmill.errors import MissingPackage, RunError, first_line

CLIENT = {"timeout": "5m", "connect_timeout": "10s"}
"""One request, its body included: a shard's images are a single one."""
ANONYMOUS = (
    '{"gcs_base_url": "%s", "disable_oauth": true, "client_email": "", "private_key": "", '
    '"private_key_id": ""}'
)
WRITTEN = (fs.S3FileSystem, fs.GcsFileSystem)
"""pyarrow's names of the stores that obstore is asked for; others are read by pyarrow alone, and
not written to.
"""
Version = dict[str, Any] | None
"""What tells an object's content from any other that it had or will have; None where there is none.
"""


class Objects:
    """The objects of one bucket; paths begin with its name, as pyarrow's do."""

    def __init__(self, url: str, filesystem: fs.FileSystem) -> None:
        self.store = opened(url, filesystem)
        self.conditional = True
        """Whether the store takes conditions at all."""

    def read(self, path: str) -> tuple[pa.Buffer | None, Version]:
        """Content and version; raises OSError."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = obstore.get(self.store, key(path))
            version = {k: v for k in (("e_tag"), ("version")) if (v := found.meta[k]) is not None}  # type: ignore[literal-required]
            return pa.py_buffer(found.bytes()), version
        except FileNotFoundError:
            return None, None
        except BaseError as error:
            raise os_error(error) from None

    def read_small(self, path: str, most: int) -> pa.Buffer | None:
        """An object of up to `most` bytes, in one request; None where it is larger.  Raises
        OSError.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = obstore.get(self.store, key(path), options={"range": (0, most)})
            return None if found.meta["size"] > most else pa.py_buffer(found.bytes())
        except BaseError as error:
            raise os_error(error) from None

    def write(self, path: str, content: bytes | pa.Buffer | IO[bytes]) -> None:
        """Whole or not at all, whatever breaks meanwhile; raises OSError."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            obstore.put(self.store, key(path), body(content))
        except BaseError as error:
            raise os_error(error) from None

    def replace(self, path: str, content: bytes | pa.Buffer, version: Version) -> bool:
        """Writes only over the version that was read; False where another write came first.  Raises
        OSError.
        """
        import obstore
        from obstore.exceptions import (
            AlreadyExistsError,
            BaseError,
            NotSupportedError,
            PreconditionError,
        )

        if self.conditional:
            mode: Any = "create" if version is None else version
            try:
                obstore.put(self.store, key(path), body(content), mode=mode, use_multipart=False)
                return True
            except (AlreadyExistsError, PreconditionError):
                return False
            except BaseError as error:
                if not isinstance(error, NotSupportedError) and "NotImplemented" not in str(error):
                    raise os_error(error) from None
                self.conditional = False
        self.write(path, content)
        return True

    def keeps_conditions(self, path: str) -> bool:
        """Whether the store refuses a write where there is something, and one over another version
        than was read, if told to: some ignore one wish or both.  `path`: an object to try with.
        """
        if not self.replace(path, b"1", None) or self.replace(path, b"2", None):
            return False
        _, first = self.read(path)
        return self.replace(path, b"3", first) and not self.replace(path, b"4", first)


def credentials() -> frozenset[tuple[str, str]]:
    """The variables that clients of object stores read."""
    return frozenset((k, v) for k, v in os.environ.items() if k.startswith(("AWS_", "GOOGLE_")))


@lru_cache(64)
def connected(url: str, variables: frozenset[tuple[str, str]]) -> tuple[fs.FileSystem, str]:
    """File system and path of a URL; one connection for all who ask in this process, as long as the
    variables stay.
    """
    return fs.FileSystem.from_uri(url)


@lru_cache(64)
def objects_of(url: str, variables: frozenset[tuple[str, str]]) -> Objects:
    """Objects of a URL's bucket, one client a process for as long as the variables stay."""
    return Objects(url, connected(url, variables)[0])


def body(content: bytes | pa.Buffer | IO[bytes]) -> Any:
    """As obstore takes it: of Arrow's buffers it wants unsigned bytes."""
    return memoryview(content).cast("B") if isinstance(content, pa.Buffer) else content


def key(path: str) -> str:
    """An object's key in its bucket, from a path that begins with the bucket."""
    return path.partition("/")[2]


def os_error(error: Exception) -> OSError:
    """obstore's error as Python's own, so that callers need not know who wrote."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    kind = (
        PermissionError
        if isinstance(error, PermissionDeniedError | UnauthenticatedError)
        else OSError
    )
    return kind(first_line(error))


def opened(url: str, filesystem: fs.FileSystem) -> Any:
    """obstore's client of a URL's bucket."""
    from obstore.store import GCSStore, S3Store

    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    endpoint = (
        f"{options.get('scheme', 'https')}://{options['endpoint_override']}"
        if "endpoint_override" in options
        else None
    )
    if isinstance(filesystem, fs.S3FileSystem):
        endpoint = (
            endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        )
    client: Any = {**CLIENT, "allow_http": (endpoint or "").startswith("http://")}
    bucket = parts.netloc.rpartition("@")[2]
    if isinstance(filesystem, fs.S3FileSystem):
        config: Any = {"region": filesystem.region or "us-east-1"}
        if endpoint:
            config["endpoint"] = endpoint
        if parts.username and parts.password:
            config |= {
                "access_key_id": unquote(parts.username),
                "secret_access_key": unquote(parts.password),
            }
            return S3Store(bucket, config=config, client_options=client)
        return S3Store(bucket, config=config, client_options=client, credential_provider=profile())
    if isinstance(filesystem, fs.GcsFileSystem):
        config = {"service_account_key": ANONYMOUS % endpoint} if endpoint else {}
        return GCSStore(bucket, config=config, client_options=client)
    raise RunError(
        f"{parts.scheme}:// can be read from and not written to; use s3://, gs://, or a mounted "
        "folder"
    )


def profile() -> Callable[[], Any] | None:
    """Credentials from the files that AWS's own tools write (profiles, sign-in), as pyarrow takes
    them; None where variables or the machine's role give them.
    """
    names = (
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        ("AWS_CONFIG_FILE", "~/.aws/config"),
    )
    secrets, settings = (
        Path(os.environ.get(name, usual)).expanduser().is_file() for name, usual in names
    )
    if os.environ.get("AWS_ACCESS_KEY_ID") or not (secrets or settings):
        return None
    try:
        from botocore.session import Session
    except ModuleNotFoundError as error:
        if error.name != "botocore":
            raise
        if (
            not secrets
        ):  # settings may be no more than a region, and the machine's role give the rest
            return None
        raise MissingPackage(
            "botocore", "a workspace on S3 with credentials from ~/.aws", "cloud"
        ) from None
    found = Session().get_credentials()
    if found is None:
        return None

    def fresh() -> dict[str, Any]:
        now = found.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(timezone.utc) + timedelta(minutes=5),
        }

    return fresh
