"""What the environment says is obeyed, or stops the start with a sentence that names the variable."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from byocgw import settings as current

ROOT = Path(__file__).resolve().parents[1]
NAMES = re.findall(r"^#([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
LONG = "0123456789abcdefghijklmnopqrstuvwxyz-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TELL = """
import json, sys
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
try:
    json.dump({name: repr(getattr(settings, name)) for name in sys.argv[1:]}, sys.stdout)
except ImproperlyConfigured as exc:
    sys.exit(str(exc))
"""
TELLING = (sys.executable, "-W", "ignore", "-c", TELL)


def start(*command: str, **values: str) -> subprocess.CompletedProcess[str]:
    """A fresh process that knows of our variables only those given here."""
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment = kept | {"DJANGO_SETTINGS_MODULE": "byocgw.settings", "SECRET_KEY": LONG} | values
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def read(*names: str, **values: str) -> dict[str, str]:
    """These settings, as they come out of this environment."""
    said = start(*TELLING, *names, **values)
    assert said.returncode == 0, said.stderr
    found: dict[str, str] = json.loads(said.stdout)
    return found


WRONG = {
    "DEBUG": ("maybe", "DEBUG: 'maybe' is neither true nor false."),
    "BYOCGW_HTTPS": ("2", "BYOCGW_HTTPS: '2' is neither true nor false."),
    "BYOCGW_EXPOSE_ORCHESTRATOR": ("ja", "BYOCGW_EXPOSE_ORCHESTRATOR: 'ja' is neither true nor false."),
    "WEB_CONCURRENCY": ("0", "WEB_CONCURRENCY: 0 is too small; the least is 1."),
    "BYOCGW_MAX_BODY": ("64 MiB", "BYOCGW_MAX_BODY: '64 MiB' is not a whole number."),
    "BYOCGW_REPLAY_MEMORY": ("-1", "BYOCGW_REPLAY_MEMORY: -1 is too small; the least is 0."),
    "BYOCGW_MAX_IN_FLIGHT": ("0", "BYOCGW_MAX_IN_FLIGHT: 0 is too small; the least is 1."),
    "BYOCGW_JOURNAL_FSYNC": ("-1", "BYOCGW_JOURNAL_FSYNC: -1.0 is too small; the least is 0.0."),
    "BYOCGW_KEEP_JOBS": ("a month", "BYOCGW_KEEP_JOBS: 'a month' is not a whole number."),
    "BYOCGW_STREAM_IDLE_TIMEOUT": ("soon", "BYOCGW_STREAM_IDLE_TIMEOUT: 'soon' is not a number of seconds."),
    "BYOCGW_STREAM_TOTAL_TIMEOUT": ("0", "BYOCGW_STREAM_TOTAL_TIMEOUT: 0.0 is too small; the least is 1."),
    "BYOCGW_DECISION_SAMPLE": ("10", "BYOCGW_DECISION_SAMPLE: '10' is not a number from 0 to 1."),
    "BYOCGW_SENDER_ADDRESS": ("0x12", "BYOCGW_SENDER_ADDRESS: '0x12' is not an Ethereum address"),
    "BYOCGW_NODE": ("a/b", "BYOCGW_NODE: 'a/b' must be 1 to 40 letters, digits, '.', '_', '-'."),
    "DATABASE_URL": ("mysql://a@b/c", "DATABASE_URL: 'mysql' is neither sqlite nor postgres."),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_stops_the_start_and_is_named(name: str) -> None:
    value, sentence = WRONG[name]
    said = start(*TELLING, "DEBUG", **{name: value})
    assert said.returncode == 1
    assert said.stderr.startswith(sentence), said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BYOCGW_STREAM_IDLE_TIMEOUT", "nan"),
        ("BYOCGW_STREAM_TOTAL_TIMEOUT", "inf"),
        ("BYOCGW_STREAM_IDLE_TIMEOUT", "30s"),
        ("BYOCGW_STREAM_TOTAL_TIMEOUT", "1,5"),
        ("BYOCGW_DECISION_SAMPLE", "nan"),
        ("BYOCGW_DECISION_SAMPLE", "10 %"),
        ("LOG_LEVEL", "LOUD"),
        ("DATABASE_URL", "nonsense"),
        ("WEB_CONCURRENCY", "1.5"),
        ("BYOCGW_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("BYOCGW_ALLOWED_NETWORKS", "all"),
        ("BYOCGW_FIELD_KEYS", "short"),
        ("BYOCGW_SECOND_FACTOR", "sometimes"),
        ("BYOCGW_LOGIN_ATTEMPTS", "0"),
    ],
)
def test_a_value_that_only_looks_right_is_named_too(name: str, value: str) -> None:
    said = start(*TELLING, "DEBUG", **{name: value})
    assert said.returncode == 1
    assert said.stderr.startswith(f"{name}: "), said.stderr


def test_the_defaults_are_safe() -> None:
    told = read("DEBUG", "ALLOWED_HOSTS", "BIND", "WEB_CONCURRENCY", "BYOCGW_MAX_BODY", "BYOCGW_SENDER_ADDRESS")
    assert told == {
        "DEBUG": "False",
        "ALLOWED_HOSTS": "['localhost', '127.0.0.1', '[::1]']",
        "BIND": "'127.0.0.1:8000'",
        "WEB_CONCURRENCY": "1",
        "BYOCGW_MAX_BODY": str(64 * 2**20),
        "BYOCGW_SENDER_ADDRESS": repr("0x" + "0" * 40),
    }


def test_the_environment_is_obeyed() -> None:
    told = read(
        *("ALLOWED_HOSTS", "BYOCGW_MAX_BODY", "BYOCGW_EXPOSE_ORCHESTRATOR", "SESSION_COOKIE_SECURE"),
        ALLOWED_HOSTS="gateway.example,other.example",
        BYOCGW_MAX_BODY="1000",
        BYOCGW_EXPOSE_ORCHESTRATOR="YES",
        BYOCGW_HTTPS="on",
    )
    assert told == {
        "ALLOWED_HOSTS": "['gateway.example', 'other.example']",
        "BYOCGW_MAX_BODY": "1000",
        "BYOCGW_EXPOSE_ORCHESTRATOR": "True",
        "SESSION_COOKIE_SECURE": "True",
    }


@pytest.mark.parametrize(
    ("environment", "networks"),
    [
        ({}, "127.0.0.0/8,::1/128"),
        ({"BIND": "0.0.0.0:8000", "SECRET_KEY": "x" * 50}, ""),
        ({"BYOCGW_ALLOWED_NETWORKS": "none"}, ""),
        ({"BYOCGW_ALLOWED_NETWORKS": "10.0.0.0/8, fd00::/8"}, "10.0.0.0/8,fd00::/8"),
    ],
)
def test_this_machine_is_allowed_only_to_those_on_it(environment: dict[str, str], networks: str) -> None:
    told = read("BYOCGW_ALLOWED_NETWORKS", **environment)["BYOCGW_ALLOWED_NETWORKS"]
    assert ",".join(re.findall(r"'([^']+)'", told)) == networks


# --- the secret key ------------------------------------------------------------------------------


@pytest.mark.parametrize("bind", ["0.0.0.0:8000", "10.0.0.1:80", "[::]:8000", "gateway.example:8000"])
def test_a_public_address_wants_a_secret_key(bind: str) -> None:
    said = start(*TELLING, "DEBUG", BIND=bind, SECRET_KEY="")
    assert said.returncode == 1
    assert said.stderr.startswith(f"SECRET_KEY: required when BIND ({bind}) is not a loopback address.")
    assert "token_urlsafe" in said.stderr  # how to make one


def test_one_is_made_once_for_a_loopback_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Kept where nobody else may read it; a given one wins."""
    monkeypatch.setattr(current, "LOCAL_DIR", tmp_path / "local")
    monkeypatch.setenv("SECRET_KEY", "")
    made = current.secret_key("127.0.0.1:8000")
    (file,) = (tmp_path / "local").iterdir()

    assert len(made) > 80
    assert file.stat().st_mode & 0o777 == 0o600
    assert {current.secret_key(bind) for bind in ("localhost:1", "[::1]:1", "127.0.0.2:1", "unix:/a")} == {made}
    monkeypatch.setenv("SECRET_KEY", "given")
    assert current.secret_key("127.0.0.1:8000") == "given"


# --- check --deploy ------------------------------------------------------------------------------


def deploy_check(**values: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    return start(*command, DATABASE_URL="sqlite://:memory:", **values)


def test_check_deploy_has_nothing_to_say_behind_tls() -> None:
    said = deploy_check(BYOCGW_HTTPS="true")
    assert (said.returncode, said.stdout.strip()) == (0, "System check identified no issues (0 silenced).")


def test_check_deploy_warns_of_plain_http_and_of_named_orchestrators() -> None:
    """Warnings with stable ids, never a refusal to start."""
    said = deploy_check(BYOCGW_EXPOSE_ORCHESTRATOR="true")
    assert said.returncode == 1
    assert "(byocgw.W101) Keys and log-ins travel unencrypted." in said.stderr
    assert "(byocgw.W102) Answers name the orchestrator" in said.stderr
    assert start(sys.executable, "manage.py", "check", DATABASE_URL="sqlite://:memory:").returncode == 0


def test_sqlite_commits_are_as_durable_as_the_journal() -> None:
    """A file of the journal goes once its lines are committed; so a commit must not go with the power."""
    for every, durability in (("0", "NORMAL"), ("1", "FULL")):
        assert f"synchronous={durability}" in read("DATABASES", BYOCGW_JOURNAL_FSYNC=every)["DATABASES"]
