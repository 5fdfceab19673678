"""When a time has come that another clock may have written."""

from __future__ import annotations

import pytest

from orchestrators.core.clocks import SKEW, has_come

NOW = 1000.0


@pytest.mark.parametrize(
    ("ahead", "come"),
    [(-7200.0, True), (0.0, True), (0.1, False), (300.0, False), (300.0 + SKEW, False), (300.1 + SKEW, True)],
)
def test_it_has_come_once_it_is_past_or_further_ahead_than_it_can_be(ahead: float, come: bool) -> None:
    assert has_come(NOW + ahead, NOW, longest=300.0) is come
