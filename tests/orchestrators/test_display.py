"""How the console writes moments, lengths of time, money and states; and its small charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from orchestrators.core.price import Price
from orchestrators.display import amounts, charts, moments, states

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (0, "just now"),
        (12, "12 s ago"),
        (540, "9 min ago"),
        (7300, "2 h ago"),
        (3 * 86400, "3 d ago"),
        (-90, "in 1 min"),
    ],
)
def test_a_moment_is_relative_with_the_exact_one_beside_it(ago: int, text: str) -> None:
    at = NOW - timedelta(seconds=ago)
    html = moments.when(at, NOW)
    assert f">{text}</time>" in html and f'datetime="{at:%Y-%m-%dT%H:%M:%SZ}"' in html
    assert f'title="{at:%Y-%m-%d %H:%M:%S} UTC"' in html


@pytest.mark.parametrize(
    ("left", "english", "german"),
    [
        (23 * 3600, "for another 23 h", "noch 23 h"),
        (0.5, "for another 0 s", "noch 0 s"),
        (-180, "until 3 min ago", "bis vor 3 min"),
    ],
)
def test_an_end_is_what_is_left_until_then(left: float, english: str, german: str) -> None:
    at = NOW + timedelta(seconds=left)
    assert f">{english}</time>" in moments.until(at, NOW)
    assert f'title="{at:%Y-%m-%d %H:%M:%S} UTC"' in moments.until(at, NOW)
    with translation.override("de"):
        assert f">{german}</time>" in moments.until(at, NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0364, "36 ms"),
        (1.234, "1.2 s"),
        (42.4, "42 s"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (None, "–"),
    ],
)
def test_a_length_of_time_has_the_units_that_matter(seconds: float | None, text: str) -> None:
    assert moments.length(seconds) == text


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0 wei"),
        (709, "709 wei"),
        (300_000_000, "0.3 gwei"),
        (260 * 10**9, "260 gwei"),
        (41 * 10**15, "0.041 ETH"),
        (123_456 * 10**15, "123.5 ETH"),
        (12_346 * 10**18, "12,350 ETH"),
    ],
)
def test_an_amount_is_short_and_never_scientific(wei: int, text: str) -> None:
    assert amounts.amount(wei) == text
    assert f'title="{wei:,} wei"' in amounts.money(wei)


def test_a_price_keeps_the_exact_one_in_its_title() -> None:
    html = amounts.price(Price.parse("1/3 gwei/pixel"))
    assert "0.3333 gwei/pixel" in html and 'title="1000000000/3 wei/pixel"' in html


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 2, "50.0 %"),
        (9999, 10000, "99.9 %"),
        (1, 10**6, "0.1 %"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (0, 0, "–"),
    ],
)
def test_a_share_never_hides_the_one_that_is_missing(part: int, whole: int, text: str) -> None:
    assert amounts.percent(part, whole) == text


def test_numbers_follow_the_language() -> None:
    with translation.override("de"):
        assert amounts.count(1234567) == "1.234.567" and moments.length(1.25) == "1,2 s"


def test_a_state_is_told_by_shape_word_and_colour() -> None:
    assert states.state("ready, degraded") == '<span class="state warn">ready, degraded</span>'
    assert states.tone("gpu_oom") == states.tone("no_eligible") == "bad", "whatever is not known is a failure"
    assert states.state("") == ""


def test_a_line_has_gaps_where_nothing_was_measured() -> None:
    drawn = charts.sparkline([1, 2, None, 4, None, 3, 3], "Requests by hour: 3 of late")
    assert drawn.count("<polyline") == 2 and drawn.count("<circle") == 1
    assert "<title>Requests by hour: 3 of late</title>" in drawn and 'role="img"' in drawn
    assert charts.sparkline([], "nothing").count("<polyline") == 0
    assert charts.bars([0, 5, None, 10], "calls").count("<rect") == 2
    assert charts.beats(["good", "bad"], "2 probes").count("<rect") == 2
    assert 'class="meter over"' in charts.meter(5, 4, "5 of 4")
