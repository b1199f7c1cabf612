"""What tells one input from another: the content of its files, remembered by path, size and times
of change.
"""

import os

from pairmill.errors import RunError
from pairmill.schemas.hashing import digest
from pairmill.sources.base import Input, Source, content_digest
from pairmill.sources.file_looks import stamp_of
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
        key, before = fingerprint_key(item), key_without_stamp(item)
        if key != before and before in known:  # of a workspace of before, taken once
            known.setdefault(key, known.pop(before))
            fresh = True
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
    """What a file is remembered by: one here also by the time that no program sets, as another file
    may have its size and time of change.
    """
    stamp = stamp_of(item)
    return digest([item.url, *stamp[1:]]) if stamp else key_without_stamp(item)


def key_without_stamp(item: Input) -> str:
    """What a file elsewhere is remembered by, and local ones were."""
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
        and (not {fingerprint_key(i), key_without_stamp(i)} & known.keys() or not i.version)
    )
