"""The contract of a capability: what makes a success one, and which contracts are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.core.contract import Contract
from orchestrators.core.outcome import OutcomeClass
from tests.orchestrators.core.judging import ANY, judge

C = OutcomeClass
IMAGES = Contract.of(["image/*"], None)
JSON = Contract.of(["application/json"], None)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["images"],
    "properties": {"images": {"type": "array", "items": {"type": "string"}}},
}
DEPTH = Contract.of([], SCHEMA)


@pytest.mark.parametrize(
    ("content_type", "cls"),
    [
        ("image/png", C.OK),
        ("IMAGE/JPEG; q=1", C.OK),
        ("application/json", C.API_MISMATCH),
        ("imagex/png", C.API_MISMATCH),
        ("", C.API_MISMATCH),
    ],
)
def test_the_media_type_must_be_a_declared_one(content_type: str, cls: OutcomeClass) -> None:
    """R56, R66"""
    assert judge(content_type=content_type, body=b"x", contract=IMAGES).cls is cls


def test_parameters_of_the_content_type_do_not_matter() -> None:
    declared = Contract.of(["Application/JSON; charset=utf-8"], None)
    assert judge(content_type="application/json;charset=ascii", contract=declared).cls is C.OK


@pytest.mark.parametrize("content_type", ["application/json", "image/png", "text/event-stream"])
def test_a_success_without_an_answer_is_none(content_type: str) -> None:
    """R68"""
    assert judge(body=b"", content_type=content_type).cls is C.API_MISMATCH


@pytest.mark.parametrize(("contract", "cls"), [(ANY, C.OK), (JSON, C.API_MISMATCH), (DEPTH, C.API_MISMATCH)])
def test_no_content_is_an_answer_where_none_is_declared(contract: Contract, cls: OutcomeClass) -> None:
    assert judge(204, body=b"", contract=contract).cls is cls


@pytest.mark.parametrize(
    ("contract", "content_type", "holds"),
    [
        (DEPTH, "text/plain", True),  # a schema alone declares JSON, whatever it is called
        (Contract.of(["application/problem+json"], SCHEMA), "Application/Problem+JSON; charset=utf-8", True),
        (Contract.of(["text/*"], SCHEMA), "text/plain", False),
        (JSON, "application/json", False),  # without a schema nothing is judged
    ],
)
def test_a_document_is_what_a_schema_judges(contract: Contract, content_type: str, holds: bool) -> None:
    """R56: of such an answer all is waited for, if its length is not known."""
    assert contract.holds_document(content_type) is holds


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        (b'{"images": ["a"]}', C.OK),
        (b'{"images": [1]}', C.API_MISMATCH),
        (b"{}", C.API_MISMATCH),
        (b"not json", C.API_MISMATCH),
        (b"\xff\xff\xff", C.API_MISMATCH),
        (b"[" * 200_000, C.API_MISMATCH),
        (b"1" * 10_000, C.API_MISMATCH),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/problem+json", "text/html"])
def test_a_schema_declares_json_whatever_the_answer_calls_itself(
    body: bytes, cls: OutcomeClass, content_type: str
) -> None:
    """R56, R66"""
    assert judge(body=body, content_type=content_type, contract=DEPTH).cls is cls


def test_a_breach_names_the_schemas_place_not_the_answers_words() -> None:
    """R16"""
    detail = judge(body=b'{"images": [{"secret": 1}]}', contract=DEPTH).detail
    assert detail == "The answer breaks its schema at properties/images/items/type."


def test_beside_declared_types_a_schema_is_for_json_alone() -> None:
    either = Contract.of(["image/png", "application/json"], SCHEMA)
    assert judge(body=b"\x89PNG", content_type="image/png", contract=either).cls is C.OK
    assert judge(body=b"[]", contract=either).cls is C.API_MISMATCH


@pytest.mark.parametrize("body", [None, b'{"images": [1, 2'])
def test_what_was_not_read_whole_is_not_judged(body: bytes | None) -> None:
    assert judge(body=body, whole=False, contract=DEPTH).cls is C.OK


def test_json_that_is_none_matters_only_if_something_was_declared() -> None:
    assert judge(body=b"oops", contract=ANY).cls is C.OK
    assert judge(body=b"oops", contract=JSON).cls is C.API_MISMATCH
    assert judge(body=b"oops", content_type="text/plain", contract=ANY).cls is C.OK


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        (b'{"error": "no"}', C.API_MISMATCH),
        (b'{"error": {"message": "no"}}', C.API_MISMATCH),
        (b'{"error": null, "images": []}', C.OK),
        (b'{"error": ""}', C.OK),
        (b'["error"]', C.OK),
        (b'{"result": {"error": "no"}}', C.OK),
    ],
)
def test_an_error_inside_a_success_is_none(body: bytes, cls: OutcomeClass) -> None:
    assert judge(body=body).cls is cls


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"error": {"type": "string"}}},
        {"anyOf": [{"type": "array"}, {"properties": {"error": {}}}]},
        {"allOf": [True, {"oneOf": [{"properties": {"error": {}}}]}]},
    ],
)
def test_a_contract_may_have_an_error_of_its_own(schema: dict[str, Any]) -> None:
    assert judge(body=b'{"error": "no"}', contract=Contract.of([], schema)).cls is C.OK


@pytest.mark.parametrize(
    ("event", "cls"),
    [
        (b'data: {"error": "no"}\n\n', C.API_MISMATCH),
        (b'event: x\r\ndata: {"error":\r\ndata: "no"}\r\n\r\n', C.API_MISMATCH),
        (b'data: {"frame": 1}\n\n', C.OK),
        (b"data: [DONE]\n\n", C.OK),
        (b"data: plain words\n\n", C.OK),
        (b": only a comment\n\n", C.OK),
    ],
)
def test_a_stream_is_judged_by_its_first_event(event: bytes, cls: OutcomeClass) -> None:
    """R5: and never by a schema, which is for whole answers."""
    for contract in (ANY, DEPTH):
        assert judge(body=event, content_type="text/event-stream", contract=contract).cls is cls


def test_an_answer_that_cannot_be_checked_breaks_the_contract() -> None:
    odd = Contract.of([], {"multipleOf": 0.5})
    for body in (b"NaN", b"1e999"):
        assert judge(body=body, contract=odd).cls is C.API_MISMATCH
    nested = Contract.of([], {"items": {"$ref": "#"}})
    deep = b"[" * 900 + b"%b" + b"]" * 900
    assert judge(body=deep % b"NaN", contract=nested).cls is C.API_MISMATCH
    assert judge(body=deep % b"", contract=nested).cls is C.OK
    assert judge(body=b"[[]]", contract=nested).cls is C.OK


@pytest.mark.parametrize(
    "body", [b'"NaN"', b"[NaN]", '"\ud800"'.encode("utf-8", "surrogatepass"), b'"\\ud800"']
)
def test_what_only_python_takes_for_json_is_checked_as_well(body: bytes) -> None:
    """Containers in Python write NaN where a model's number overflows."""
    odd = Contract.of([], {"type": ["string", "array"], "items": {"type": "number"}})
    strict = Contract.of([], {"type": "object"})
    assert judge(body=body, contract=strict).cls is C.API_MISMATCH
    is_json = body[1:2] != b"\xed"
    assert judge(body=body, contract=odd).cls is (C.OK if is_json else C.API_MISMATCH)


def test_the_fast_checker_does_not_raise_either() -> None:
    assert not Contract.of([], {"type": "string"}).keeps("\ud800")


def test_a_pattern_in_pythons_own_words_is_obeyed() -> None:
    """The fast checker does not know it; then the other one judges alone."""
    contract = Contract.of([], {"type": "string", "pattern": r"^(?P<word>\w+) (?P=word)\Z"})
    assert judge(body=b'"no no"', contract=contract).cls is C.OK
    assert judge(body=b'"no yes"', contract=contract).cls is C.API_MISMATCH


SCHEMAS = [
    SCHEMA,
    {"type": "integer"},
    {
        "anyOf": [
            {"type": "number", "multipleOf": 0.5, "minimum": 0},
            {"type": ["string", "null"], "minLength": 1},
        ]
    },
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
    {"type": "array", "items": {"enum": [1, "a", None]}, "uniqueItems": True, "contains": {"const": 1}},
]
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["images", "a"]), inner),
    max_leaves=8,
)


@given(DOCUMENTS, st.sampled_from(SCHEMAS))
def test_both_checkers_are_of_one_mind(document: object, schema: dict[str, Any]) -> None:
    """R56: what the fast one lets pass, the other would have let pass."""
    contract = Contract.of([], schema)
    assert contract.validate is not None
    assert contract.keeps(document) == (contract.validate(document) is None)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array"}}},
        {"$id": "https://a.example/schema", "$ref": "#/$defs/a", "$defs": {"a": {"type": "array"}}},
        {"$ref": "#here", "$defs": {"a": {"$anchor": "here", "type": "array"}}},
        {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "array"}}},
    ],
)
def test_a_schema_may_refer_to_itself(schema: dict[str, Any]) -> None:
    contract = Contract.of([], schema)
    assert judge(body=b"[]", contract=contract).cls is C.OK
    assert judge(body=b"{}", contract=contract).cls is C.API_MISMATCH


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({"type": "objekt"}, "is not a JSON Schema"),
        ({"pattern": "("}, "is not a JSON Schema"),
        ([], "is not a JSON object"),
        (True, "is not a JSON object"),
        ({"$ref": "https://example.com/schema"}, "refers to what it does not hold: https://example.com/schema"),
        ({"items": {"$ref": "file:///etc/passwd"}}, "refers to what it does not hold"),
        ({"allOf": [{"$ref": "#/$defs/none"}]}, "refers to what it does not hold"),
        ({"$ref": "#/title", "title": "depth"}, "is not a JSON Schema"),
        ({"$defs": {"a": {"$id": "https://example.com/a"}}}, "inner \\$id"),
        ({"$ref": "#"}, "refers to itself without end"),
    ],
)
def test_it_refuses_a_schema_that_cannot_be_used(schema: Any, sentence: str) -> None:
    """R56: and fetches nothing."""
    with pytest.raises(ValueError, match=sentence) as refusal:
        Contract.of([], schema)
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("text", ["", "png", "image/", "*/*", "image/png/x", "image png"])
def test_it_refuses_what_is_no_media_type(text: str) -> None:
    with pytest.raises(ValueError, match="is not a media type"):
        Contract.of([text], None)


@pytest.mark.parametrize("stream", [b"event: error\ndata: it broke", b"event:error\ndata: {}"])
def test_a_stream_that_begins_with_an_error_event_breaks_the_contract(stream: bytes) -> None:
    """R56, R66"""
    assert judge(body=stream, content_type="text/event-stream").cls is C.API_MISMATCH
