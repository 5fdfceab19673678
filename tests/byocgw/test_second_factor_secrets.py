"""An app's secret is encrypted at rest, and its codes open as before (issue 5, section 3)."""

from __future__ import annotations

from base64 import b32encode
from binascii import unhexlify
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from byocgw.console.models import AuthenticatorApp
from byocgw.console.second_factor import new_recovery_codes
from orchestrators.models.secret import NoKey
from tests.support.authenticator import Authenticator

pytestmark = pytest.mark.django_db
FACTOR, VERIFY, INDEX = "/admin/second-factor/", "/admin/verify/", "/admin/"
OLD, NEW = "an-old-key-of-more-than-32-characters", "a-new-key-of-more-than-32-characters-"
SECRET = "3132333435363738393031323334353637383930"
migration = import_module("byocgw.console.migrations.0001_second_factor")


@pytest.fixture(autouse=True)
def keys(settings: Any, tmp_path: Path) -> Any:
    settings.STATIC_ROOT = tmp_path
    settings.BYOCGW_FIELD_KEYS = [OLD]
    return settings


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada")


def person(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def stored() -> str:
    """Everything that the database has of apps."""
    with connection.cursor() as cursor:
        told = []
        for table in ("otp_totp_totpdevice", "console_authenticatorapp"):
            cursor.execute(f"SELECT * FROM {table}")
            told += cursor.fetchall()
    return str(told)


def test_the_database_holds_no_secret(ada: User) -> None:
    """Nor does what is exported or logged; and once it counts no page shows it again."""
    client = person(ada)
    client.post(FACTOR, {"begin": "yes"})
    shown = client.get(FACTOR).context["secret"]
    secret = AuthenticatorApp.objects.get().secret.reveal()
    assert shown.replace(" ", "") == b32encode(unhexlify(secret)).decode()
    assert client.post(FACTOR, {"code": Authenticator(shown).code()}).context["codes"]
    dumped = StringIO()
    call_command("dumpdata", "otp_totp", "console", "admin", stdout=dumped)
    told = [stored(), dumped.getvalue(), *LogEntry.objects.values_list("change_message", flat=True)]
    assert secret not in " ".join(told) and "f1:" in told[0]
    page = client.get(FACTOR).content.decode()
    assert shown not in page and secret not in page


def test_what_was_plain_is_sealed_by_migrate_and_its_codes_open(ada: User) -> None:
    """In both directions."""
    TOTPDevice.objects.create(user=ada, name="app", key=SECRET, last_t=7)
    migration.seal(apps, None)
    assert SECRET not in stored()
    app = AuthenticatorApp.objects.get()
    assert (app.secret.reveal(), app.user, app.last_t, app.confirmed) == (SECRET, ada, 7, True)
    code = Authenticator(b32encode(unhexlify(SECRET)).decode()).code()
    assert person(ada).post(VERIFY, {"code": code}).url == INDEX
    migration.open_again(apps, None)
    assert TOTPDevice.objects.get().key == SECRET


def test_without_a_key_migrate_leaves_what_there_is(ada: User, keys: Any) -> None:
    keys.BYOCGW_FIELD_KEYS = []
    migration.seal(apps, None)
    TOTPDevice.objects.create(user=ada, name="app", key=SECRET)
    with pytest.raises(NoKey, match="Set BYOCGW_FIELD_KEYS"):
        migration.seal(apps, None)
    assert TOTPDevice.objects.get().key == SECRET


def test_the_librarys_own_secret_opens_nothing(ada: User) -> None:
    AuthenticatorApp.begin(ada)
    AuthenticatorApp.objects.update(confirmed=True)
    other = TOTPDevice.objects.get().key
    code = Authenticator(b32encode(unhexlify(other)).decode()).code()
    answer = person(ada).post(VERIFY, {"code": code})
    assert answer.status_code == 200 and "It is not right" in answer.content.decode()


def test_keys_are_rotated(ada: User, keys: Any) -> None:
    AuthenticatorApp.begin(ada)
    before = AuthenticatorApp.objects.get().secret.reveal()
    keys.BYOCGW_FIELD_KEYS = [NEW, OLD]
    call_command("rotate_secrets", stdout=StringIO())
    keys.BYOCGW_FIELD_KEYS = [NEW]
    assert AuthenticatorApp.objects.get().secret.reveal() == before


def test_a_lost_key_leaves_the_recovery_codes(ada: User, keys: Any) -> None:
    AuthenticatorApp.begin(ada)
    AuthenticatorApp.objects.update(confirmed=True)
    [code, *_more] = new_recovery_codes(ada)
    keys.BYOCGW_FIELD_KEYS = [NEW]
    client = person(ada)
    assert "its secret cannot be read" in client.post(VERIFY, {"code": "123456"}).content.decode()
    assert client.post(VERIFY, {"code": code}).url == INDEX


def test_one_that_cannot_be_read_is_begun_anew(ada: User, keys: Any) -> None:
    AuthenticatorApp.begin(ada)
    keys.BYOCGW_FIELD_KEYS = []
    client = person(ada)
    answer = client.post(FACTOR, {"begin": "yes"})
    assert "Set BYOCGW_FIELD_KEYS to keep secrets." in answer.content.decode()
    keys.BYOCGW_FIELD_KEYS = [NEW]
    assert "secret" not in client.get(FACTOR).context
    client.post(FACTOR, {"begin": "yes"})
    assert client.get(FACTOR).context["secret"] and AuthenticatorApp.objects.count() == 1
