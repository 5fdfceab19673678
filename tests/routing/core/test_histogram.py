from __future__ import annotations

from routing.core.histogram import Histogram, cumulative


def test_a_value_falls_into_the_first_bucket_that_takes_it() -> None:
    histogram = Histogram((0.1, 1.0))
    histogram.observe([3.0, 0.1, 0.5])
    histogram.observe([0.05])
    assert histogram.value() == [2, 1, 1, 3.65]
    assert repr(histogram) == "<Histogram of 4 values>"


def test_buckets_are_told_cumulatively() -> None:
    buckets, total = cumulative((0.1, 1.0), [2, 1, 1, 3.65])
    assert buckets == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert total == 3.65
