"""Sessions and cookies of the console, as OWASP's cheat sheet on sessions wants them (issue 5, section 3)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db
RIGHT, INDEX = "for-tests-only", "/admin/"
ROOT = Path(__file__).resolve().parents[2]
TELL = """
import django, json
django.setup()
from django.conf import settings as s
from django.core import checks
found = checks.run_checks(include_deployment_checks=True)
cookies = {name: [getattr(s, f"{name}_COOKIE_{each}") for each in ("NAME", "SECURE", "HTTPONLY", "SAMESITE")]
           for name in ("SESSION", "CSRF", "LANGUAGE")}
print(json.dumps([[each.id for each in found], cookies]))
"""


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada", password=RIGHT)


def log_in(client: Client) -> None:
    answer = client.post("/admin/login/", {"username": "ada", "password": RIGHT, "next": INDEX})
    assert answer.status_code == 302


def last_used(client: Client, ago: float) -> None:
    session = client.session
    session["latest"] = time.time() - ago
    session.save()


def test_logging_in_makes_another_session_and_logging_out_ends_it(client: Client, ada: User) -> None:
    client.get("/admin/login/")
    session = client.session
    session["mine"] = "set by whoever made the session"
    session.save()
    before = session.session_key
    client.cookies["session"] = before
    log_in(client)
    key = client.session.session_key
    assert key != before
    assert "no-cache" in client.get(INDEX).headers["Cache-Control"]
    client.post("/admin/logout/")
    thief = Client()
    thief.cookies["session"] = key
    assert thief.get(INDEX).status_code == 302


def test_a_new_password_ends_the_other_sessions(client: Client, ada: User) -> None:
    other = Client()
    for each in (client, other):
        log_in(each)
    said = {"old_password": RIGHT, "new_password1": "a-new-password-1", "new_password2": "a-new-password-1"}
    assert client.post("/admin/password_change/", said).status_code == 302
    assert client.get(INDEX).status_code == 200
    assert other.get(INDEX).status_code == 302


def test_a_session_that_nobody_uses_ends(client: Client, ada: User) -> None:
    log_in(client)
    last_used(client, 59 * 60)
    assert client.get(INDEX).status_code == 200
    assert time.time() - client.session["latest"] < 59 * 60 - 1, "this was a use"
    last_used(client, 61 * 60)
    assert client.get(INDEX).headers["Location"] == f"/admin/login/?next={INDEX}"
    assert "_auth_user_id" not in client.session


def test_the_dashboard_by_itself_keeps_no_session_alive(client: Client, ada: User) -> None:
    log_in(client)
    last_used(client, 30 * 60)
    assert client.get("/admin/dashboard/").status_code == 200
    assert time.time() - client.session["latest"] >= 30 * 60
    last_used(client, 61 * 60)
    assert client.get("/admin/dashboard/").status_code == 302


def test_it_may_be_switched_off(client: Client, ada: User, settings: Any) -> None:
    settings.BYOCGW_SESSION_IDLE = 0
    log_in(client)
    last_used(client, 1e6)
    assert client.get(INDEX).status_code == 200


def test_behind_https_every_cookie_is_hardened_and_no_check_complains() -> None:
    """`manage.py check --deploy`, with what its hints ask for."""
    environment = os.environ | {
        "BIND": "192.0.2.1:8000",
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "BYOCGW_FIELD_KEYS": "a-key-of-more-than-32-characters-in-all",
        "BYOCGW_HTTPS": "true",
        "DJANGO_SETTINGS_MODULE": "byocgw.settings",
        "DATABASE_URL": "sqlite://:memory:",
    }
    command = [sys.executable, "-W", "ignore", "-c", TELL]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    found, cookies = json.loads(done.stdout.splitlines()[-1])
    assert [each for each in found if each.startswith(("security.", "byocgw.W1"))] == []
    for name, (called, secure, httponly, samesite) in cookies.items():
        assert (secure, httponly, samesite) == (True, True, "Lax"), name
        assert name == "LANGUAGE" or called.startswith("__Host-"), name
