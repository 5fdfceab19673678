"""The contract of a capability: what an answer with a good status must be, to be a success.

A schema is compiled three times. A *decoder* takes most good answers at once, where the schema is simple enough
(see `schema_type`); else, or if it refuses, the document is looked at by a fast checker, and what that does not
let pass by the last one, whose word counts: jsonschema says where the schema is broken.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from orchestrators.core.schema_type import Decode, decoder_of

Validate = Callable[[object], str | None]
Keeps = Callable[[object], bool]

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:\*|[a-z0-9!#$&^_.+-]+)")
_EVENTS = "text/event-stream"
_LONGEST_NUMBER = sys.get_int_max_str_digits()  # that Python reads; a body that is no longer holds none that is


def _cannot_tell(document: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Contract:
    """What a capability's answers must be. Make one with `of`.

    `content_types`: media types in lower case, `image/*` for a family; none means any.
    `validate`: a JSON document -> None, or how it breaks the schema. `names_error`: the schema has an
    `error` of its own at the top, so that finding one proves nothing. `keeps`: True for a document of strict
    JSON that keeps the schema, at once; False says nothing. `decode`: takes nothing but answers, of at most
    `_LONGEST_NUMBER` bytes, that keep the contract.
    """

    content_types: tuple[str, ...] = ()
    validate: Validate | None = None
    names_error: bool = False
    keeps: Keeps = _cannot_tell
    decode: Decode | None = None

    @classmethod
    def of(cls, content_types: Sequence[str], schema: Mapping[str, object] | None) -> Contract:
        """`schema`: JSON Schema, 2020-12. Raises ValueError, with a sentence, if either is wrong."""
        media_types = tuple(_media_type(text) for text in content_types)
        for media_type in media_types:
            if not _MEDIA_TYPE.fullmatch(media_type):
                raise ValueError(f'"{media_type}" is not a media type such as image/png or image/*.')
        if schema is None:
            return cls(media_types)
        if not isinstance(schema, Mapping):  # it comes from JSON that a person wrote
            raise ValueError("The schema is not a JSON object.")
        validate, names_error = _compile(schema), _names_error(schema)
        return cls(media_types, validate, names_error, _compile_fast(schema), _decoder(schema, names_error))

    @property
    def is_open(self) -> bool:
        """Whether nothing is declared: neither content types nor a schema."""
        return not self.content_types and self.validate is None

    def breach(self, content_type: str, body: bytes | None, whole: bool) -> str:
        """How a success breaks it, "" if it keeps it. `body`, `whole`: see `Answered`."""
        media_type, declared = content_type, self.content_types
        if media_type not in declared:
            media_type = _media_type(media_type)
            if declared and not any(_covers(each, media_type) for each in declared):
                return f'The content type is "{media_type[:100]}", not {", ".join(declared)}.'
        if not body:
            return "" if body is None else "The answer is empty."
        if media_type == _EVENTS:
            return self._breach_by_event(body)
        return self._breach_by_document(body, media_type) if whole else ""

    def holds_document(self, content_type: str) -> bool:
        """Is a body of this type JSON that `validate` judges? Only all of it can be."""
        return self.validate is not None and self._is_document(_media_type(content_type))

    def _is_document(self, media_type: str) -> bool:
        """A schema with no content types beside it declares JSON, whatever the answer calls itself."""
        declares_json = self.validate is not None and not self.content_types
        return declares_json or media_type == "application/json" or media_type.endswith("+json")

    def _breach_by_event(self, stream: bytes) -> str:
        """By the first event with data; whatever follows it has not been promised to be whole."""
        data: list[bytes] = []
        for line in stream.splitlines():
            if line.startswith(b"data:"):
                data.append(line[5:])
            elif line.startswith(b"event:") and line[6:].strip() == b"error" and not self.names_error:
                return "The stream begins with an error event that its contract does not name."
            elif data and not line:
                break
        try:
            document, _ = _parse(b"\n".join(data))
        except ValueError:
            return ""  # an event's data need not be JSON
        return self._breach_by_error(document)

    def _breach_by_document(self, body: bytes, media_type: str) -> str:
        if not self._is_document(media_type):
            return ""
        if self.decode is not None and len(body) <= _LONGEST_NUMBER:
            try:
                self.decode(body.decode())
                return ""
            except (ValueError, RecursionError):
                pass  # not so simple, or not good: for the others to tell
        try:
            document, is_strict = _parse(body)
        except ValueError:
            return "The answer is not JSON." if self.validate is not None or self.content_types else ""
        in_band = self._breach_by_error(document)
        if in_band or self.validate is None or (is_strict and self.keeps(document)):
            return in_band
        return self.validate(document) or ""

    def _breach_by_error(self, document: object) -> str:
        if isinstance(document, dict) and document.get("error") and not self.names_error:
            return 'The answer reports an "error" that its contract does not name.'
        return ""


def _parse(body: bytes) -> tuple[object, bool]:
    """The document, and whether it is strict JSON: Python's json also takes NaN, 1e999, UTF-16 and lone
    surrogates. msgspec is asked first because it takes 1.5 us for 1 KB, and json 6."""
    try:
        try:
            return msgspec.json.decode(body), True
        except msgspec.DecodeError:
            return json.loads(body), False
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _covers(declared: str, media_type: str) -> bool:
    return declared == media_type or (declared.endswith("/*") and media_type.startswith(declared[:-1]))


def _compile(schema: Mapping[str, object]) -> Validate:
    """A validator that has seen every reference resolve, so that it cannot fail on one later."""
    try:
        Draft202012Validator.check_schema(schema)
        _check_references(schema)
        # An empty registry fetches nothing: a schema is one document.
        validator = Draft202012Validator(schema, registry=Registry())
        validator.is_valid({})
    except SchemaError as error:
        raise ValueError(f"The schema is not a JSON Schema (2020-12): {error.message}.") from error
    except Unresolvable as error:
        raise ValueError(f"The response schema refers to what it does not hold: {error.ref}.") from error
    except RecursionError:
        raise ValueError("The response schema refers to itself without end.") from None

    def validate(document: object) -> str | None:
        try:
            error = next(validator.iter_errors(document), None)
        except (RecursionError, ArithmeticError, ValueError):  # too deep; 1e999 or NaN, divided
            return "The answer cannot be checked against its schema."
        if error is None:
            return None
        # The place in the schema is the operator's own text; the error's message quotes the answer.
        return f"The answer breaks its schema at {'/'.join(map(str, error.absolute_schema_path))}."

    return validate


def _compile_fast(schema: Mapping[str, object]) -> Keeps:
    """A second opinion in 1 us, where jsonschema takes 200 for a small answer.

    What it does not let pass, jsonschema judges, and says where the schema is broken.
    """
    try:
        validator = jsonschema_rs.Draft202012Validator(dict(schema), offline=True)
    except ValueError:
        return _cannot_tell  # a pattern of Python's that is not ECMA's, for example

    def keeps(document: object) -> bool:
        try:
            return validator.is_valid(document)
        except ValueError:
            return False

    return keeps


def _decoder(schema: Mapping[str, Any], names_error: bool) -> Decode | None:
    """An error that the schema does not name must be null: the decoder is all that looks at the answer."""
    if not names_error and schema.get("additionalProperties") is not False:
        schema = {**schema, "properties": {"error": {"type": "null"}, **schema.get("properties", {})}}
    return decoder_of(schema)


def _check_references(schema: Mapping[str, object]) -> None:
    """Raises Unresolvable or SchemaError for a reference that leads nowhere, or not to a schema."""
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
    for reference in _references(schema):
        Draft202012Validator.check_schema(resolver.lookup(reference).contents)


def _references(node: object, *, root: bool = True) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            if key == "$id" and isinstance(value, str) and not root:
                raise SchemaError("an inner $id makes it several documents")
            yield from _references(value, root=False)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value, root=False)


def _names_error(schema: Mapping[str, object]) -> bool:
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and "error" in properties:
        return True
    branches = [schema.get(keyword) for keyword in ("allOf", "anyOf", "oneOf")]
    return any(
        isinstance(each, Mapping) and _names_error(each)
        for branch in branches
        if isinstance(branch, list)
        for each in branch
    )
