"""Failover does what the table of effects says of each class."""

from __future__ import annotations

import pytest

from orchestrators.core.effects import EFFECTS
from orchestrators.core.outcome import Outcome, OutcomeClass
from routing.core.budget import Budget
from routing.core.failover import Attempt, Deliver, Try, decide, requests_fault
from routing.core.selection import rank
from tests.routing.core.cast import ALDER, BIRCH

NOW = 1000.0
BUDGET = Budget.of(NOW, retry_timeout=8, attempt_timeout=5, cold_grace=10)
JUDGED = [cls for cls in OutcomeClass if cls is not OutcomeClass.CANCELLED]  # nobody is left to serve


def attempts(cls: OutcomeClass, *, status: int = 400) -> tuple[Attempt, Attempt]:
    outcome = Outcome(cls, status=status, began=EFFECTS[cls].began)
    return Attempt(ALDER.offer_id, "alder", outcome, seconds=0.001), Attempt(
        BIRCH.offer_id, "birch", outcome, seconds=0.001
    )


@pytest.mark.parametrize("cls", JUDGED)
@pytest.mark.parametrize("stateful", [False, True])
def test_it_goes_elsewhere_where_the_table_says_so(cls: OutcomeClass, stateful: bool) -> None:
    """R49: a stateful capability only where nothing can have begun."""
    effect = EFFECTS[cls]
    ranked = rank([BIRCH], draws=(0, 0, 0))
    step = decide(ranked, attempts(cls)[:1], budget=BUDGET, max_attempts=3, stateful=stateful, now=NOW)
    assert isinstance(step, Deliver) is not effect.retry_elsewhere
    assert isinstance(step, Try) is (effect.retry_elsewhere and not (stateful and effect.began))


@pytest.mark.parametrize("cls", JUDGED)
def test_it_blames_the_request_for_what_the_table_lets_it(cls: OutcomeClass) -> None:
    assert bool(requests_fault(attempts(cls))) is EFFECTS[cls].blamable
