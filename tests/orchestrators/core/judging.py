"""One answer judged, with every circumstance defaulted to the plain one."""

from __future__ import annotations

from orchestrators.core.classify import Answered, Contract, Setting, classify
from orchestrators.core.outcome import Outcome

ANY = Contract()


def judge(
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
) -> Outcome:
    answered = Answered(status, content_type, body, whole, latency, retry_after)
    return classify(answered, Setting(protocol, contract, path_known, known_warm, cold_over=1.0))
