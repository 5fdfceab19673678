"""R72: p95 latency and error rate of a capability, for a window."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from routing.history import lately
from routing.models import Job, UsageHour

pytestmark = pytest.mark.django_db


def test_it_tells_p95_and_error_rate_of_the_window() -> None:
    """R72: of one capability, and of what is young enough."""
    now = timezone.now()
    for number in range(1, 101):
        Job.objects.create(
            request_id=f"r{number}",
            at=now - timedelta(minutes=1),
            client="acme",
            code="ok",
            capability="depth",
            status=200,
            attempts_made=1,
            ms=number,
            bytes_in=0,
            bytes_out=0,
            wei=0,
            policy=1,
        )
    hour = now.replace(minute=0, second=0, microsecond=0)
    UsageHour.objects.create(hour=hour, client="acme", capability="depth", requests=10, failures=3)
    UsageHour.objects.create(hour=hour - timedelta(days=2), client="acme", capability="depth", requests=10)
    hour_ago, week_ago = now - timedelta(hours=1), now - timedelta(days=7)
    assert lately("depth", [hour_ago, week_ago]) == [(0.3, 95), (0.15, 95)]
    assert lately("echo", [week_ago]) == [(None, None)]
