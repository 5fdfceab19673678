"""What became of a call, told to those who may ask: to staff whole, to its client without names.

A record comes from the database, or, while the journal has not drained it, from the memory of the worker
that served it; both are told alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, Sum

from orchestrators.models import reach
from routing.core.kept import UNDER_WAY, State, on_result, state_after
from routing.decisions import unpack
from routing.journal import AttemptRecord, JobRecord
from routing.models import Job, KeptCall, UsageHour

# Of a candidate's terms, those that tell nothing of its price or of other clients' calls.
FOR_CLIENTS = ("state", "warm", "latency_ms", "failure")


def find(request_id: str) -> JobRecord | None:
    """From the database: two queries. Raises django.db.Error."""
    job = Job.objects.filter(pk=request_id).first()
    return None if job is None else record_of(job)


LATEST = 5_000  # calls that a 95th percentile is taken of, at most


def lately(capability: str, windows: Sequence[datetime]) -> list[tuple[float | None, float | None]]:
    """(error rate from 0 to 1, p95 in ms) since each of these; None where nothing was asked, or no good answer
    is kept. Two queries.

    The rate is exact and counts whole hours; the percentile is of the latest good answers kept as jobs (R72),
    as far back as one search goes.
    """
    whole = [since.replace(minute=0, second=0, microsecond=0) for since in windows]
    sums = {
        f"{name}_{place}": Sum(name, filter=Q(hour__gte=hour))
        for place, hour in enumerate(whole)
        for name in ("requests", "failures")
    }
    told = UsageHour.objects.filter(capability=capability, hour__gte=min(whole)).aggregate(**sums)
    seen = reach.within(Job.objects.filter(at__gte=min(windows)).order_by("-at"))
    latest = list(seen.filter(capability=capability, code="ok").values_list("at", "ms")[:LATEST])
    return [
        (
            _part(told[f"failures_{place}"], told[f"requests_{place}"]),
            _p95([ms for at, ms in latest if at >= since]),
        )
        for place, since in enumerate(windows)
    ]


def _part(part: int | None, whole: int | None) -> float | None:
    return (part or 0) / whole if whole else None


def _p95(took: list[int]) -> int | None:
    return sorted(took)[-(-95 * len(took) // 100) - 1] if took else None


def record_of(job: Job) -> JobRecord:
    """The journal's record, which the row and its attempts came from."""
    attempts = tuple(
        AttemptRecord(
            at=each.at.timestamp(),
            orchestrator=each.orchestrator,
            outcome=each.outcome,
            status=each.status,
            ms=each.ms,
            cold=each.cold,
            held_against=each.held_against,
            detail=each.detail,
        )
        for each in job.attempts.order_by("number")
    )
    return JobRecord(
        request_id=job.request_id,
        at=job.at.timestamp(),
        client=job.client,
        capability=job.capability,
        worker_path=job.worker_path,
        code=job.code,
        status=job.status,
        orchestrator=job.orchestrator,
        ms=job.ms,
        bytes_in=job.bytes_in,
        bytes_out=job.bytes_out,
        wei=job.wei,
        policy=job.policy,
        decision=job.decision,
        attempts=attempts,
        trace=job.trace or "",
        model_id=job.model_id or "",
    )


def for_staff(record: JobRecord) -> dict[str, Any]:
    """All there is, as JSON values; wei as text, since it may be more than a JSON number holds."""
    return {
        "request_id": record.request_id,
        "at": _moment(record.at),
        "client": record.client,
        "capability": record.capability,
        "worker_path": record.worker_path,
        "code": record.code,
        "status": record.status,
        "orchestrator": record.orchestrator or None,
        "ms": record.ms,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "wei": str(record.wei),
        "revision": record.policy,
        "trace": record.trace or None,
        "model_id": record.model_id or None,
        "attempts": [
            {
                "orchestrator": each.orchestrator,
                "class": each.outcome,
                "at": _moment(each.at),
                "ms": each.ms,
                "status": each.status,
                "cold": each.cold,
                "held_against": each.held_against,
                "detail": each.detail,
            }
            for each in record.attempts
        ],
        "decision": unpack(record.decision) if record.decision else None,
    }


def for_client(record: JobRecord) -> dict[str, Any]:
    """No name, host, price or model. Offers are numbered: the candidates in their order, then the refused.

    `state`: as of a kept call. `result`: none, but of one that is kept.
    """
    decision = unpack(record.decision) if record.decision else None
    offers = [*decision["candidates"], *decision["refused"]] if decision else []
    # The last resort is both: refused, and asked all the same.
    names = dict.fromkeys(each["orchestrator"] for each in offers)
    numbers = {name: number for number, name in enumerate(names, 1)}
    return {
        "request_id": record.request_id,
        "at": _moment(record.at),
        "capability": record.capability,
        "state": state_after(record.code).value,
        "code": record.code,
        "status": record.status,
        "result": None,
        "ms": record.ms,
        "revision": record.policy,
        "trace": record.trace or None,
        "attempts": [
            {
                "candidate": numbers.get(each.orchestrator),
                "class": each.outcome,
                "at": _moment(each.at),
                "ms": each.ms,
            }
            for each in record.attempts
        ],
        "decision": None if decision is None else _without_names(decision, numbers),
    }


def of_kept(call: KeptCall, state: State, record: JobRecord | None) -> dict[str, Any]:
    """A kept call for its client: of one under way, or whose line is still in a journal, what is known."""
    told: dict[str, Any] = {
        "request_id": call.request_id,
        "at": _moment(call.at.timestamp()),
        "capability": call.capability,
        "code": call.code or None,
        "status": call.status,
        **dict.fromkeys(("ms", "revision", "trace"), None),
        "attempts": [],
        "decision": None,
    }
    ended = state not in UNDER_WAY
    if record is not None and ended:
        told = for_client(record) | {"code": call.code}
    has_result = ended and on_result(call.facts) is None
    return told | {"state": state.value, "result": result_path(call.request_id) if has_result else None}


def result_path(request_id: str) -> str:
    return f"/v1/jobs/{request_id}/result"


def _without_names(decision: dict[str, Any], numbers: dict[str, int]) -> dict[str, Any]:
    return {
        "candidates": [
            {
                "candidate": numbers[each["orchestrator"]],
                "class": each["class"],
                "terms": {name: each["terms"][name] for name in FOR_CLIENTS},
            }
            for each in decision["candidates"]
        ],
        "refused": [
            {"candidate": numbers[each["orchestrator"]], "reason": each["reason"]}
            for each in decision["refused"]
        ],
        "draws": decision["draws"],
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
