"""The control plane's security headers and cookies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.mark.parametrize("address", ["/admin/login/", "/admin/", "/healthz", "/nothing-here"])
def test_every_answer_of_the_control_plane_carries_a_strict_policy(client: Client, address: str) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    policy = client.get(address).headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "form-action 'self'" in policy
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy


def test_pages_hold_nothing_that_the_policy_would_stop(client: Client) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    for address in ("/admin/", "/admin/orchestrators/offer/", "/admin/orchestrators/capability/1/change/"):
        text = client.get(address).content.decode()
        assert " style=" not in text and "<style" not in text and " onclick=" not in text
        assert "<script>" not in text and "javascript:" not in text


def test_cookies_are_for_the_browser_alone(client: Client) -> None:
    User.objects.create_superuser("ada", password="for-tests-only")
    client.get("/admin/login/")
    client.post("/admin/login/", {"username": "ada", "password": "for-tests-only"})
    for name in ("session", "csrf"):
        assert client.cookies[name]["httponly"] and client.cookies[name]["samesite"] == "Lax"
