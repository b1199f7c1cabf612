"""Raw bytes to an image or the reason why there is none: hashes, blocklists, decoding.  Runs in the
decoder's process.
"""

import hashlib
from dataclasses import dataclass

from PIL import Image

from pairmill.errors import first_line
from pairmill.images import DecodeError, NotAnImage
from pairmill.stages.download.blocklists import HashList, PdqList
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.imaging import Stored, TooLarge, Unwanted, process


@dataclass(frozen=True)
class Examined:
    """SHA-256 of the raw bytes, the other hash that was asked for, and the image or (error class,
    message).
    """

    sha256: str
    other_hash: str | None
    stored: Stored | None
    error: tuple[str, str] | None
    decoder_lost: bool = False
    """The decoder died on it, or took longer than it may."""


class Examiner:
    """Holds the blocklists; one call a body, which never raises."""

    def __init__(self, options: DownloadConfig) -> None:
        self.options = options
        self.hashes = HashList.read(options.block_hashes) if options.block_hashes else None
        self.pdq = (
            PdqList.read(options.block_pdq, options.block_pdq_radius) if options.block_pdq else None
        )

    def __call__(self, body: bytes, expected: str | None) -> Examined:
        sha256 = hashlib.sha256(body).hexdigest()
        other = (
            None
            if self.options.compute_hash == "sha256"
            else digest(body, self.options.compute_hash)
        )
        try:
            return Examined(sha256, other, self.image(body, sha256, expected), None)
        except NotAnImage as error:
            return Examined(sha256, other, None, ("not_image", str(error)))
        except TooLarge as error:
            return Examined(sha256, other, None, ("too_large", str(error)))
        except Unwanted as error:
            return Examined(sha256, other, None, ("policy", str(error)))
        except (DecodeError, MemoryError) as error:
            return Examined(
                sha256, other, None, ("decode", str(error) or "not enough memory to decode")
            )
        except Exception as error:  # decoders and encoders raise many kinds
            return Examined(
                sha256, other, None, ("decode", f"{type(error).__name__}: {first_line(error)}")
            )

    def image(self, body: bytes, sha256: str, expected: str | None) -> Stored:
        """The image as it is stored; raises Unwanted for a blocked or unexpected hash, and what
        decoding raises.
        """
        if self.hashes is not None and (
            found := self.hashes.find(sha256, digest(body, "md5") if self.hashes.md5 else None)
        ):
            raise Unwanted(f"blocked: its {found} stands in block_hashes")
        if expected:
            kind = {32: "md5", 64: "sha256", 128: "sha512"}.get(len(expected), "sha256")
            found = sha256 if kind == "sha256" else digest(body, kind)
            if found != expected.lower():
                raise Unwanted(f"{kind} is {found}, not the expected {expected}")
        return process(body, self.options, self.check_picture if self.pdq is not None else None)

    def check_picture(self, image: Image.Image) -> None:
        """Raises Unwanted for a picture within the PDQ radius of a blocked one."""
        if self.pdq is not None and (distance := self.pdq.nearest(image)) is not None:
            raise Unwanted(f"blocked: PDQ distance {distance} to an entry of block_pdq")


def digest(body: bytes, kind: str) -> str:
    """Hash of a body in hexadecimal; `kind`: a name that hashlib knows."""
    return hashlib.new(kind, body, usedforsecurity=False).hexdigest()
