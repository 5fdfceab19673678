from __future__ import annotations

import pytest

from orchestrators.core.fit import Fit, fit_of


@pytest.mark.parametrize(
    ("stateful", "seconds", "fit"),
    [(False, 0.05, Fit.GOOD), (False, 10.0, Fit.GOOD), (False, 10.1, Fit.FAIR), (False, 60.0, Fit.FAIR)],
)
def test_short_work_fits(stateful: bool, seconds: float, fit: Fit) -> None:
    """R20, R46"""
    assert fit_of(stateful=stateful, seconds=seconds) is fit


@pytest.mark.parametrize(("stateful", "seconds"), [(True, 0.05), (False, 60.1)])
def test_long_or_stateful_work_fits_poorly(stateful: bool, seconds: float) -> None:
    """R21"""
    assert fit_of(stateful=stateful, seconds=seconds) is Fit.POOR
