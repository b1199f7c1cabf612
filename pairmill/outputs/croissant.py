"""A package's croissant.json: its files and columns in the Croissant 1.0 vocabulary of MLCommons,
which data catalogues read.
"""

import json
from typing import Any

import pyarrow as pa

from pairmill.schemas.arrow import doc_of

CR = "http://mlcommons.org/croissant/"
TERMS = (
    "citeAs column conformsTo equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset jsonPath key md5 "
    "parentField path recordSet references regex repeated replace samplingRate separator source subField transform"
).split()
CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "cr": CR, "rai": f"{CR}RAI/", "dct": "http://purl.org/dc/terms/", "sc": "https://schema.org/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"}, **{t: f"cr:{t}" for t in TERMS}, "conformsTo": "dct:conformsTo",
}  # fmt: skip
MEDIA = {
    "tar": "application/x-tar",
    "parquet": "application/x-parquet",
    "json": "application/json",
    "md": "text/markdown",
}


def croissant(manifest: dict[str, Any], files: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    """JSON-LD; every figure is the manifest's.  `schema`: columns of the package's Parquet files."""
    steps = ", ".join(f"{s['stage']} {s['kept']:,}" for s in manifest["funnel"]["steps"])
    distribution: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject", "@id": f["name"], "name": f["name"], "contentUrl": f["name"], "contentSize": f"{f['bytes']} B",
            "encodingFormat": MEDIA.get(f["name"].rpartition(".")[2], "application/octet-stream"), "sha256": f["sha256"],
        }
        for f in files
    ]  # fmt: skip
    distribution.append(
        {
            "@type": "cr:FileSet",
            "@id": "parquet",
            "name": "parquet",
            "encodingFormat": MEDIA["parquet"],
            "includes": "*.parquet",
        }
    )
    fields = [made for field in schema if (made := field_of(field))]
    described = {
        "@context": CONTEXT, "@type": "sc:Dataset", "name": manifest["name"], "conformsTo": f"{CR}1.0",
        "description": f"{manifest['samples']:,} image–text samples, curated by pairmill {manifest['pairmill']}. Rows kept by each step: {steps}.",
        "version": "1.0.0", "keywords": ["image-text", "pairmill"], "distribution": distribution,
        "recordSet": [{"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": fields}],
    }  # fmt: skip
    return (json.dumps(described, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def field_of(field: pa.Field) -> dict[str, Any] | None:
    """A column; None for those that Croissant has no type for."""
    kind, repeated = field.type, False
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, repeated = kind.value_type, True
    data_type = data_type_of(kind)
    if data_type is None:
        return None
    made: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"samples/{field.name}",
        "name": field.name,
        "description": doc_of(field) or field.name,
    }
    made |= {
        "dataType": data_type,
        "source": {"fileSet": {"@id": "parquet"}, "extract": {"column": field.name}},
    }
    return {**made, "repeated": True} if repeated else made


def data_type_of(kind: pa.DataType) -> str | None:
    tests = (
        (pa.types.is_string, "sc:Text"), (pa.types.is_large_string, "sc:Text"), (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"), (pa.types.is_floating, "sc:Float"), (pa.types.is_timestamp, "sc:DateTime"),
    )  # fmt: skip
    return next((name for test, name in tests if test(kind)), None)
