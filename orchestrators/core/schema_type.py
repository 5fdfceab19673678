"""A decoder of msgspec's, made of a JSON Schema that is simple enough to be a type.

What it takes is valid by the schema: one pass over an answer's bytes tells what decoding them and walking
through the document would. What it refuses may be valid all the same (1.0 is an integer); that is for others to
say. This holds for bytes that are UTF-8 and have no integer that Python finds too long: of members that the
schema does not name msgspec checks the grammar, but neither of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import GenericAlias
from typing import Annotated, Any, Literal, Union

import msgspec

Schema = Mapping[str, Any]
Decode = Callable[[str], object]  # raises ValueError or RecursionError

_SAYS_NOTHING = {"$schema", "$comment", "title", "description", "default", "examples", "deprecated"}
_OF_OBJECTS = {"properties", "required", "additionalProperties"}
_OF_ARRAYS = {"items", "minItems", "maxItems"}
_OF_STRINGS = {"minLength", "maxLength"}
_OF_TYPES = {"type"} | _OF_OBJECTS | _OF_ARRAYS | _OF_STRINGS
_PLAIN = {"integer": int, "number": float, "boolean": bool, "null": None}


def decoder_of(schema: Schema) -> Decode | None:
    """`schema`: a valid one (2020-12). None where it says more than a type can."""
    try:
        return msgspec.json.Decoder(_type(schema)).decode
    except (TypeError, ValueError):  # ours; and msgspec's, of a length of 1.0 or a quote in a name
        return None


def _type(schema: Schema | bool) -> Any:
    if schema is False:
        raise ValueError("no document is valid")
    said = {} if schema is True else {key: schema[key] for key in schema.keys() - _SAYS_NOTHING}
    if not said:
        return msgspec.Raw  # anything; it is passed over
    if "enum" in said:
        return _one_of(said)
    if not said.keys() <= _OF_TYPES:
        raise ValueError("more than types")
    return Union[tuple(_named(name, said) for name in _names(said))]  # noqa: UP007  as many as there are


def _names(schema: Schema) -> Sequence[str]:
    names = schema.get("type", ())
    return [names] if isinstance(names, str) else names


def _named(name: str, schema: Schema) -> Any:
    if name == "object":
        return _object(schema)
    if name == "array":
        items = GenericAlias(list, _type(schema.get("items", True)))
        return Annotated[items, _length(schema.get("minItems"), schema.get("maxItems"))]
    if name == "string":
        return Annotated[str, _length(schema.get("minLength"), schema.get("maxLength"))]
    return _PLAIN[name]


def _length(least: Any, most: Any) -> msgspec.Meta:
    return msgspec.Meta(min_length=least, max_length=most)


def _object(schema: Schema) -> Any:
    members, required = schema.get("properties", {}), schema.get("required", ())
    others = schema.get("additionalProperties", True)
    if not isinstance(others, bool):
        if members or required:
            raise ValueError("more than a type of all members, or of each")
        return GenericAlias(dict, (str, _type(others)))
    types = {name: _type(members.get(name, others)) for name in (*members, *required)}
    names = {f"member{place}": name for place, name in enumerate(types)}  # any text may be one
    fields = [
        (field, types[name]) if name in required else (field, types[name], None)
        for field, name in names.items()
    ]
    return msgspec.defstruct(
        "Object", fields, rename=names, kw_only=True, forbid_unknown_fields=not others, gc=False
    )


def _one_of(schema: Schema) -> Any:
    """Of words and null alone: to JSON Schema 1 is 1.0, and not true."""
    values, names = schema["enum"], _names(schema) or ("string", "null")
    if not schema.keys() <= {"enum", "type"} or not all(isinstance(each, str | None) for each in values):
        raise ValueError("more than words")
    return Literal[tuple(each for each in values if ("null" if each is None else "string") in names)]
