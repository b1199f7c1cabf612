"""References within a JSON schema: each has to lead to a part of it, and none back to itself; the
type of a part, wherever it is said.
"""

from collections.abc import Iterator, Mapping
from typing import Any

KINDS = {str: "string", bool: "boolean", int: "integer", float: "number"}
UNREAD = ("$dynamicRef", "$recursiveRef")
"""References whose end depends on who asks."""
SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
"""Keys whose schemas look at the very value that their own schema looks at."""


class BadSchema(ValueError):
    """A JSON schema that has no columns; the message says where and why."""


def check_references(schema: Mapping[str, Any]) -> None:
    """Raises BadSchema for references by which no answer could be read."""
    for part in parts(schema):
        for key in UNREAD:
            if key in part:
                raise BadSchema(f"json_schema: {key} is not followed; write `$ref: #/$defs/NAME`")
        if part is not schema and isinstance(part.get("$id"), str):
            raise BadSchema("json_schema: `$id` within a schema is not followed; leave it out")
        place = part.get("$ref")
        if isinstance(place, str) and not isinstance(at_place(place, schema), (Mapping, bool)):
            raise BadSchema(
                f"json_schema: {place!r} leads nowhere; write `#/$defs/NAME`, a part of it"
            )
    for part in parts(schema):
        if "$ref" in part and returns(part, schema, ()):
            raise BadSchema(
                f"json_schema: {part['$ref']!r} leads back to itself without looking at a part of "
                "the value, so no answer could be read"
            )


def parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a schema, itself the first."""
    if isinstance(schema, Mapping):
        yield schema
    inner = schema.values() if isinstance(schema, Mapping) else schema
    for one in inner if isinstance(schema, (Mapping, list)) else ():
        yield from parts(one)


def at_place(place: str, schema: Mapping[str, Any]) -> Any:
    """The part of a schema that a reference leads to; None where there is none."""
    steps = place.removeprefix("#").split("/")
    if not place.startswith("#") or steps[0]:
        return None
    at: Any = schema
    for step in steps[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(at, Mapping) or name not in at:
            return None
        at = at[name]
    return at


def returns(part: Any, schema: Mapping[str, Any], before: tuple[int, ...]) -> bool:
    """Whether looking at one value by a part of a schema comes to the same part again."""
    if not isinstance(part, Mapping):
        return False
    if id(part) in before:
        return True
    inner = [part[key] for key in SAME_VALUE if key in part]
    same = [one for found in inner for one in (found if isinstance(found, list) else [found])]
    if isinstance(place := part.get("$ref"), str):
        same.append(at_place(place, schema))
    return any(returns(one, schema, (*before, id(part))) for one in same)


def core(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What says the type: where a reference leads, the one schema beside null of an `anyOf` or
    `oneOf`, as pydantic writes what may be absent, and the only one of an `allOf`; else the schema
    itself.
    """
    choices = schema.get("anyOf") or schema.get("oneOf") or []
    others = [one for one in choices if isinstance(one, Mapping) and one.get("type") != "null"]
    if "type" in schema:
        return schema
    if isinstance(place := schema.get("$ref"), str):
        found = at_place(place, root)
        return core(found, root) if isinstance(found, Mapping) else schema
    if not choices and len(every := schema.get("allOf") or []) == 1:
        others = [one for one in every if isinstance(one, Mapping)]
    return core(others[0], root) if len(others) == 1 else schema


def plain_type(schema: Mapping[str, Any]) -> str | None:
    """The type of a core, null aside; of its values where it lists them."""
    given = schema.get("type")
    if isinstance(given, list):
        others = [kind for kind in given if kind != "null"]
        return others[0] if len(others) == 1 else None
    listed = [schema["const"]] if "const" in schema else schema.get("enum") or []
    kinds = {KINDS.get(type(value)) for value in listed if value is not None}
    return given if given is not None else kinds.pop() if len(kinds) == 1 else None
