"""An orchestrator's own words: exact texts of go-livepeer, which tell what an answer is before anything else.

A Live Runner's proxy preserves what its app says, so there only these few texts are the orchestrator's, and
402, which asks for payment (`server/ai_http.go`, `ai/runner/live_runner.go`). A container served directly has
nobody in front of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrators.core.outcome import OutcomeClass

# Of the token and the job handler of go-livepeer: (status, text).
_BYOC_TEXTS: Mapping[tuple[int, str], OutcomeClass] = {
    (503, "No capacity available for capability"): OutcomeClass.NOT_CLAIMED,
    (400, "Could not verify job creds"): OutcomeClass.REJECTED,
    (400, "Insufficient balance for request"): OutcomeClass.REJECTED,
    (402, "Insufficient balance for request"): OutcomeClass.REJECTED,
    (400, "Could not get job price"): OutcomeClass.REJECTED,
    (400, "Invalid eth address header"): OutcomeClass.REJECTED,
    (
        400,
        "Must have eth address and signature on address in Livepeer-Eth-Address header",
    ): OutcomeClass.REJECTED,
}
_BYOC_REFUSALS = (
    (400, "Could not get price err="),
    (503, "Could not get price err="),
    (400, "Could not get ticket params err="),
)
# It says "removing" even when it keeps the capability, as it does when the time ran out.
_REMOVING = "job not able to be processed, removing capability err="
_RAN_OUT = ("context canceled", "context deadline exceeded")

_RUNNER_TEXTS: Mapping[tuple[int, str], OutcomeClass] = {
    (503, "no capacity available for runner"): OutcomeClass.BUSY,
    (404, "runner not found"): OutcomeClass.NOT_CLAIMED,
    (404, "live runners are not supported"): OutcomeClass.NOT_CLAIMED,
    (400, "runner is not single-shot"): OutcomeClass.NOT_CLAIMED,
}
# Of its proxy: the app could not be reached, or went away.
_UNREACHED = ("dial tcp ", "read tcp ", "EOF", "unexpected EOF")


def own_words(protocol: str, status: int, text: str) -> OutcomeClass | None:
    """What an answer is by the words of the orchestrator; None: its container has spoken."""
    if protocol == "byoc":
        return _of_byoc(status, text)
    return _of_runner(status, text) if protocol == "live-runner" else None


def _of_byoc(status: int, text: str) -> OutcomeClass | None:
    if any(status == each and text.startswith(start) for each, start in _BYOC_REFUSALS):
        return OutcomeClass.REJECTED
    if status == 500 and text.startswith(_REMOVING):
        ran_out = any(words in text for words in _RAN_OUT)
        return OutcomeClass.TIMEOUT if ran_out else OutcomeClass.CONTAINER_CRASH
    return _BYOC_TEXTS.get((status, text))


def _of_runner(status: int, text: str) -> OutcomeClass | None:
    if status == 402:
        return OutcomeClass.REJECTED
    if status == 502 and text.startswith(_UNREACHED):
        return OutcomeClass.CONTAINER_CRASH
    return _RUNNER_TEXTS.get((status, text))
