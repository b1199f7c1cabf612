"""What tells one input from another: the content of its files, remembered by path, size and time of
change.
"""

import os
from collections.abc import Iterable

from pairmill.errors import RunError
from pairmill.schemas.hashing import digest
from pairmill.sources.base import Input, Source, content_digest
from pairmill.workspace.encoding import sealed
from pairmill.workspace.storage import SIGN, Storage

FINGERPRINTS = "tables/fingerprints.json"


def table_id(storage: Storage, source: Source) -> str:
    """Identity of a source's rows: its options and the content of its files (places do not
    count).
    """
    files = [[item.name, found] for item, found in input_digests(storage, source)]
    return digest({**source.options(), "files": files, "format": 3})


def input_digests(storage: Storage, source: Source) -> list[tuple[Input, str]]:
    """Each input file and the hash of its content.

    Hashes are remembered in the workspace, if there is one yet.
    """
    known = fingerprints(storage)
    found, fresh = [], False
    for item in source.inputs():
        key = fingerprint_key(item)
        if key not in known or not item.version:
            known[key], fresh = content_digest(item), True
        found.append((item, known[key]))
    if fresh and storage.exists(SIGN):
        storage.write_json(FINGERPRINTS, sealed(known))
    return found


def fingerprints(storage: Storage) -> dict[str, str]:
    """Hashes of input files that the workspace remembers."""
    return storage.read_json(FINGERPRINTS) if storage.exists(FINGERPRINTS) else {}


def fingerprint_key(item: Input) -> str:
    """What a file is remembered by."""
    return digest([item.url, item.size_bytes, item.version])  # a URL may hold a secret


def check_unchanged(items: Iterable[Input]) -> None:
    """Raises RunError where a local file is another now than when it was listed: what was read of
    it is not what its hash says.
    """
    for item in items:
        if not item.url.startswith("file://") or not item.version:
            continue
        try:
            now = os.stat(item.url.removeprefix("file://"))
        except FileNotFoundError:  # it was read as it was
            continue
        if (now.st_size, str(now.st_mtime)) != (item.size_bytes, item.version):
            raise RunError(
                f"{item.name} was changed while it was read; run the same command again when "
                "nobody writes to it any more"
            )


def is_here(item: Input) -> bool:
    """Whether a file is on this machine as it was listed; what lies elsewhere is on all machines
    alike.
    """
    if not item.url.startswith("file://"):
        return True
    try:
        check_unchanged([item])
        return os.path.exists(item.url.removeprefix("file://"))
    except (OSError, RunError):
        return False


def unread_bytes(storage: Storage, source: Source) -> int:
    """Bytes of local files that `table_id` would have to read, because nothing remembers their
    hashes.
    """
    known = fingerprints(storage)
    return sum(
        i.size_bytes
        for i in source.inputs()
        if i.url.startswith("file://") and (fingerprint_key(i) not in known or not i.version)
    )
