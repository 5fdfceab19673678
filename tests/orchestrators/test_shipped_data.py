"""A fresh installation knows three latency profiles and six capabilities."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection

from orchestrators.core.price import Price
from orchestrators.models import Capability, RoutingProfile

pytestmark = pytest.mark.django_db
GWEI = 10**9


def test_it_ships_the_profiles() -> None:
    """R31: profiles set retry timeouts and ceilings."""
    names = ("max_attempts", "retry_timeout", "attempt_timeout", "cold_grace", "latency_target_ms")
    more = ("max_in_flight", "seat_wait", "fresh_for", "value_of_second", "suggested_ceiling")
    found = {row[0]: row[1:] for row in RoutingProfile.objects.values_list("slug", *names, *more)}
    assert found == {
        "warm": (3, 8, 5, 10, 1000, 2, 4, 120, 300 * GWEI, Price.parse("300 gwei/second")),
        "per-frame": (3, 12, 3, 15, 50, 8, 4, 120, 300 * GWEI, Price.parse("30 gwei/second")),
        "chained": (3, 30, 20, 30, 2000, 1, 15, 300, 600 * GWEI, Price.parse("600 gwei/second")),
    }


def test_it_ships_the_capabilities() -> None:
    """R24: the descriptors are there after a fresh install."""
    found = dict(Capability.objects.values_list("slug", "profile__slug"))
    assert found == {
        "image-to-image": "warm",
        "video-to-video": "warm",
        "style-transfer": "warm",
        "depth": "per-frame",
        "segmentation": "per-frame",
        "pose": "per-frame",
    }
    assert all(Capability.objects.values_list("description", flat=True))


def test_the_profiles_stand_to_each_other_as_the_work_does() -> None:
    """R34, R36, R37, R39, R40, R41, R43: ceilings, timeouts and targets of warm, per-frame and chained work."""
    warm, frame, chained = (RoutingProfile.objects.get(slug=slug) for slug in ("warm", "per-frame", "chained"))
    assert 5 <= warm.retry_timeout <= 10
    assert "-aiProcessingRetryTimeout" in RoutingProfile._meta.get_field("retry_timeout").help_text  # R62
    assert warm.suggested_ceiling < chained.suggested_ceiling
    assert 10 <= frame.latency_target_ms < 100
    assert frame.retry_timeout > warm.retry_timeout
    assert frame.suggested_ceiling.per_unit * 10 <= warm.suggested_ceiling.per_unit
    assert frame.max_in_flight > warm.max_in_flight
    assert chained.latency_target_ms >= frame.latency_target_ms + warm.latency_target_ms
    assert chained.attempt_timeout >= frame.attempt_timeout + warm.attempt_timeout


def test_every_shipped_row_is_valid() -> None:
    for row in (*RoutingProfile.objects.all(), *Capability.objects.all()):
        row.full_clean()


def test_it_can_be_withdrawn_and_shipped_again() -> None:
    migration = importlib.import_module("orchestrators.migrations.0002_shipped_profiles_and_capabilities")
    Capability.objects.create(slug="subtitles", profile=RoutingProfile.objects.get(slug="warm"))
    editor = SimpleNamespace(connection=connection)
    migration.withdraw(apps, editor)
    assert list(Capability.objects.values_list("slug", flat=True)) == ["subtitles"]
    assert list(RoutingProfile.objects.values_list("slug", flat=True)) == ["warm"]
    Capability.objects.all().delete()
    RoutingProfile.objects.all().delete()
    migration.ship(apps, editor)
    assert Capability.objects.count() == 6
