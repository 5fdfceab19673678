from __future__ import annotations

from itertools import product

import pytest
from msgspec.structs import replace

from orchestrators.core.health import State
from orchestrators.core.outcome import Outcome, OutcomeClass, Speaker
from routing.core.budget import Budget
from routing.core.failover import Attempt, Deliver, GiveUp, Try, decide, may_wait, requests_fault
from routing.core.refusal import Code
from routing.core.selection import Candidate, rank
from tests.routing.core.cast import ALDER, BIRCH, CEDAR, attempt

NOW = 1000.0
BUDGET = Budget.of(NOW, retry_timeout=8, attempt_timeout=5, cold_grace=10)
ANNEX = replace(ALDER, offer_id=7)  # a second offer of Alder's orchestrator


def after(
    *history: Attempt,
    candidates: tuple[Candidate, ...] = (ALDER, BIRCH, CEDAR),
    max_attempts: int = 3,
    stateful: bool = False,
    now: float = NOW,
    budget: Budget = BUDGET,
    may_retry: bool = True,
) -> Try | Deliver | GiveUp:
    ranked = rank(candidates, draws=(0, 0, 0))
    return decide(
        ranked,
        history,
        budget=budget,
        max_attempts=max_attempts,
        stateful=stateful,
        now=now,
        may_retry=may_retry,
    )


def test_an_attempt_is_told_in_whole_milliseconds() -> None:
    assert Attempt(1, "alder", Outcome(OutcomeClass.OK), seconds=0.0846).ms == 85


class TestTheColdAndTheReady:
    cold = replace(BIRCH, state=State.UNKNOWN)

    def test_a_cold_one_leaves_time_to_ask_a_ready_one(self) -> None:
        found = decide(
            [self.cold, ALDER],
            (),
            budget=BUDGET,
            max_attempts=3,
            stateful=False,
            now=NOW,
        )
        assert found == Try(self.cold, pytest.approx(7.9))

    def test_nor_does_it_use_up_the_time_in_which_a_full_one_may_have_a_seat(self) -> None:
        trying = replace(self.cold, state=State.PROBATION)
        found = decide(
            [trying],
            (),
            budget=BUDGET,
            max_attempts=3,
            stateful=False,
            now=NOW,
            seat_missing=True,
        )
        assert found == Try(trying, pytest.approx(7.9))

    def test_it_has_its_grace_when_nobody_is_ready(self) -> None:
        assert after(candidates=(self.cold,)) == Try(self.cold, 15)


class TestWaitingForASeat:
    failed = attempt(ALDER, OutcomeClass.TIMEOUT)

    def test_it_may_wait_while_another_attempt_is_allowed(self) -> None:
        assert may_wait((), max_attempts=3, stateful=False)
        assert may_wait((self.failed,), max_attempts=3, stateful=False)
        assert not may_wait((self.failed,), max_attempts=1, stateful=False)

    def test_it_does_not_wait_for_what_is_settled(self) -> None:
        """R49: nor where a container with state may have begun."""
        assert not may_wait((self.failed,), max_attempts=3, stateful=True)
        assert not may_wait((attempt(ALDER, OutcomeClass.OK, 200),), max_attempts=3, stateful=False)


class TestTheBudgetOfRetries:
    failed = attempt(ALDER, OutcomeClass.TIMEOUT)
    proving = replace(BIRCH, state=State.PROBATION)

    def test_a_retry_on_probation_draws_on_it(self) -> None:
        assert after(self.failed, candidates=(ALDER, self.proving)) == Try(self.proving, 15, budgeted=True)
        gave_up = after(self.failed, candidates=(ALDER, self.proving), may_retry=False)
        assert gave_up == GiveUp(Code.DEADLINE)

    def test_what_nothing_speaks_against_needs_none(self) -> None:
        assert after(self.failed, candidates=(ALDER, BIRCH), may_retry=False) == Try(BIRCH, 15)

    def test_one_that_has_just_failed_needs_none(self) -> None:
        """Two orchestrators that say the same acquit each other: the second must be asked."""
        doubted = replace(BIRCH, doubted=True)
        assert after(self.failed, candidates=(ALDER, doubted), may_retry=False) == Try(doubted, 15)

    def test_a_first_attempt_is_no_retry(self) -> None:
        assert after(candidates=(self.proving,), may_retry=False) == Try(self.proving, 15)


class TestTrying:
    def test_it_tries_the_best_first(self) -> None:
        assert after() == Try(ALDER, 5)

    def test_it_gives_an_offer_not_known_warm_more_time(self) -> None:
        assert after(candidates=(BIRCH,)) == Try(BIRCH, 15)

    def test_it_gives_no_more_than_what_is_left(self) -> None:
        short = Budget.of(NOW, retry_timeout=8, attempt_timeout=5, cold_grace=10, client_timeout=6)

        assert after(attempt(ALDER, OutcomeClass.TIMEOUT), now=NOW + 5, budget=short) == Try(BIRCH, 1)

    @pytest.mark.parametrize(
        "failed",
        [
            attempt(ALDER, OutcomeClass.COLD_START, 503),
            attempt(ALDER, OutcomeClass.GPU_OOM, 500),
            attempt(ALDER, OutcomeClass.CONTAINER_CRASH),
            attempt(ALDER, OutcomeClass.API_MISMATCH, 200),
            attempt(ALDER, OutcomeClass.API_MISMATCH, 404),
            attempt(ALDER, OutcomeClass.TIMEOUT),
            attempt(ALDER, OutcomeClass.UNREACHABLE),
            attempt(ALDER, OutcomeClass.UPSTREAM_ERROR, 500),
            attempt(ALDER, OutcomeClass.BUSY, 429),
            attempt(ALDER, OutcomeClass.NOT_CLAIMED, 503),
            attempt(ALDER, OutcomeClass.REJECTED, 400),
        ],
        ids=lambda failed: failed.outcome.cls.value,
    )
    def test_it_tries_an_alternative_after_each_mode_of_failure(self, failed: Attempt) -> None:
        """R67: cold start, out of memory, crash, mismatch and all the others."""
        assert after(failed) == Try(BIRCH, 15)

    def test_it_never_tries_the_same_offer_twice(self) -> None:
        history = (attempt(ALDER, OutcomeClass.BUSY), attempt(CEDAR, OutcomeClass.BUSY))

        assert after(*history) == Try(BIRCH, 15)
        assert after(history[0], candidates=(ALDER,)) == GiveUp(Code.EXHAUSTED)

    def test_it_tries_another_offer_of_the_same_orchestrator(self) -> None:
        assert after(attempt(ALDER, OutcomeClass.TIMEOUT), candidates=(ALDER, ANNEX)) == Try(ANNEX, 5)


class TestDelivering:
    @pytest.mark.parametrize(
        "outcome",
        [
            Outcome(OutcomeClass.OK, status=200),
            Outcome(OutcomeClass.SLOW, status=200),
            Outcome(OutcomeClass.COLD_START, status=200, cold=True),
            Outcome(OutcomeClass.CLIENT_ERROR, status=422),
        ],
        ids=lambda outcome: outcome.cls.value,
    )
    def test_it_delivers_an_answer(self, outcome: Outcome) -> None:
        answered = Attempt(1, "alder", outcome, seconds=0.08)

        assert after(answered) == Deliver()
        assert after(answered, stateful=True, max_attempts=1, now=NOW + 100) == Deliver()

    def test_it_delivers_what_came_after_a_failure(self) -> None:
        assert after(attempt(ALDER, OutcomeClass.TIMEOUT), attempt(BIRCH, OutcomeClass.OK, 200)) == Deliver()


class TestBlamingTheRequest:
    def test_it_delivers_a_4xx_two_containers_agree_on(self) -> None:
        history = (
            attempt(ALDER, OutcomeClass.API_MISMATCH, 404),
            attempt(BIRCH, OutcomeClass.API_MISMATCH, 404),
        )

        assert after(*history) == Deliver()
        assert requests_fault(history) == {1, 2}

    @pytest.mark.parametrize(
        ("cls", "status"), [(OutcomeClass.UPSTREAM_ERROR, 500), (OutcomeClass.API_MISMATCH, 200)]
    )
    def test_it_gives_up_on_anything_else_they_agree_on(self, cls: OutcomeClass, status: int) -> None:
        """R68: never a 200, never a third orchestrator."""
        history = (attempt(ALDER, cls, status), attempt(BIRCH, cls, status))

        assert after(*history) == GiveUp(Code.EXHAUSTED)
        assert requests_fault(history) == {1, 2}

    def test_it_does_not_deliver_an_answer_that_is_no_longer_the_last(self) -> None:
        mismatch = OutcomeClass.API_MISMATCH
        history = (attempt(ALDER, mismatch, 404), attempt(BIRCH, mismatch, 404), attempt(CEDAR, mismatch, 405))

        assert after(*history) == GiveUp(Code.EXHAUSTED)
        assert requests_fault(history) == {1, 2}

    @pytest.mark.parametrize(
        "history",
        [
            (
                attempt(ALDER, OutcomeClass.UPSTREAM_ERROR, 500),
                attempt(BIRCH, OutcomeClass.UPSTREAM_ERROR, 502),
            ),
            (
                attempt(ALDER, OutcomeClass.UPSTREAM_ERROR, 500),
                attempt(ANNEX, OutcomeClass.UPSTREAM_ERROR, 500),
            ),
            (attempt(ALDER, OutcomeClass.UPSTREAM_ERROR), attempt(BIRCH, OutcomeClass.UPSTREAM_ERROR)),
            (attempt(ALDER, OutcomeClass.GPU_OOM, 500), attempt(BIRCH, OutcomeClass.GPU_OOM, 500)),
            (attempt(ALDER, OutcomeClass.BUSY, 503), attempt(BIRCH, OutcomeClass.BUSY, 503)),
            (attempt(ALDER, OutcomeClass.TIMEOUT), attempt(BIRCH, OutcomeClass.TIMEOUT)),
        ],
        ids=["statuses", "one orchestrator", "transport", "gpu_oom", "busy", "timeout"],
    )
    def test_it_does_not_blame_the_request_for(self, history: tuple[Attempt, ...]) -> None:
        assert requests_fault(history) == frozenset()
        assert isinstance(after(*history), Try)

    def test_it_does_not_blame_the_request_for_an_orchestrators_own_words(self) -> None:
        own = Outcome(OutcomeClass.UPSTREAM_ERROR, Speaker.ORCHESTRATOR, status=500)
        history = (Attempt(1, "alder", own, seconds=0.001), Attempt(2, "birch", own, seconds=0.001))

        assert requests_fault(history) == frozenset()

    def test_it_does_not_blame_a_container_that_never_spoke_a_status(self) -> None:
        silent = Outcome(OutcomeClass.UPSTREAM_ERROR, Speaker.CONTAINER)
        history = (Attempt(1, "alder", silent, seconds=0.001), Attempt(2, "birch", silent, seconds=0.001))

        assert requests_fault(history) == frozenset()


class TestGivingUp:
    def test_it_gives_a_stateful_capability_one_attempt_once_the_container_may_have_begun(self) -> None:
        """R49: exactly one attempt after the request may have reached the container."""
        began = attempt(ALDER, OutcomeClass.CONTAINER_CRASH)
        not_begun = attempt(ALDER, OutcomeClass.UNREACHABLE, began=False)

        assert after(began, stateful=True) == GiveUp(Code.EXHAUSTED)
        assert after(not_begun, stateful=True) == Try(BIRCH, 15)
        assert after(attempt(ALDER, OutcomeClass.TIMEOUT), stateful=True) == GiveUp(Code.DEADLINE)

    def test_it_obeys_the_number_of_attempts(self) -> None:
        """R12: max attempts are obeyed."""
        assert after(attempt(ALDER, OutcomeClass.BUSY), max_attempts=1) == GiveUp(Code.EXHAUSTED)
        assert after(attempt(ALDER, OutcomeClass.BUSY), max_attempts=2) == Try(BIRCH, 15)

    def test_it_starts_nothing_after_the_retry_timeout(self) -> None:
        """R12, R62: the retry timeout is obeyed."""
        failed = attempt(ALDER, OutcomeClass.CONTAINER_CRASH)

        assert after(failed, now=NOW + 8) == Try(BIRCH, 15)
        assert after(failed, now=NOW + 8.1) == GiveUp(Code.EXHAUSTED)

    def test_it_calls_it_the_deadline_when_time_was_the_reason(self) -> None:
        slow, broken = attempt(ALDER, OutcomeClass.TIMEOUT), attempt(BIRCH, OutcomeClass.CONTAINER_CRASH)

        assert after(now=NOW + 8.1) == GiveUp(Code.DEADLINE)
        assert after(broken, now=NOW + 23) == GiveUp(Code.DEADLINE)
        assert after(slow, now=NOW + 8.1) == GiveUp(Code.DEADLINE)
        assert after(slow, broken, now=NOW + 8.1) == GiveUp(Code.EXHAUSTED)

    def test_it_tells_nobody_there_from_everybody_failed(self) -> None:
        """R68: no alternative means an error, and which one."""
        assert after(candidates=()) == GiveUp(Code.NONE_AVAILABLE)
        assert after(max_attempts=0) == GiveUp(Code.NONE_AVAILABLE)
        assert after(attempt(ALDER, OutcomeClass.BUSY), candidates=()) == GiveUp(Code.EXHAUSTED)


@pytest.mark.parametrize("stateful", [False, True])
def test_it_always_ends(stateful: bool) -> None:
    """R48, R68: whatever three orchestrators do, each is asked once at most and the end is a value."""
    statuses = {
        OutcomeClass.CLIENT_ERROR: 400,
        OutcomeClass.API_MISMATCH: 404,
        OutcomeClass.UPSTREAM_ERROR: 500,
    }
    ranked = rank((ALDER, BIRCH, CEDAR), draws=(0, 0, 0))

    for script in product(OutcomeClass, repeat=3):
        history: tuple[Attempt, ...] = ()
        for cls in (*script, None):
            now = NOW + 2 * len(history)
            step = decide(ranked, history, budget=BUDGET, max_attempts=9, stateful=stateful, now=now)
            if not isinstance(step, Try):
                break
            assert cls is not None and 0 < step.timeout <= BUDGET.left(now)
            assert step.candidate.offer_id not in {each.offer_id for each in history}
            history += (attempt(step.candidate, cls, statuses.get(cls)),)

        assert isinstance(step, Deliver | GiveUp)
        delivered = {OutcomeClass.OK, OutcomeClass.SLOW, OutcomeClass.CLIENT_ERROR, OutcomeClass.API_MISMATCH}
        assert isinstance(step, GiveUp) or history[-1].outcome.cls in delivered
