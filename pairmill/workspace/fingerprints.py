"""What tells one input from another: the content of its files, remembered by path, size and time of
change.
"""

import os

from pairmill.errors import RunError
from pairmill.schemas.hashing import digest
from pairmill.sources.base import Input, Source, content_digest
from pairmill.sources.unchanged import as_listed, check_unchanged
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
        if item.beside:
            found.append((item, content_digest(item)))
            continue
        key = fingerprint_key(item)
        if key not in known or not item.version:
            with as_listed([item]):
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
        if not i.beside
        and i.url.startswith("file://")
        and (fingerprint_key(i) not in known or not i.version)
    )
