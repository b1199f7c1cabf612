"""What stands below the fields of config models, for those who ask.

pydantic would read each class's source while the class is made, some milliseconds each, in every
command; so pairmill's own models are read when a page, a schema or a message wants it.  Models of
others say it when they are made, as they may be made in a notebook.
"""

import ast
import inspect
import sys
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from pairmill.schemas.config import is_ours

PLAIN = (bool, int, str)
"""Types whose values are JSON as they are; a float may be infinite."""


def description_of(model: type[BaseModel], field: str) -> str:
    """What stands below a field, or what it was declared with; an empty text where nothing does."""
    if said := model.model_fields[field].description:
        return said
    found = ""
    for base in reversed(model.__mro__):
        if field in vars(base).get("__annotations__", {}) and is_ours(base.__module__):
            found = below_fields(base.__module__).get(base.__qualname__, {}).get(field, found)
    return found


@lru_cache(None)
def below_fields(module: str) -> dict[str, dict[str, str]]:
    """Class → field → the text below it, of a module."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {node.name: dict(texts_below(node)) for node in classes}


def texts_below(node: ast.ClassDef) -> Any:
    """(field, text) of a class."""
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)


class DescribedSchema(GenerateJsonSchema):
    """A JSON Schema whose keys are described."""

    def encode_default(self, dft: Any) -> Any:
        """As pydantic makes it, which builds a serialiser for each, also for what is JSON as it
        stands.
        """
        if dft is None or type(dft) in PLAIN:
            return dft
        if type(dft) in (list, tuple) and all(type(item) in PLAIN for item in dft):
            return list(dft)
        return super().encode_default(dft)

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """Leaves keys in the order in which they were declared."""
        return value

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """As pydantic makes it, and the texts below the fields."""
        made = super().model_schema(schema)
        model = schema["cls"]
        for name in model.model_fields.keys() & made.get("properties", {}).keys():
            if text := description_of(model, name):
                made["properties"][name]["description"] = text
        return made
