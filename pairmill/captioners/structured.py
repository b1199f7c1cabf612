"""Answers in JSON: the columns that a schema means, and an answer read by it."""

import contextlib
import functools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import pyarrow as pa

from pairmill.captioners.as_meant import as_meant
from pairmill.captioners.schema_references import (
    BadSchema,
    check_references,
    core,
    parts,
    plain_type,
)

TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
LEAST_INT64, MOST_INT64 = -(2**63), 2**63 - 1
HELD: dict[str | None, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
"""Type in a schema → types of the values that its column takes."""
OWN_COLUMNS = ("repaired", "model", "prompt_id", "finish_reason", "tokens", "prompt_tokens")
"""Behind a stage's name, columns that stand beside those of its schema."""
DEEPEST = 32
"""Levels of a column's type."""
OPENING = re.compile(r"[{\[]")
TRIED = 50
"""Places of an answer at which JSON may begin, looked at in order."""


class BadAnswer(ValueError):
    """An answer that is no JSON, or does not fit; the message says what is wrong, for the model."""


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises BadSchema for what is no schema, or means no columns."""
    from jsonschema import Draft202012Validator  # a third of a second that few pipelines need
    from jsonschema.exceptions import SchemaError

    check_json(schema)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise BadSchema(f"json_schema: {error.message}") from None
    check_references(schema)
    if plain_type(schema) != "object" or not schema.get("properties"):
        raise BadSchema("json_schema must be `type: object` with `properties`, one for each column")
    for name, inner in schema["properties"].items():
        if not name.isidentifier():
            raise BadSchema(f"json_schema: the property {name!r} cannot be part of a column's name")
        arrow_type(inner, name, schema)


def check_json(schema: Mapping[str, Any]) -> None:
    """Raises BadSchema for what YAML can say and JSON cannot."""
    try:
        json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadSchema(
            f"json_schema is no JSON ({error}); put dates and what else is no number in quotes"
        ) from None
    for name in (name for part in parts(schema) for name in part):
        if not isinstance(name, str):
            raise BadSchema(f"json_schema: the key {name} has to be a text; put it in quotes")


def check_names(schema: Mapping[str, Any], own: Iterable[str], text: str | None) -> None:
    """Raises BadSchema where a property's column would have the name of one of the stage's own, or
    where `text`, the property that is the stage's text, is none.
    """
    if text is not None:
        if text not in schema["properties"]:
            raise BadSchema(f"text_from: {text!r} is no property of json_schema")
        if (kind := column_types(schema)[text]) != pa.string():
            raise BadSchema(f"text_from: {text!r} is no text, it makes a column of {kind}")
    for name in own:
        if name in schema["properties"] and name != text:
            raise BadSchema(
                f"json_schema: the property {name!r} would have the column that the stage writes "
                "itself; choose another name for it"
            )


def arrow_type(schema: Any, at: str, root: Mapping[str, Any]) -> pa.DataType:
    """The column type of a property; raises BadSchema."""
    found = core(schema, root) if isinstance(schema, Mapping) else {}
    kind = plain_type(found)
    if at.count(".") + at.count("[]") > DEEPEST:
        raise BadSchema(f"json_schema: {at[:60]}… is nested without end, which no column can be")
    if kind in TYPES:
        return TYPES[kind]
    if kind == "array" and isinstance(found.get("items"), Mapping):
        return pa.list_(arrow_type(found["items"], f"{at}[]", root))
    if kind == "object" and found.get("properties"):
        inner = found["properties"].items()
        return pa.struct([(name, arrow_type(s, f"{at}.{name}", root)) for name, s in inner])
    raise BadSchema(
        f"json_schema: {at} has no type that makes a column; write `type:` string, integer, "
        "number, boolean, array with `items`, or object with `properties`"
    )


def column_types(schema: Mapping[str, Any]) -> dict[str, pa.DataType]:
    """Property → type of its column."""
    parts = schema["properties"].items()
    return {name: arrow_type(inner, name, schema) for name, inner in parts}


def instruction(schema: Mapping[str, Any]) -> str:
    """What a prompt says of the form of the answer."""
    written = json.dumps(schema, ensure_ascii=False, sort_keys=True)
    return f"Answer with one JSON object alone that fits this schema: {written}"


def parsed(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `read_answer`."""
    return read_answer(text, schema)[0]


def read_answer(text: str, schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """(values of an answer by property, whether some had to be read as they are meant): those of
    its first JSON object that fits and has some, else of the first that does so as it is meant;
    properties that it leaves out are None.  Raises BadAnswer.
    """
    every = objects_in(text)
    try:
        found, sound = fitting(every, schema)
        if sound:
            return found, False
    except BadAnswer as error:
        fault: BadAnswer | None = error
    else:
        fault = None
    with contextlib.suppress(BadAnswer, RecursionError):
        meant = [(value, as_meant(value, schema, schema)) for value in every]
        values, sound = fitting([read for value, read in meant if read is not value], schema)
        if sound:
            return values, True
    if fault is not None:
        raise fault
    return found, False


def fitting(every: list[Any], schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """(values of the first object that fits, whether it has some); raises BadAnswer."""
    from jsonschema.exceptions import best_match

    fault, empty = "it holds no JSON object", None
    for value in every:
        try:
            error = best_match(validator()(schema).iter_errors(value))
            if error is None:
                found = stored_values(value, schema)
                if not value.keys().isdisjoint(schema["properties"]):
                    return found, True
                if value:  # such as the schema itself, said again, or an answer in a frame
                    fault = f"it has none of the properties {', '.join(schema['properties'])}"
                else:
                    empty = found
                continue
        except OverflowError:
            fault = "a number is too large"
        except RecursionError:
            fault = "it is nested too deeply"
        except BadAnswer as told:
            fault = str(told)
        else:
            place = ".".join(map(str, error.absolute_path))
            fault = f"at {place}: {error.message}" if place else error.message
    if empty is not None:
        return empty, False
    raise BadAnswer(fault[:300])


@functools.cache
def validator() -> Any:
    """What tells whether a value fits a schema; steps of 0.1 are counted in decimals."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend

    def multiple_of(own: Any, step: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        if not own.is_type(value, "number"):
            return
        if not math.isfinite(value):
            raise OverflowError("a number is too large")
        if (Fraction(str(value)) / Fraction(str(step))).denominator != 1:
            yield ValidationError(f"{value!r} is not a multiple of {step}")

    return extend(Draft202012Validator, {"multipleOf": multiple_of})


def stored_values(value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an object that fits a schema, by property; raises BadAnswer where one is of
    another type than its column, as `prefixItems` allows.
    """
    found = {}
    for name, inner in schema["properties"].items():
        try:
            found[name] = as_stored(value.get(name), inner, schema)
        except TypeError:
            kind = arrow_type(inner, name, schema)
            raise BadAnswer(
                f"at {name}: {value[name]!r:.80} cannot stand in a column of {kind}"
            ) from None
    return found


def objects_in(text: str) -> list[Any]:
    """JSON objects that stand in a text, those within others left out."""
    # strict would refuse line breaks within texts, which models write
    decoder = json.JSONDecoder(parse_constant=lambda _: None, strict=False)
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


def as_stored(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """A value as its column holds it: 4.0 is an integer in JSON, and a number may be written as
    one.  Raises OverflowError for a number beyond 64 bits, TypeError for another kind of value.
    """
    found = core(schema, root)
    kind = plain_type(found)
    if value is None:
        return None
    if type(value) not in HELD[kind]:
        raise TypeError(kind)
    if kind == "integer":
        if not LEAST_INT64 <= (whole := int(value)) <= MOST_INT64:
            raise OverflowError("a number is too large")
        return whole
    if kind == "number":
        if not math.isfinite(number := float(value)):
            raise OverflowError("a number is too large")
        return number
    if kind == "array":
        return [as_stored(item, found["items"], root) for item in value]
    if kind == "object":
        inner = found["properties"].items()
        return {name: as_stored(value.get(name), s, root) for name, s in inner}
    return sound(value) if kind == "string" else value


def sound(text: str) -> str:
    """A text without halves of surrogate pairs, which no column can hold: U+FFFD stands there."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
