"""Run in a process of its own, since mlcroissant keeps what it unpacked under the tar's name alone,
whichever package it came from (CROISSANT_CACHE says where).

Arguments: packages.  Prints, for each, license, citation, faults, and of each record the address and
a hash of the picture's pixels, as JSON.
"""

import hashlib
import json
import sys
from typing import Any

import mlcroissant


def main(*packages: str) -> None:
    found = {}
    for package in packages:
        described = mlcroissant.Dataset(f"{package}/croissant.json")
        facts = described.metadata
        found[package.rpartition("/")[2]] = {
            "license": facts.license,
            "citation": facts.cite_as,
            "faults": sorted(facts.issues.errors),
            "records": [seen(record) for record in described.records("samples")],
        }
    print(json.dumps(found))


def seen(record: dict[str, Any]) -> list[str | None]:
    plain = {name.removeprefix("samples/"): value for name, value in record.items()}
    url = plain["url"] if "url" in plain else first(plain["image_urls"])
    picture = plain.get("image", plain.get("images"))
    picture = first(picture) if isinstance(picture, list) else picture
    pixels = picture and hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()
    return [url.decode(), pixels]


def first(values: list[Any]) -> Any:
    return next(v for v in values if v is not None)


if __name__ == "__main__":
    main(*sys.argv[1:])
