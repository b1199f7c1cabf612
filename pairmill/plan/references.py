"""What a model or file reference stands for: a hub model's resolved revision, a folder's or file's
content.
"""

import contextlib
import functools
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from pairmill.errors import StageBroken
from pairmill.models.fetching import hub_reason
from pairmill.models.files import DESCRIBED, checkpoint_folder, read_json
from pairmill.models.mended import PADDED_BEHIND, mends_of, pads_before
from pairmill.schemas.config import FILE, MODEL, marks_of

LOADED = "transformers"
"""The engine that loads a model as stages without an engine do."""
COMMIT = re.compile(r"^[0-9a-f]{40}$")


class BadReference(ValueError):
    """A model or file that a config names is not there; the message says where it was looked for.

    `field`: the key that names it.
    """

    field: str | None = None


def resolve_references(config: Any) -> tuple[Any, dict[str, Any]]:
    """(config with hub revisions pinned, field → what stands for it in the identity); raises
    BadReference.
    """
    facts: dict[str, Any] = {}
    for field in type(config).model_fields:
        marks = marks_of(type(config), field)
        value = getattr(config, field)
        if value is None or config.elsewhere(field):
            continue
        pin = "revision" if field == "model" else f"{field}_revision"
        try:
            if MODEL in marks:
                facts[field] = model_identity(value, getattr(config, pin, None))
                here = field == "model" and getattr(config, "engine", LOADED) == LOADED
                if here and (mends := mends_in(value, facts[field].get("revision"), config)):
                    facts[field]["mended"] = " ".join(mends)
            elif FILE in marks:
                facts[field] = content_of(value)
        except BadReference as error:
            error.field = field
            raise
        if MODEL in marks and "revision" in facts[field] and pin in type(config).model_fields:
            config = config.model_copy(update={pin: facts[field]["revision"]})
    return config, facts


def mends_in(model: str, revision: str | None, config: Any) -> list[str]:
    """What is mended of a model where it is loaded by a stage with this config; nothing where its
    description is not to be had: then it does not load, either.
    """
    try:
        folder = checkpoint_folder(model, revision, weights=False)
        description = read_json(folder, "config.json")
        words = read_json(folder, "tokenizer_config.json")
    except (StageBroken, OSError, ValueError):
        return []
    asked, own = hasattr(config, "temperature"), getattr(config, "trust_remote_code", False)
    found = mends_of(
        description,
        asked=asked,
        sampled=getattr(config, "temperature", 0) > 0,
        several=asked and names_several(getattr(config, "image", None)),
    )
    if not (asked or own) and pads_before(description, words):
        found.append(PADDED_BEHIND)
    return found


def names_several(images: Any) -> bool:
    """Whether a stage's `image` names several columns: rows surely have several pictures."""
    return isinstance(images, list) and len(images) > 1


NO_FILES = hashlib.sha256().hexdigest()
"""What `content_of` gives for a mapping that names nothing."""


def content_of(value: Any) -> dict[str, str]:
    """The digest of a file, or of all files, folders and packages of a mapping."""
    if not isinstance(value, dict):
        return {"content": file_digest(value)}
    h = hashlib.sha256()
    for name, path in sorted(value.items()):
        manifest = os.path.join(path, "manifest.json")  # holds the digests of a package's files
        if os.path.isfile(manifest):
            path = manifest
        content = folder_digest(path) if os.path.isdir(path) else file_digest(path)
        h.update(f"{name}\0{content}\n".encode())
    return {"content": h.hexdigest()}


def model_identity(model: str, revision: str | None) -> dict[str, str]:
    """`{model, revision}` of a hub model, `{content}` of a local folder."""
    if model.startswith(("/", ".", "~")) or os.path.isdir(model):
        if not os.path.isdir(model):
            raise BadReference(f"the model folder {model!r} does not exist")
        if not any(os.path.exists(f"{model}/{name}") for name in DESCRIBED):
            raise BadReference(f"the model folder {model!r} has no config.json")
        return {"content": folder_digest(model)}
    return {"model": model, "revision": hub_revision(model, revision)}


@functools.cache
def hub_revision(model: str, revision: str | None) -> str:
    """The commit that `revision` (default: main) of a hub model stands for.

    The local cache is asked first, so that a model that is there needs no hub, and stays what it
    was; name a commit to move on.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

    if revision and COMMIT.match(revision):
        return revision
    folder = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"
    cached = folder / "refs" / (revision or "main")
    if cached.exists():
        commit = cached.read_text().strip()
        if (folder / "snapshots" / commit).exists() or HF_HUB_OFFLINE:
            return commit
    if HF_HUB_OFFLINE:
        raise BadReference(
            f"model {model!r} is neither a folder nor in the local cache ({HF_HUB_CACHE}), and "
            "HF_HUB_OFFLINE is set"
        )
    try:
        commit = str(HfApi().model_info(model, revision=revision, timeout=10).sha)
    except Exception as error:  # no network, no such model, no right to it
        raise BadReference(
            f"model {model!r} is no folder, is not in the local cache, and the hub does not give "
            f"it: {hub_reason(error)}"
        ) from None
    with contextlib.suppress(OSError):  # the cache's own note of what a branch stood for
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(commit)
    return commit


def folder_digest(folder: str) -> str:
    """SHA-256 over names and contents of a folder's files."""
    h = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):
            h.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(str(path))}\n".encode())
    return h.hexdigest()


def file_digest(path: str) -> str:
    """SHA-256 of a file's bytes; raises BadReference."""
    try:
        stat = os.stat(path)
        if not os.path.isfile(path):
            raise BadReference(f"{path!r} is no file")
    except OSError as error:
        raise BadReference(f"the file {path!r} cannot be read: {error.strerror}") from None
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _digest(path: str, size: int, mtime_ns: int) -> str:
    h = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(2**20):
            h.update(chunk)
    return h.hexdigest()
