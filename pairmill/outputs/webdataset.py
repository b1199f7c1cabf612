"""WebDataset tars by the conventions of img2dataset and DataComp."""

from typing import Annotated, Any, BinaryIO, Literal

import pyarrow as pa
from pydantic import Field

from pairmill.outputs.base import (
    OutputFile,
    Writer,
    bytes_file,
    json_bytes,
    json_value,
    parquet_file,
)
from pairmill.schemas.config import SPEED
from pairmill.schemas.pipeline import OutputConfig

STATUS = "success"


class WebDatasetOutputConfig(OutputConfig):
    """`00000.tar` with `<key>.jpg`, `<key>.txt`, `<key>.json`, beside it `00000.parquet` and
    `00000_stats.json`.
    """

    type: Annotated[Literal["webdataset"], SPEED] = "webdataset"
    image: str = "image"
    """Column with the encoded images."""
    caption: str | list[str] = Field(["text"], min_length=1)
    """The `.txt`: a preference list such as `[fused, synthetic, text]`, or an SQL expression that
    gives a text.
    """
    shard_digits: int = Field(5, ge=4, le=12)
    """Digits of shard names; DataComp's resharder wants 8."""


class WebDatasetWriter(Writer):
    """Keys are shard number and place (`000010042`), unique in the package; members of a sample
    stand together.
    """

    Config = WebDatasetOutputConfig
    reserved = ("caption", "key", "status", "error_message")

    def files(self, rows: pa.Table, shard: int, first_key: int) -> list[OutputFile]:
        digits = self.config.shard_digits
        name = f"{shard:0{digits}d}"
        width = len(str(self.config.samples_per_shard - 1))
        captions = self.choice.of(rows)
        images = rows.column(self.config.image)
        facts = rows.drop_columns([self.config.image]).to_pylist()
        metas = [
            self.meta(f, c, f"{name}{i:0{width}d}")
            for i, (f, c) in enumerate(zip(facts, captions, strict=True))
        ]

        def write_tar(stream: BinaryIO) -> None:
            for i, (meta, caption) in enumerate(zip(metas, captions, strict=True)):
                data = images[i].as_py()
                stream.write(tar_member(f"{meta['key']}.{suffix(data)}", data))
                if caption is not None:
                    stream.write(
                        tar_member(f"{meta['key']}.txt", caption.encode("utf-8", "surrogatepass"))
                    )
                stream.write(tar_member(f"{meta['key']}.json", json_bytes(meta)))
            stream.write(bytes(TAR_END))

        stats = {
            "count": len(metas),
            "successes": len(metas),
            "failed_to_download": 0,
            "failed_to_resize": 0,
            "status_dict": {STATUS: len(metas)},
        }
        sidecar = parquet_file(f"{name}.parquet", self.sidecar(rows, metas, captions))
        return [
            OutputFile(f"{name}.tar", write_tar),
            sidecar,
            bytes_file(f"{name}_stats.json", json_bytes(stats)),
        ]

    def meta(self, facts: dict[str, Any], caption: str | None, key: str) -> dict[str, Any]:
        """The sample's `.json`: img2dataset's fields first, then every quality column."""
        plain = {name: json_value(value) for name, value in facts.items()}
        width, height = (plain.get("width"), plain.get("height"))
        first = {
            "uid": plain.get("uid"), "key": key, "url": plain.get("url"), "caption": caption, "status": STATUS, "error_message": None,
            "width": width, "height": height,
            "original_width": plain.get("original_width", width), "original_height": plain.get("original_height", height),
            "exif": plain.get("exif"), "sha256": plain.get("sha256"),
        }  # fmt: skip
        return {**first, **{k: v for k, v in plain.items() if k not in first}}

    def sidecar(
        self, rows: pa.Table, metas: list[dict[str, Any]], captions: list[str | None]
    ) -> pa.Table:
        """All rows of the shard with their typed columns; rows that were not kept stand in the
        run's ledger.
        """
        n = rows.num_rows
        dims = {
            name: pa.array([m[name] for m in metas], pa.int32())
            for name in ("width", "height", "original_width", "original_height")
        }
        columns: dict[str, Any] = {
            "url": pa.array([m["url"] for m in metas], pa.string()), "caption": pa.array(captions, pa.string()),
            "key": pa.array([m["key"] for m in metas], pa.string()), "status": pa.array([STATUS] * n, pa.string()),
            "error_message": pa.nulls(n, pa.string()), **dims,
            "exif": pa.array([m["exif"] for m in metas], pa.string()), "sha256": pa.array([m["sha256"] for m in metas], pa.string()),
        }  # fmt: skip
        for name in rows.schema.names:
            if name not in columns and name != self.config.image:
                columns[name] = rows.column(name)
        return pa.table(columns)

    def closing_files(self, shards: list[dict[str, Any]]) -> list[OutputFile]:
        """`sizes.json` as open_clip reads it."""
        sizes = {
            f["name"]: s["samples"]
            for s in shards
            for f in s["files"]
            if f["name"].endswith(".tar")
        }
        return [bytes_file("sizes.json", json_bytes(sizes))]


def suffix(data: bytes) -> str:
    """The file suffix that the bytes deserve."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] == b"GIF8":
        return "gif"
    return "jpg"


def tar_member(name: str, data: bytes) -> bytes:
    """A USTAR member (POSIX.1-1988) without time or owner, so that bytes repeat; ten times as fast
    as `tarfile`.
    """
    header = TAR_HEADER.copy()
    header[: len(name)] = name.encode("ascii")
    header[124:136] = b"%011o\0" % len(data)
    header[148:156] = b"%06o\0 " % (sum(header) + 8 * 32)
    return b"".join((header, data, bytes(-len(data) % 512)))


def tar_header() -> bytearray:
    """What all members share: mode 0444, owner and time 0, a plain file; name, size and checksum
    still zero.
    """
    header = bytearray(512)
    header[100:108] = b"0000444\0"
    header[108:116] = header[116:124] = b"0000000\0"
    header[136:148] = b"%011o\0" % 0
    header[156:157] = b"0"
    header[257:265] = b"ustar\x0000"
    header[329:337] = header[337:345] = b"0000000\0"
    return header


TAR_HEADER = tar_header()
TAR_END = 1024
"""Zero bytes at a tar's end."""
