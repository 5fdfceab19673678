"""One answer judged, with every circumstance defaulted to the plain one."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from orchestrators.core.classify import Answered, Setting, Verdict, classify
from orchestrators.core.classify import judge as judged
from orchestrators.core.contract import Contract
from orchestrators.core.outcome import Outcome
from orchestrators.core.signature import DEFAULTS, Signature

ANY = Contract()
NO_HEADERS: Mapping[str, str] = {}


def judge(*answer: object, **circumstances: object) -> Outcome:
    """The outcome; arguments as of `case`."""
    return classify(*case(*answer, **circumstances))  # type: ignore[arg-type]


def verdict(*answer: object, **circumstances: object) -> Verdict:
    """The outcome and what it rests on; arguments as of `case`."""
    return judged(*case(*answer, **circumstances))  # type: ignore[arg-type]


def case(
    status: int = 200,
    body: bytes | None = b'{"images": []}',
    content_type: str = "application/json",
    *,
    contract: Contract = ANY,
    protocol: str = "byoc",
    whole: bool = True,
    latency: float = 0.1,
    retry_after: str = "",
    path_known: bool = True,
    known_warm: bool = True,
    headers: Mapping[str, str] = NO_HEADERS,
    signatures: tuple[Signature, ...] = DEFAULTS,
) -> tuple[Answered, Setting]:
    said = {"content-type": content_type, "retry-after": retry_after, **headers}
    answered = Answered(status, said, body, whole, latency)
    return answered, Setting(protocol, contract, path_known, inf if known_warm else 1.0, signatures)
