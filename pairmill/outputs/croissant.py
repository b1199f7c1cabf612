"""A package's croissant.json: its files, columns and pictures in the Croissant 1.0 vocabulary of
MLCommons, which data catalogues read.
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pairmill.outputs.base import Loading
from pairmill.outputs.values import is_list
from pairmill.schemas.arrow import doc_of

CR = "http://mlcommons.org/croissant/"
TERMS = (
    "citeAs column conformsTo equivalentProperty extract field fileProperty fileObject fileSet "
    "format includes isLiveDataset jsonPath key md5 parentField path recordSet references regex "
    "repeated replace samplingRate separator source subField transform"
).split()
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": CR,
    "rai": f"{CR}RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{t: f"cr:{t}" for t in TERMS},
    "conformsTo": "dct:conformsTo",
}
MEDIA = {
    "tar": "application/x-tar",
    "parquet": "application/x-parquet",
    "json": "application/json",
    "jsonl": "application/jsonlines",
    "csv": "text/csv",
    "md": "text/markdown",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "yaml": "application/yaml",
}
DATA = "data-files"
PICTURES = "pictures"


def croissant(
    manifest: dict[str, Any], files: list[dict[str, Any]], loading: Loading, columns: pa.Schema
) -> bytes:
    """JSON-LD; every figure is the manifest's.  `columns`: those of the pipeline, with their
    meanings.
    """
    steps = ", ".join(f"{s['stage']} {s['kept']:,}" for s in manifest["funnel"]["steps"])
    described: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": manifest["name"],
        "conformsTo": f"{CR}1.0",
        "description": f"{manifest['samples']:,} image–text samples, curated by pairmill "
        f"{manifest['pairmill']}. Rows kept by each step: {steps}.",
        "version": "1.0.0",
        "keywords": ["image-text", "pairmill"],
        "distribution": [*map(file_object, files), *file_sets(files, loading)],
        "recordSet": [record_set(loading, columns)] if loading.pattern else [],
    }
    if manifest["license"]:
        described["license"] = manifest["license"]
    if manifest["citation"]:
        described["citeAs"] = manifest["citation"]
    return (json.dumps(described, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def media_of(name: str) -> str:
    """The MIME type that a file's suffix says; `application/octet-stream` for an unknown one."""
    return MEDIA.get(name.rpartition(".")[2], "application/octet-stream")


def file_object(file: dict[str, Any]) -> dict[str, Any]:
    """A file of the manifest as a `cr:FileObject`, with its size and SHA-256."""
    return {
        "@type": "cr:FileObject",
        "@id": file["name"],
        "name": file["name"],
        "contentUrl": file["name"],
        "contentSize": f"{file['bytes']} B",
        "encodingFormat": media_of(file["name"]),
        "sha256": file["sha256"],
    }


def file_sets(files: list[dict[str, Any]], loading: Loading) -> Iterator[dict[str, Any]]:
    """The files with the columns, and the pictures where these are files, or members of tars."""
    if not loading.pattern:
        return
    if loading.pictures:
        inside = [{"@id": f["name"]} for f in files if f["name"].endswith(".tar")]
        yield {
            "@type": "cr:FileSet",
            "@id": PICTURES,
            "name": PICTURES,
            "includes": list(loading.pictures),
            "encodingFormat": media_of(loading.pictures[0]),
            **({"containedIn": inside} if inside else {}),
        }
    pattern = loading.columns_in or loading.pattern
    yield {
        "@type": "cr:FileSet",
        "@id": DATA,
        "name": DATA,
        "encodingFormat": media_of(pattern),
        "includes": pattern,
    }


def record_set(loading: Loading, columns: pa.Schema) -> dict[str, Any]:
    """The `cr:RecordSet` of the samples: a field for each column that Croissant has a type for, and
    the pictures, by key where they are files of their own.
    """
    features = loading.described if loading.described is not None else loading.features
    images = loading.images if not loading.pictures else ()
    fields = [made for f in features if (made := field_of(f, f.name in images, columns))]
    if loading.pictures:
        fields = [*pictures_by_key(), *(f for f in fields if f["name"] not in loading.images)]
    return {"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": fields}


def pictures_by_key() -> list[dict[str, Any]]:
    """The picture of a sample, found by the key at the beginning of its file's name."""
    return [
        {
            "@type": "cr:Field",
            "@id": "samples/image_key",
            "name": "image_key",
            "dataType": "sc:Text",
            "description": "key of the picture's sample",
            "source": {
                "fileSet": {"@id": PICTURES},
                "extract": {"fileProperty": "filename"},
                "transform": {"regex": "^([^.]+)"},
            },
            "references": {"fileSet": {"@id": DATA}, "extract": {"column": "key"}},
        },
        {
            "@type": "cr:Field",
            "@id": "samples/image",
            "name": "image",
            "dataType": "sc:ImageObject",
            "description": "the sample's picture",
            "source": {"fileSet": {"@id": PICTURES}, "extract": {"fileProperty": "content"}},
        },
    ]


def field_of(field: pa.Field, image: bool, columns: pa.Schema) -> dict[str, Any] | None:
    """A column; None for those that Croissant has no type for."""
    kind, repeated = field.type, False
    if is_list(kind):
        kind, repeated = kind.value_type, True
    data_type = "sc:ImageObject" if image else data_type_of(kind)
    if data_type is None:
        return None
    source: dict[str, Any] = {"fileSet": {"@id": DATA}, "extract": {"column": field.name}}
    if image and pa.types.is_struct(kind):
        source["transform"] = {"jsonPath": "bytes"}
    known = columns.field(field.name) if field.name in columns.names else None
    made: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"samples/{field.name}",
        "name": field.name,
        "description": (doc_of(known) if known is not None else "") or field.name,
        "dataType": data_type,
        "source": source,
    }
    return {**made, "repeated": True} if repeated else made


def data_type_of(kind: pa.DataType) -> str | None:
    """The schema.org type of a column, or None where there is none for it."""
    tests = (
        (pa.types.is_string, "sc:Text"),
        (pa.types.is_large_string, "sc:Text"),
        (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"),
        (pa.types.is_floating, "sc:Float"),
        (pa.types.is_timestamp, "sc:DateTime"),
    )
    return next((name for test, name in tests if test(kind)), None)
