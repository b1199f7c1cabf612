"""JSON documents as rows: arrays, COCO, parallel lists such as SBU's, one list within an object."""

import codecs
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
import ijson

from pairmill.sources.base import Input, NoInput, Remark, Unreadable
from pairmill.sources.json_columns import TOO_DEEP, as_json, sound, too_deep
from pairmill.sources.text_stream import wide_mark

Record = dict[str, Any] | Unreadable | Remark
SMALL_BYTES = 2**26
"""Documents of unknown shape up to this size are looked through as a whole."""
LISTS = {"image_urls": "image_url", "urls": "url", "captions": "caption", "texts": "text"}
"""Names of parallel lists, and of the column that each is."""
WORDS = re.compile(rb"NaN|Infinity")
NOT_FINITE = re.compile(rb'"(?:[^"\\]|\\.)*"|NaN|-?Infinity', re.DOTALL)
"""Texts, and beside them numbers that JSON does not know."""
OF_AN_IMAGE = ("coco_url", "flickr_url", "url")
MMC4, OBELICS = {"text_list", "image_info"}, {"images", "texts"}


@dataclass(frozen=True)
class JsonDocument:
    """What a JSON document is, in a word for people, and its rows."""

    kind: str
    rows: Callable[[], Iterator[Record]]


def document_of(item: Input, path: str | None) -> JsonDocument:
    """The shape of a document; `path`: the list that holds its rows, such as `$.annotations`.

    Raises NoInput where it has none that is known.
    """
    if path is not None:
        prefix = prefix_of(path)
        if first_of(item, prefix) is None:
            raise NoInput(f"{item.name} has no list at {path}{shown_keys(item)}")
        return JsonDocument(f"rows of {path}", lambda: listed(item, prefix, path))
    if first_byte(item) == b"[":
        first = first_of(item, "item")
        refuse_documents(item.name, first)
        return JsonDocument("an array", lambda: listed(item, "item", "$"))
    annotation, image = first_of(item, "annotations.item"), first_of(item, "images.item")
    if isinstance(annotation, dict) and isinstance(image, dict):
        if "caption" in annotation:
            return JsonDocument("COCO, a row for each caption", lambda: coco_captions(item))
        return JsonDocument("COCO, a row for each image", lambda: coco_images(item))
    if isinstance(annotation, dict):
        return JsonDocument(
            "rows of $.annotations", lambda: listed(item, "annotations.item", "$.annotations")
        )
    return searched(item)


def searched(item: Input) -> JsonDocument:
    """A document whose lists have to be looked for."""
    lists = [key for key in LISTS if first_of(item, f"{key}.item") is not None]
    if item.size_bytes > SMALL_BYTES and not lists:
        raise NoInput(
            f"{item.name} is one JSON object; name the list of its rows: `json_path: $.KEY`"
        )
    if len(lists) >= 2 or item.size_bytes > SMALL_BYTES:
        return JsonDocument("parallel lists", lambda: parallel(item))
    with opened(item) as stream:
        value = json.load(stream)
    refuse_documents(item.name, value)
    found = [k for k, v in value.items() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(found) == 1:
        return JsonDocument(
            f"rows of $.{found[0]}", lambda: listed(item, f"{found[0]}.item", f"$.{found[0]}")
        )
    if found:
        raise NoInput(
            f"{item.name} has several lists of rows; name one: "
            + " or ".join(f"`json_path: $.{k}`" for k in found)
        )
    if {len(v) if isinstance(v, list) else -1 for v in value.values()} - {-1}:
        return JsonDocument("parallel lists", lambda: parallel(item))
    return JsonDocument("a row", lambda: iter([sound(value)]))


def refuse_documents(name: str, names: Any) -> None:
    """Raises NoInput where the names of a row's values are those of a page of several images and
    texts, which are not read yet.
    """
    if isinstance(names, Iterable) and (which := documents_named(names)):
        raise NoInput(
            f"{name} holds {which}: pages of many images and sentences, which pairmill does not "
            "read yet; make a table of it with one image and its text a row"
        )


def documents_named(names: Iterable[Any]) -> str | None:
    """Which collection of interleaved documents has rows with these keys, or None."""
    found = {name for name in names if isinstance(name, str)}
    if found >= MMC4:
        return "MMC4 documents"
    if found >= OBELICS and {"metadata", "general_metadata"} & found:
        return "OBELICS documents"
    return None


def listed(item: Input, prefix: str, path: str) -> Iterator[Record]:
    """The objects of a list, one after the other."""
    for number, value in enumerate(values_at(item, prefix)):
        if isinstance(value, Unreadable | dict):
            yield value
        else:
            place = f"{item.name} {path}[{number}]"
            yield Unreadable(place, f"no object but a {type(value).__name__}")


def values_at(item: Input, prefix: str) -> Iterator[Any]:
    """The values of a list; where the JSON breaks off, Unreadable for the rest."""
    count = 0
    with opened(item) as stream:
        try:
            for value in ijson.items(stream, prefix):
                count += 1
                if too_deep(value):
                    yield Unreadable(f"{item.name} value {count - 1}", TOO_DEEP)
                else:
                    yield sound(value)
        except (ijson.JSONError, ValueError, RecursionError, OverflowError) as error:
            yield Unreadable(f"{item.name} after value {count}", f"broken JSON: {shown(error)}")


def coco_captions(item: Input) -> Iterator[Record]:
    """A row for each annotation, with the facts of its image; images without one are rows too."""
    images = images_by_id(item)
    used: set[Any] = set()
    for number, found in enumerate(values_at(item, "annotations.item")):
        if not isinstance(found, dict):
            yield found if isinstance(found, Unreadable) else not_an_object(item, number)
            continue
        key = found.get("image_id")
        if key not in images:
            place = f"{item.name} $.annotations[{number}]"
            yield Unreadable(place, f"there is no image with the id {key!r}")
            continue
        used.add(key)
        yield {**image_facts(images[key]), **found}
    rest = [image for key, image in images.items() if key not in used]
    if rest:
        yield Remark("images without a caption", item.name, "each is a row without text", len(rest))
    yield from ({"image_id": image.get("id"), **image_facts(image)} for image in rest)


def coco_images(item: Input) -> Iterator[Record]:
    """A row for each image, with all of its annotations."""
    images = images_by_id(item)
    names = {}
    for one in values_at(item, "categories.item"):
        if isinstance(one, dict):
            names[one.get("id")] = one.get("name")
    of_image: dict[Any, list[str]] = defaultdict(list)
    categories: dict[Any, list[str]] = defaultdict(list)
    for number, found in enumerate(values_at(item, "annotations.item")):
        if not isinstance(found, dict):
            yield found if isinstance(found, Unreadable) else not_an_object(item, number)
        elif found.get("image_id") not in images:
            place = f"{item.name} $.annotations[{number}]"
            yield Unreadable(place, f"there is no image with the id {found.get('image_id')!r}")
        else:
            of_image[found["image_id"]].append(as_json(found))
            if (name := names.get(found.get("category_id"))) is not None:
                categories[found["image_id"]].append(str(name))
    for key, image in images.items():
        row: dict[str, Any] = {"image_id": key, **image_facts(image)}
        yield row | {"categories": categories[key], "annotations": f"[{','.join(of_image[key])}]"}


def images_by_id(item: Input) -> dict[Any, dict[str, Any]]:
    """The entries of a COCO file's `images` by their `id`."""
    found = (v for v in values_at(item, "images.item") if isinstance(v, dict))
    return {image.get("id"): image for image in found}


def image_facts(image: Mapping[str, Any]) -> dict[str, Any]:
    """An image's facts but its id, with one address as `url`."""
    url = next((image[name] for name in OF_AN_IMAGE if image.get(name)), None)
    return {k: v for k, v in image.items() if k != "id"} | ({"url": url} if url else {})


def not_an_object(item: Input, number: int) -> Unreadable:
    """The report of a COCO annotation that is no JSON object."""
    return Unreadable(f"{item.name} $.annotations[{number}]", "no object")


def parallel(item: Input) -> Iterator[Record]:
    """Lists of one length as columns."""
    columns: dict[str, list[Any]] = {}
    with opened(item) as stream:
        for key, value in ijson.kvitems(stream, ""):
            if isinstance(value, list):
                name = LISTS.get(key, key.removesuffix("s") if key.endswith("_ids") else key)
                columns[name] = sound(value)
    lengths = {len(values) for values in columns.values()}
    for i in range(min(lengths, default=0)):
        yield {name: values[i] for name, values in columns.items()}
    if len(lengths) > 1:
        sizes = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
        yield Unreadable(
            f"{item.name} from value {min(lengths)} on",
            f"the lists differ in length: {sizes}",
            rows=max(lengths) - min(lengths),
        )


def prefix_of(path: str) -> str:
    """ijson's prefix of the values of a list: `$.a.b` → `a.b.item`."""
    plain = path.removeprefix("$").strip(".").removesuffix("[*]").strip(".")
    return f"{plain}.item" if plain else "item"


def first_of(item: Input, prefix: str) -> Any:
    """The first value of a list, or None where there is no such list, or nothing in it."""
    with opened(item) as stream:
        try:
            return next(iter(ijson.items(stream, prefix)), None)
        except (ijson.JSONError, ValueError) as error:
            why = shown(error)
            what = "; write it in UTF-8" if "UTF8" in why else ""
            raise NoInput(f"{item.name} is no JSON document: {why}{what}") from None


def shown(error: Exception) -> str:
    """The first line of ijson's message, of at most 200 characters."""
    lines = str(error).strip().removeprefix("b'").split("\n")[0].split("\\n")
    return lines[0][:200] or type(error).__name__


def first_byte(item: Input) -> bytes:
    """The first byte behind a byte order mark and white space; no byte of an empty file."""
    with opened(item) as stream:
        return bytes(stream.read(4096).lstrip(b" \t\r\n")[:1])


def shown_keys(item: Input) -> str:
    """The keys of a small file's one object, for a message; else empty."""
    if item.size_bytes > SMALL_BYTES or first_byte(item) != b"{":
        return ""
    with opened(item) as stream:
        return " (it has " + ", ".join(key for key, _ in ijson.kvitems(stream, "")) + ")"


def opened(item: Input) -> Any:
    """The file as a stream of bytes in UTF-8, unpacked by its suffix, without a byte order mark.

    Where a small file has NaN or Infinity, which Python writes and JSON does not know, null stands
    in their places.
    """
    data = whole(item)
    if data is None:
        return fsspec.open(item.url, "rb", compression="infer").open()
    return io.BytesIO(NOT_FINITE.sub(null_for, data) if WORDS.search(data) else data)


def whole(item: Input) -> bytes | None:
    """A document in UTF-8 without a byte order mark; None where it is larger than SMALL_BYTES."""
    with fsspec.open(item.url, "rb", compression="infer").open() as stream:
        data: bytes = stream.read(SMALL_BYTES + 1)
    if len(data) > SMALL_BYTES:
        return None
    if wide := wide_mark(data[:4]):
        data = data.decode(wide, "replace").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def not_finite(item: Input) -> int:
    """How many numbers in a small document became null because JSON does not know them."""
    data = whole(item)
    if data is None or not WORDS.search(data):
        return 0
    return sum(found[0][:1] != b'"' for found in NOT_FINITE.finditer(data))


def null_for(found: re.Match[bytes]) -> bytes:
    """A text as it is, null for a number that JSON does not know."""
    return found[0] if found[0][:1] == b'"' else b"null"
