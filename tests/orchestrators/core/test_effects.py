"""One table says what follows from each class; here it is held against what health does."""

from __future__ import annotations

import pytest

from orchestrators.core.effects import EFFECTS, OnHealth, in_words
from orchestrators.core.health import Health, Source, State, step
from orchestrators.core.outcome import Outcome, OutcomeClass

C = OutcomeClass
HEALTHY = Health(state=State.HEALTHY, since=1.0)
FAULTS = {C.TIMEOUT, C.UNREACHABLE, C.CONTAINER_CRASH, C.GPU_OOM, C.UPSTREAM_ERROR}


def after(cls: OutcomeClass, times: int = 1) -> Health:
    health = HEALTHY
    for _ in range(times):
        health = step(health, Outcome(cls), source=Source.TRAFFIC, now=100.0, draw=1.0)
    return health


def test_every_class_has_its_row() -> None:
    assert set(EFFECTS) == set(OutcomeClass)


@pytest.mark.parametrize("cls", OutcomeClass)
def test_health_obeys_it(cls: OutcomeClass) -> None:
    """R63-R66: a start is no fault; memory and crashes are faults; a mismatch is down at once."""
    on_health, once, twice = EFFECTS[cls].on_health, after(cls), after(cls, 2)
    assert (once.streak == 1) is (on_health in (OnHealth.FAULT, OnHealth.DOWN))
    assert (once.state is State.DOWN) is (on_health in (OnHealth.DOWN, OnHealth.SHUT))
    assert (twice.state is State.DOWN) is (on_health in (OnHealth.FAULT, OnHealth.DOWN, OnHealth.SHUT))
    assert (once.state is State.DOWN and once.until is None) is (on_health is OnHealth.SHUT)
    assert (once.busy_until > 0) is (on_health is OnHealth.WAIT)
    assert (once.last_success_at is not None) is (on_health is OnHealth.PROOF)


def test_the_faults_are_these() -> None:
    assert {cls for cls, effect in EFFECTS.items() if effect.on_health is OnHealth.FAULT} == FAULTS


def test_memory_alone_has_the_siblings_probed() -> None:
    """R64: it evicts other models."""
    assert [cls for cls, effect in EFFECTS.items() if effect.reprobe_siblings] == [C.GPU_OOM]


def test_a_wrong_answer_alone_costs_reputation() -> None:
    """R57, R66: a fault is no lie."""
    assert [cls for cls, effect in EFFECTS.items() if effect.reputation] == [C.API_MISMATCH]


@pytest.mark.parametrize("cls", OutcomeClass)
def test_only_what_is_no_answer_is_asked_elsewhere(cls: OutcomeClass) -> None:
    given_up = cls is C.CANCELLED
    assert EFFECTS[cls].retry_elsewhere is not (Outcome(cls).is_answer or given_up)


@pytest.mark.parametrize("cls", OutcomeClass)
def test_it_is_told_in_sentences(cls: OutcomeClass) -> None:
    for sentence in in_words(Outcome(cls, began=EFFECTS[cls].began)):
        assert sentence[0].isupper() and sentence.endswith(".")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(C.OK), "The client gets this answer"),
        (Outcome(C.COLD_START, cold=True), "The client gets this answer"),
        (Outcome(C.COLD_START, began=False), "also for a stateful capability"),
        (Outcome(C.TIMEOUT), "unless the capability is stateful"),
        (Outcome(C.CANCELLED), "No other orchestrator is asked."),
        (Outcome(C.CLIENT_ERROR), "the request is to blame"),
        (Outcome(C.NOT_CLAIMED, began=False), "not claimed until a probe"),
        (Outcome(C.API_MISMATCH), "loses 15 of 100 points"),
        (Outcome(C.GPU_OOM), "other capabilities are probed at once"),
    ],
)
def test_what_differs_is_said(outcome: Outcome, words: str) -> None:
    assert words in " ".join(in_words(outcome))
