"""Answers in JSON: the columns that a schema means, and an answer read by it."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
LEAST_INT64, MOST_INT64 = -(2**63), 2**63 - 1
FENCE = re.compile(r"```(?:json)?")
OPENING = re.compile(r"[{\[]")
TRIED = 50
"""Places of an answer at which JSON may begin, looked at in order."""


class BadSchema(ValueError):
    """A JSON schema that has no columns; the message says where and why."""


class BadAnswer(ValueError):
    """An answer that is no JSON, or does not fit; the message says what is wrong, for the model."""


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises BadSchema for what is no schema, or means no columns."""
    from jsonschema import Draft202012Validator  # a third of a second that few pipelines need
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise BadSchema(f"json_schema: {error.message}") from None
    check_references(schema, schema)
    if plain_type(schema) != "object" or not schema.get("properties"):
        raise BadSchema("json_schema must be `type: object` with `properties`, one for each column")
    for name, inner in schema["properties"].items():
        if not name.isidentifier():
            raise BadSchema(f"json_schema: the property {name!r} cannot be part of a column's name")
        arrow_type(inner, name)


def check_references(part: Any, schema: Mapping[str, Any]) -> None:
    """Raises BadSchema for a reference that leads nowhere, by which no answer could be read."""
    if isinstance(part, list):
        for one in part:
            check_references(one, schema)
    if not isinstance(part, Mapping):
        return
    if isinstance(place := part.get("$ref"), str) and not leads_somewhere(place, schema):
        raise BadSchema(f"json_schema: {place!r} leads nowhere; write `#/$defs/NAME`, a part of it")
    for one in part.values():
        check_references(one, schema)


def leads_somewhere(place: str, schema: Mapping[str, Any]) -> bool:
    """Whether a reference leads to a part of its own schema."""
    steps = place.removeprefix("#").split("/")
    at: Any = schema
    for step in steps[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(at, Mapping) or name not in at:
            return False
        at = at[name]
    return place.startswith("#") and not steps[0] and isinstance(at, (Mapping, bool))


def core(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one schema beside null of an `anyOf` or `oneOf`, as pydantic writes what may be absent;
    else the schema itself.
    """
    choices = schema.get("anyOf") or schema.get("oneOf") or []
    others = [one for one in choices if isinstance(one, Mapping) and one.get("type") != "null"]
    return others[0] if "type" not in schema and len(others) == 1 else schema


def plain_type(schema: Mapping[str, Any]) -> str | None:
    """The schema's type, null aside; of its values where it lists them."""
    schema = core(schema)
    given = schema.get("type")
    if isinstance(given, list):
        others = [kind for kind in given if kind != "null"]
        return others[0] if len(others) == 1 else None
    if given is None and schema.get("enum"):
        texts = all(isinstance(value, str) for value in schema["enum"])
        return "string" if texts else None
    return given


def arrow_type(schema: Mapping[str, Any], at: str) -> pa.DataType:
    """The column type of a property; raises BadSchema."""
    schema = core(schema)
    kind = plain_type(schema)
    if kind in TYPES:
        return TYPES[kind]
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return pa.list_(arrow_type(schema["items"], f"{at}[]"))
    if kind == "object" and schema.get("properties"):
        inner = schema["properties"].items()
        return pa.struct([(name, arrow_type(s, f"{at}.{name}")) for name, s in inner])
    raise BadSchema(
        f"json_schema: {at} has no type that makes a column; write `type:` string, integer, "
        "number, "
        "boolean, array with `items`, or object with `properties`"
    )


def column_types(schema: Mapping[str, Any]) -> dict[str, pa.DataType]:
    """Property → type of its column."""
    return {name: arrow_type(inner, name) for name, inner in schema["properties"].items()}


def instruction(schema: Mapping[str, Any]) -> str:
    """What a prompt says of the form of the answer."""
    written = json.dumps(schema, ensure_ascii=False, sort_keys=True)
    return f"Answer with one JSON object alone that fits this schema: {written}"


def parsed(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an answer by property, those of its first JSON object that fits; properties
    that it leaves out are None.  Raises BadAnswer.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    fault = "it holds no JSON object"
    columns = schema["properties"].items()
    for value in objects_in(FENCE.sub("", text)):
        error = best_match(Draft202012Validator(schema).iter_errors(value))
        if error is None:
            try:
                return {name: as_stored(value.get(name), inner) for name, inner in columns}
            except OverflowError:
                fault = "a number is too large"
                continue
        place = ".".join(map(str, error.absolute_path))
        message = error.message
        fault = f"at {place}: {message}" if place else message
    raise BadAnswer(fault[:300])


def objects_in(text: str) -> list[Any]:
    """JSON objects that stand in a text, those within others left out."""
    decoder = json.JSONDecoder(parse_constant=lambda _: None)
    found: list[Any] = []
    at = 0
    for _ in range(TRIED):
        opening = OPENING.search(text, at)
        if opening is None:
            break
        try:
            value, at = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            at = opening.end()
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def as_stored(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value as its column holds it: 4.0 is an integer in JSON, and a number may be written as
    one.  Raises OverflowError for an integer beyond 64 bits.
    """
    schema = core(schema)
    kind = plain_type(schema)
    if value is None:
        return None
    if kind == "integer":
        if not LEAST_INT64 <= (whole := int(value)) <= MOST_INT64:
            raise OverflowError("a number is too large")
        return whole
    if kind == "number":
        return float(value)
    if kind == "array":
        return [as_stored(item, schema["items"]) for item in value]
    if kind == "object":
        return {name: as_stored(value.get(name), s) for name, s in schema["properties"].items()}
    return sound(value) if isinstance(value, str) else value


def sound(text: str) -> str:
    """A text without halves of surrogate pairs, which no column can hold: U+FFFD stands there."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
