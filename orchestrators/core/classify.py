"""One answer, or one failed connection, judged: what happened, and by whose word.

Three questions, in this order, because a status alone misleads:

1. Are these the orchestrator's *own* words? A BYOC orchestrator answers with the container's statuses
   and with its own; only its exact texts tell them apart. Those about credentials or payment are no
   fault of the request (`rejected`), and a stock gateway that hands them to the client is wrong.
2. Does the answer carry a known *signature*? Out of memory and loading have no status of their own.
   Operators keep the list (see `signature`); it is sought in the headers and the first 8 KiB.
3. Else the *status*; and a success must keep the capability's contract, or it is none.

Bodies belong to the client: no text of a container gets into an outcome, only the orchestrator's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import jsonschema_rs
import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from orchestrators.core.effects import EFFECTS
from orchestrators.core.outcome import NOTHING_SENT, Fault, Outcome, OutcomeClass, Speaker
from orchestrators.core.own_words import own_words
from orchestrators.core.signature import DEFAULTS, Signature, match

Validate = Callable[[object], str | None]
Keeps = Callable[[object], bool]

_HEAD = 8192  # bytes of a body that are read for words
_LONGEST_DETAIL = 300
_BUSY_FOR = 1.0  # seconds, where a busy side does not say how long
_LONGEST_BUSY = 300.0  # as long as the longest down: who asks for more is not obeyed

_OK, _BUSY = OutcomeClass.OK, OutcomeClass.BUSY  # see there

_FAULTS: Mapping[Fault, OutcomeClass] = {
    Fault.SATURATED: OutcomeClass.BUSY,
    Fault.REFUSED: OutcomeClass.UNREACHABLE,
    Fault.UNREACHABLE: OutcomeClass.UNREACHABLE,
    Fault.UNTRUSTED: OutcomeClass.UNREACHABLE,
    Fault.NO_ANSWER: OutcomeClass.TIMEOUT,
    Fault.BROKEN: OutcomeClass.CONTAINER_CRASH,
    Fault.MALFORMED: OutcomeClass.UPSTREAM_ERROR,
    Fault.STALLED: OutcomeClass.TIMEOUT,
    Fault.CUT_OFF: OutcomeClass.UPSTREAM_ERROR,
    Fault.TOO_LARGE: OutcomeClass.UPSTREAM_ERROR,
}

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:\*|[a-z0-9!#$&^_.+-]+)")
_EVENTS = "text/event-stream"


def _cannot_tell(document: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Contract:
    """What a capability's answers must be. Make one with `of`.

    `content_types`: media types in lower case, `image/*` for a family; none means any.
    `validate`: a JSON document -> None, or how it breaks the schema. `names_error`: the schema has an
    `error` of its own at the top, so that finding one proves nothing. `keeps`: True for a document of strict
    JSON that keeps the schema, at once; False says nothing.
    """

    content_types: tuple[str, ...] = ()
    validate: Validate | None = None
    names_error: bool = False
    keeps: Keeps = _cannot_tell

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
        return cls(media_types, _compile(schema), _names_error(schema), _compile_fast(schema))


class Answered(msgspec.Struct, frozen=True):
    """`headers`: names in lower case. `body`: all of it (`whole`), or the first SSE event, or the first 8 KiB;
    None if it was not read. `latency`: seconds from the first byte sent to the commit point.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    whole: bool
    latency: float


class Setting(msgspec.Struct, frozen=True):
    """What must be known besides the answer.

    `protocol`: byoc | live-runner | direct. `path_known`: this offer has served this worker path before, or
    it is its sample's. `cold_over`: seconds; a success slower than that was a cold start. inf for an offer
    that is known warm. `signatures`: in order.
    """

    protocol: str
    contract: Contract
    path_known: bool
    cold_over: float
    signatures: tuple[Signature, ...] = DEFAULTS


class Rule(StrEnum):
    """What an answer was judged by."""

    OWN_WORDS = "the orchestrator's own words"
    SIGNATURE = "a failure signature"
    STATUS = "the status"
    CONTRACT = "the capability's contract, and the time it took"


class Verdict(msgspec.Struct, frozen=True):
    """An outcome, and how it came about. `signature`: the one that matched, if any."""

    outcome: Outcome
    rule: Rule
    signature: Signature | None = None


def classify(answered: Answered, setting: Setting) -> Outcome:
    """Judge one answer. Never raises, whatever the other side sent."""
    is_success = 200 <= answered.status < 300
    if setting.signatures or not is_success:
        verdict = _by_words(answered, setting)
        if verdict is not None:
            return verdict.outcome
    return _by_contract(answered, setting) if is_success else _by_status(answered, setting)


def judge(answered: Answered, setting: Setting) -> Verdict:
    """`classify`, for whoever wants to know why. Never raises either."""
    rule = Rule.CONTRACT if 200 <= answered.status < 300 else Rule.STATUS
    return _by_words(answered, setting) or Verdict(classify(answered, setting), rule)


def _by_words(answered: Answered, setting: Setting) -> Verdict | None:
    """By the orchestrator's own words, or by a signature; None if neither is there."""
    status = answered.status
    signatures = [each for each in setting.signatures if each.status_from <= status <= each.status_to]
    if 200 <= status < 300 and not signatures:
        return None  # no words matter: 5 us of a success, more of a long one
    text = (answered.body or b"")[:_HEAD].decode("utf-8", "replace")
    own = _by_own_words(answered, text.rstrip(), setting.protocol)
    if own is not None:
        return Verdict(own, Rule.OWN_WORDS)
    signature = match(signatures, status, answered.headers, text.lower())
    if signature is not None:
        return Verdict(_by_signature(answered, signature), Rule.SIGNATURE, signature)
    return None


def classify_fault(fault: Fault, protocol: str, detail: str = "") -> Outcome:
    """Judge a connection that failed. With no orchestrator in front, it is the container that refuses."""
    cls = _FAULTS[fault]
    if fault is Fault.REFUSED and protocol == "direct":
        cls = OutcomeClass.CONTAINER_CRASH
    return Outcome(
        cls,
        speaker=Speaker.GATEWAY if fault is Fault.SATURATED else Speaker.TRANSPORT,
        began=fault not in NOTHING_SENT,
        detail=detail or fault.value,
    )


def _by_own_words(answered: Answered, text: str, protocol: str) -> Outcome | None:
    """Of the orchestrator in front of the container, if the protocol has one."""
    cls = own_words(protocol, answered.status, text)
    if cls is None:
        return None
    return msgspec.structs.replace(
        _outcome(answered, cls, text[:_LONGEST_DETAIL]), speaker=Speaker.ORCHESTRATOR
    )


def _by_signature(answered: Answered, signature: Signature) -> Outcome:
    """Its own texts tell the operator what was found: they are his, not the client's."""
    told = " and ".join(f'"{words}"' for words in (signature.text, signature.header) if words)
    return _outcome(answered, signature.cls, f"The container says {told} (signature {signature.name}).")


def _by_status(answered: Answered, setting: Setting) -> Outcome:
    status = answered.status
    if 300 <= status < 400:
        return _outcome(answered, OutcomeClass.API_MISMATCH, "Redirects are not followed.")
    if status in (429, 503):
        return _outcome(answered, _BUSY)
    if status in (404, 405) and setting.path_known:
        return _outcome(answered, OutcomeClass.API_MISMATCH, "A path that is known to exist is refused.")
    if 400 <= status < 500:
        return _outcome(answered, OutcomeClass.CLIENT_ERROR)
    return _outcome(answered, OutcomeClass.UPSTREAM_ERROR)


def _by_contract(answered: Answered, setting: Setting) -> Outcome:
    breach = _breach(answered, setting.contract)
    if breach:
        return _outcome(answered, OutcomeClass.API_MISMATCH, breach)
    if answered.latency > setting.cold_over:
        return msgspec.structs.replace(_outcome(answered, OutcomeClass.COLD_START), cold=True, began=True)
    return Outcome(_OK, status=answered.status, latency=answered.latency)


def _outcome(answered: Answered, cls: OutcomeClass, detail: str = "") -> Outcome:
    return Outcome(
        cls,
        status=answered.status,
        latency=answered.latency,
        retry_after=_seconds(answered.headers.get("retry-after", "")) if cls is _BUSY else None,
        began=EFFECTS[cls].began,
        detail=detail,
    )


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds. Its other form, a date, needs a clock that both sides share: default."""
    text = retry_after.strip()
    if not (text.isascii() and text.isdigit()):
        return _BUSY_FOR
    return min(float(text), _LONGEST_BUSY)


def _breach(answered: Answered, contract: Contract) -> str:
    """How a success breaks its contract, "" if it keeps it."""
    media_type, declared = answered.headers.get("content-type", ""), contract.content_types
    if media_type not in declared:
        media_type = _media_type(media_type)
        if declared and media_type not in declared and not any(_covers(each, media_type) for each in declared):
            return f'The content type is "{media_type[:100]}", not {", ".join(declared)}.'
    body = answered.body
    if not body:
        return "" if body is None else "The answer is empty."
    if media_type == _EVENTS:
        return _breach_by_event(body, contract)
    return _breach_by_document(body, media_type, contract) if answered.whole else ""


def _breach_by_event(stream: bytes, contract: Contract) -> str:
    """By the first event with data; whatever follows it has not been promised to be whole."""
    data: list[bytes] = []
    for line in stream.splitlines():
        if line.startswith(b"data:"):
            data.append(line[5:])
        elif line.startswith(b"event:") and line[6:].strip() == b"error" and not contract.names_error:
            return "The stream begins with an error event that its contract does not name."
        elif data and not line:
            break
    try:
        document, _ = _parse(b"\n".join(data))
    except ValueError:
        return ""  # an event's data need not be JSON
    return _breach_by_error(document, contract)


def _breach_by_document(body: bytes, media_type: str, contract: Contract) -> str:
    """A schema with no content types beside it declares JSON, whatever the answer calls itself."""
    declares_json = contract.validate is not None and not contract.content_types
    if not (declares_json or media_type == "application/json" or media_type.endswith("+json")):
        return ""
    try:
        document, is_strict = _parse(body)
    except ValueError:
        return "The answer is not JSON." if declares_json or contract.content_types else ""
    in_band = _breach_by_error(document, contract)
    if in_band or contract.validate is None or (is_strict and contract.keeps(document)):
        return in_band
    return contract.validate(document) or ""


def _breach_by_error(document: object, contract: Contract) -> str:
    if isinstance(document, dict) and document.get("error") and not contract.names_error:
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
    return declared.endswith("/*") and media_type.startswith(declared[:-1])


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
