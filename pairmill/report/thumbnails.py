"""Small pictures for the gallery.  The pipeline's next report takes those of pictures that are the
same, byte for byte, as they are: decoding and encoding them is most of what a gallery costs.
"""

import base64
import io
from hashlib import blake2b

import PIL
import pyarrow as pa

from pairmill.errors import PairmillError
from pairmill.images import DecodeError, decode_rgb
from pairmill.workspace.contents import thumbnails_of
from pairmill.workspace.storage import Storage

SIDE_PX, QUALITY = 192, 72
MADE = f"{SIDE_PX} {QUALITY} {PIL.__version__}".encode()[:16]
"""What decides a thumbnail beside the picture."""
SCHEMA = pa.schema([("picture", pa.string()), ("jpeg", pa.large_binary())])


class Thumbnails:
    """Thumbnails by a digest of the picture's bytes; threads may share it.  `fates/` holds those of
    the pipeline's last report; where they are damaged or gone they are made anew.
    """

    def __init__(self, storage: Storage, pipeline: str) -> None:
        self.storage, self.name = storage, thumbnails_of(pipeline)
        self.known: dict[str, bytes] = {}
        self.shown: dict[str, bytes] = {}
        """Those of this report; empty where the bytes are no picture."""
        try:
            lines = storage.read_table(self.name, SCHEMA.names).cast(SCHEMA)
        except (FileNotFoundError, PairmillError, pa.ArrowException):
            return
        self.known = dict(zip(*(c.to_pylist() for c in lines.columns), strict=True))

    def of(self, data: bytes | None) -> str | None:
        """A small JPEG as a data URL; None where there is no picture."""
        if data is None:
            return None
        key = blake2b(data, digest_size=16, person=MADE).hexdigest()
        jpeg = self.shown[key] = self.known.get(key) or made(data)
        return as_url(jpeg)

    def keep(self) -> None:
        """Remembers those of this report."""
        if self.shown.keys() != self.known.keys():
            columns = [list(self.shown), list(self.shown.values())]
            self.storage.write_table(self.name, pa.table(columns, schema=SCHEMA))


def thumbnail(data: bytes | None) -> str | None:
    """A small JPEG made anew, as a data URL; None where there is no picture."""
    return as_url(made(data)) if data is not None else None


def as_url(jpeg: bytes) -> str | None:
    """A JPEG as it stands in a page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode() if jpeg else None


def made(data: bytes) -> bytes:
    """A JPEG made anew, no larger than SIDE_PX; empty where bytes are no picture."""
    try:
        image = decode_rgb(data)
    except DecodeError:
        return b""
    image.thumbnail((SIDE_PX, SIDE_PX))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
