"""What one contact with an offer told us: the closed list of classes, and the value that carries one.

Every attempt and every probe ends in an `Outcome`; health, failover, the journal, metrics and the
admin all read the same classes, so a word means one thing everywhere.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class OutcomeClass(StrEnum):
    """Where a request passes, its members are bound to names: Python 3.11 takes 950 instructions to find one
    here, and 40 for a name of a module."""

    __hash__ = str.__hash__  # Enum's own is written in Python, and takes 0.4 us of each look-up: 5 us a request

    OK = "ok"
    SLOW = "slow"
    COLD_START = "cold_start"
    BUSY = "busy"
    NOT_CLAIMED = "not_claimed"
    GPU_OOM = "gpu_oom"
    CONTAINER_CRASH = "container_crash"
    API_MISMATCH = "api_mismatch"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    UPSTREAM_ERROR = "upstream_error"
    REJECTED = "rejected"
    CLIENT_ERROR = "client_error"
    CANCELLED = "cancelled"


class Speaker(StrEnum):
    """Whose words an outcome rests on; it decides whether the request itself may be to blame."""

    CONTAINER = "container"
    ORCHESTRATOR = "orchestrator"
    TRANSPORT = "transport"
    GATEWAY = "gateway"


class Fault(StrEnum):
    """How a connection failed, told by `orchestrators.upstream`; its errors carry one each."""

    SATURATED = "saturated"  # our own connection cap to that origin: nothing was sent
    REFUSED = "refused"  # nobody listens there: nothing was sent
    UNREACHABLE = "unreachable"  # DNS, connect timeout, TLS: nothing was sent
    UNTRUSTED = "untrusted"  # the certificate is not the one we know: nothing was sent
    NO_ANSWER = "no_answer"  # sent, and not one byte of an answer in time
    BROKEN = "broken"  # sent, then the connection closed or reset before an answer
    MALFORMED = "malformed"  # sent, and what came back is not HTTP
    STALLED = "stalled"  # part of an answer, then silence
    CUT_OFF = "cut_off"  # part of an answer, then the connection broke
    TOO_LARGE = "too_large"  # the answer outgrew our cap


# Nothing of the request left this process: the container cannot have begun.
NOTHING_SENT = frozenset({Fault.SATURATED, Fault.REFUSED, Fault.UNREACHABLE, Fault.UNTRUSTED})


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One contact, judged.

    `latency`: seconds from the first byte sent to the commit point (None if none was reached).
    `cold`: the success paid for loading a model. `retry_after`: seconds the other side asked for.
    `began`: the container may have started work, so a stateful capability must not be asked again.
    `detail` is for the operator; it may name hosts and never reaches a client.
    """

    cls: OutcomeClass
    speaker: Speaker = Speaker.CONTAINER
    status: int | None = None
    latency: float | None = None
    cold: bool = False
    retry_after: float | None = None
    began: bool = True
    detail: str = ""

    @property
    def is_answer(self) -> bool:
        """True if the client gets this reply as it is: a success, or its own fault."""
        return self.cls in _ANSWERS or self.cold

    @property
    def is_success(self) -> bool:
        return self.cls in _SUCCESS or self.cold


_SUCCESS = frozenset({OutcomeClass.OK, OutcomeClass.SLOW})
_ANSWERS = _SUCCESS | {OutcomeClass.CLIENT_ERROR}
