"""The decoder made of a schema: what it takes, the validators would have taken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.core.contract import Contract
from orchestrators.core.schema_type import decoder_of

ANSWER: dict[str, Any] = {
    "type": "object",
    "title": "an answer",
    "required": ["id", "choices"],
    "properties": {
        "id": {"type": "integer"},
        "choices": {"type": "array", "minItems": 1, "items": {"enum": ["stop", None]}},
        "scores": {"type": "object", "additionalProperties": {"type": "number"}},
        "text": {"type": ["string", "null"], "maxLength": 3},
        "done": {"type": "boolean"},
        "more": {},
    },
}
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"a-b": {"type": "string"}, "class": True},
    "additionalProperties": False,
}
GOOD = '{"id": 1, "choices": ["stop"]'
DIGITS = "1" * 4301  # one more than Python reads


def taken(schema: dict[str, Any], body: bytes) -> bool:
    """Whether the decoder lets it pass; and if it does, so must the validators."""
    contract = Contract.of([], schema)
    assert contract.decode is not None
    slow = replace(contract, decode=None)
    assert contract.breach("", body, True) == slow.breach("", body, True)
    blind = replace(slow, validate=lambda _: "asked", keeps=lambda _: False)
    return replace(blind, decode=contract.decode).breach("", body, True) == ""


@pytest.mark.parametrize(
    "body",
    [
        GOOD + "}",
        GOOD + ', "id": 2}',
        GOOD + ', "scores": {"a": 1, "é": 0.5, "a": 1e3}, "text": "ab\\u00e9", "done": true, "more": [{}]}',
        GOOD + ', "text": null, "unnamed": {"a": [1, null, "\\ud83d\\ude00"]}}',
        GOOD + ', "error": null}',
        '{"\\u0069d": 123456789012345678901234567890, "choices": ["st\\u006fp", null]}',
        GOOD + ', "unnamed": [1e999, 1.0, -0]}',  # infinite to Python, and any number will do
        GOOD + ', "scores": {"a": ' + "9" * 308 + "}}",
    ],
)
def test_it_takes_what_is_plainly_good(body: str) -> None:
    assert taken(ANSWER, body.encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": 1}',
        b'{"id": true, "choices": ["stop"]}',
        b'{"id": 1.0, "choices": ["stop"]}',  # an integer, which the validators know
        b'{"id": 1e999, "choices": ["stop"]}',
        b'{"id": null, "choices": ["stop"]}',
        b'{"id": "1", "id": 1, "choices": ["stop"]}',  # Python takes the last
        b'{"id": 1, "id": "1", "choices": ["stop"]}',
        b'{"id": 1, "choices": []}',
        b'{"id": 1, "choices": ["other"]}',
        *(
            (GOOD + rest).encode()
            for rest in [
                "",
                "}}",
                ",}",
                ', "text": "four"}',
                ', "done": 1}',
                ', "done": null}',
                ', "scores": {"a": false}}',
                ', "scores": {"a": NaN}}',
                ', "scores": {"a": ' + "9" * 309 + "}}",
                ', "unnamed": NaN}',
                ', "unnamed": -Infinity}',
                ', "unnamed": 01}',
                ', "unnamed": "\\ud800"}',
                ', "unnamed": "\x01"}',
                ', "error": "no"}',
                ', "error": false}',
                ', "\\u0065rror": {"message": "no"}}',
                ', "error": null, "error": 1}',
                ', "unnamed": ' + "[" * 2000 + "]" * 2000 + "}",
            ]
        ),
        GOOD.encode() + b', "unnamed": "\xff"}',
        GOOD.encode() + b', "unnamed": "\xed\xa0\x80"}',
        GOOD.encode() + b', "\xc3": 1}',
        b"\xef\xbb\xbf" + GOOD.encode() + b"}",
        (GOOD + "}").encode("utf-16"),
        b"",
        b"[]",
        b"null",
    ],
)
def test_all_else_is_for_the_validators(body: bytes) -> None:
    assert not taken(ANSWER, body)


@pytest.mark.parametrize(
    ("body", "is_taken"),
    [
        (b"{}", True),
        (b'{"a-b": "x", "class": {"y": [1e999]}}', True),
        (b'{"member0": "x"}', False),  # what the type calls it inside
        (b'{"error": null}', False),
        (b'{"a-b": null}', False),
    ],
)
def test_a_closed_object_has_no_members_but_its_own(body: bytes, is_taken: bool) -> None:
    assert taken(CLOSED, body) is is_taken


@pytest.mark.parametrize(
    ("schema", "document", "is_taken"),
    [
        ({"type": ["array", "null"]}, "[1, [2]]", True),
        ({"type": ["array", "null"]}, "null", True),
        ({"type": "array", "maxItems": 1}, "[1, 2]", False),
        ({"type": "array", "items": {"type": "object", "required": ["error"]}}, '[{"error": 1}]', True),
        ({"type": ["integer", "number"]}, "0.5", True),
        ({"type": ["string", "boolean"], "minLength": 2}, '"\U0001f600"', False),  # one character
        ({"type": "object", "properties": {"error": {"type": "string"}}}, '{"error": "no"}', True),
        ({"type": "object", "required": ["error"]}, '{"error": null}', True),
        ({"type": "object", "required": ["error"]}, "{}", False),
        ({"type": "object", "properties": {"": True, "é": {"type": "null"}}}, '{"": 1, "\\u00e9": 1}', False),
        ({"type": "array", "items": {"type": "null", "enum": ["a", None]}}, '["a"]', False),
        ({"type": "array", "items": {"type": ["string", "null"], "enum": ["a", None]}}, '["a", null]', True),
    ],
)
def test_other_forms(schema: dict[str, Any], document: str, is_taken: bool) -> None:
    assert taken(schema, document.encode()) is is_taken


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "a"},
        {"minItems": 1},
        {"properties": {"a": {"type": "string"}}},
        {"enum": [1]},
        {"enum": [True]},
        {"enum": []},
        {"enum": ["a"], "minLength": 1},
        {"enum": ["a"], "type": "null"},
        {"enum": ["\ud800"]},
        {"type": "array", "items": False},
        {"type": "array", "minItems": 1.0},
        {"type": "array", "maxItems": 1 << 70},
        {"type": "array", "items": {"anyOf": [{}]}},
        {"type": "object", "properties": {'"': {}}},
        {"type": "object", "required": ["\ud800"]},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "object", "required": ["a"], "additionalProperties": {"type": "null"}},
    ],
)
def test_a_schema_that_says_more_has_no_decoder(schema: dict[str, Any]) -> None:
    assert decoder_of(schema) is None


@pytest.mark.parametrize("schema", [{}, {"title": "any"}, {"type": "object", "additionalProperties": {}}])
def test_a_contract_whose_error_would_be_missed_has_none_either(schema: dict[str, Any]) -> None:
    """R56: an error in band is no success, whatever the schema leaves open."""
    assert decoder_of(schema) is not None
    contract = Contract.of([], schema)
    assert contract.decode is None
    assert contract.breach("", b'{"error": "no"}', True)


def test_a_long_answer_goes_to_the_validators() -> None:
    """Somewhere in it may be an integer that Python does not read; the type passes over it."""
    contract = Contract.of([], ANSWER)
    body = f'{GOOD}, "unnamed": {DIGITS}}}'
    assert contract.decode is not None
    contract.decode(body)
    assert contract.breach("", body.encode(), True) == "The answer is not JSON."
    padded = f'{GOOD}, "unnamed": "{"x" * 5000}"}}'
    assert not taken(ANSWER, padded.encode())
    assert contract.breach("", padded.encode(), True) == ""


NAMES = st.sampled_from(["a", "b", "error", "", "é", "a-b", "class", "member0"])
PLAIN = ("string", "number", "integer", "boolean", "null")
TOKENS = (
    *(
        "1",
        "1.0",
        "-0",
        "1e2",
        "0.5",
        "1e999",
        "1" * 30,
        "9" * 309,
        "true",
        "false",
        "null",
        "NaN",
        "-Infinity",
    ),
    *('"a"', '""', '"b"', '"\\u0061"', '"é"', '"\\ud83d\\ude00"', '"\\ud800"', '"\x01"', "[]", "{}", "[1]"),
    *('{"error": 1}', '{"a": "a", "a": 1}', "", "01", "[1,]"),
)
OF_TYPES = {
    "string": ('"a"', '""', '"bc"', '"\\u00e9"', '"é"'),
    "number": ("1", "0.5", "1.0", "-1e3"),
    "integer": ("1", "-0", "1.0", "1" * 30),
    "boolean": ("true", "false"),
    "null": ("null",),
}


def lengths(least: str, most: str) -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries({}, optional={least: st.integers(0, 2), most: st.integers(1, 3)})


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Arrays and objects of these, some of which may be null."""
    types = st.sampled_from([["array"], ["object"], ["object", "null"], ["object", "array", "string"]])
    of_objects = st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
        },
    )
    of_arrays = st.builds(
        merged, lengths("minItems", "maxItems"), st.fixed_dictionaries({}, optional={"items": inner})
    )
    return st.builds(merged, st.fixed_dictionaries({"type": types}), of_objects, of_arrays)


SCHEMAS = st.recursive(
    st.sampled_from([True, {}])
    | st.builds(lambda name: {"type": name}, st.sampled_from(PLAIN))
    | st.builds(lambda more: {"type": ["string", "null", "integer"], **more}, lengths("minLength", "maxLength"))
    | st.builds(lambda words: {"enum": words}, st.lists(st.sampled_from(["a", "é", None]), min_size=1)),
    larger,
    max_leaves=6,
)


@st.composite
def texts(draw: st.DrawFn, schema: Any) -> str:
    """JSON that keeps the schema, or nearly does, or is none; members may come twice."""
    if draw(st.integers(0, 11)) == 7 or not isinstance(schema, dict):
        return draw(st.sampled_from(TOKENS))
    if "enum" in schema:
        return json.dumps(draw(st.sampled_from(schema["enum"])))
    names = schema.get("type", PLAIN)
    name = draw(st.sampled_from([names] if isinstance(names, str) else names))
    if name == "array":
        number = draw(st.integers(schema.get("minItems", 0), 3))
        return f"[{', '.join(draw(texts(schema.get('items'))) for _ in range(number))}]"
    if name != "object":
        return draw(st.sampled_from(OF_TYPES[name]))
    known, rest = schema.get("properties", {}), schema.get("additionalProperties")
    others = draw(st.lists(NAMES, max_size=2))
    members = [*schema.get("required", ()), *(each for each in known if draw(st.booleans())), *others]
    pairs = [f"{json.dumps(each)}: {draw(texts(known.get(each, rest)))}" for each in members]
    return "{" + ", ".join(pairs) + "}"


def damaged(text: str, at: int, by: bytes) -> bytes:
    body = text.encode()
    return body[:at] + by + body[at:]


@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)), st.data())
def test_with_and_without_it_an_answer_is_judged_alike(schema: dict[str, Any], data: st.DataObject) -> None:
    """R56"""
    contract = Contract.of([], schema)
    slow = replace(contract, decode=None)
    for _ in range(5):
        text = data.draw(texts(schema))
        by = data.draw(st.sampled_from([b"", b"", b"", b"\xff", b"\xef\xbb\xbf", b" ", b'"', b"\x00"]))
        body = damaged(text, data.draw(st.integers(0, 20)), by)
        assert contract.breach("", body, True) == slow.breach("", body, True)
