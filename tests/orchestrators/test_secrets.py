"""Secrets: encrypted in the database, entered and never shown, and in no history (issue 5, section 3)."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from orchestrators.changes import configuration_at
from orchestrators.discovery import look
from orchestrators.models import ConfigRevision, DiscoverySource
from orchestrators.models.secret import NoKey, Secret
from routing import configuration
from tests.support.forms import submit
from tests.support.lists import listing

pytestmark = pytest.mark.django_db
TOKEN = "Bearer very-secret-indeed"
HEADERS = f"Authorization: {TOKEN}"
OLD, NEW = "an-old-key-of-more-than-32-characters", "a-new-key-of-more-than-32-characters-"


@pytest.fixture(autouse=True)
def keys(settings: Any, tmp_path: Path) -> Any:
    settings.STATIC_ROOT = tmp_path
    settings.BYOCGW_FIELD_KEYS = [OLD]
    return settings


@pytest.fixture
def source() -> DiscoverySource:
    return DiscoverySource.objects.create(
        name="naap", url="https://lists.example/pool", headers=Secret.of(HEADERS)
    )


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def url(row: DiscoverySource) -> str:
    return reverse("admin:orchestrators_discoverysource_change", args=[row.pk])


def stored() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT headers FROM orchestrators_discoverysource")
        return str(cursor.fetchone()[0])


def test_the_database_holds_no_plain_text(source: DiscoverySource) -> None:
    assert stored().startswith("f1:") and "secret" not in stored()
    assert DiscoverySource.objects.get().headers.reveal() == HEADERS
    assert Secret.of(HEADERS) != Secret.of(HEADERS), "equal secrets do not look alike"
    for shown in (repr(source.headers), str(source.headers), f"{source.headers}", repr([source.headers])):
        assert "secret" not in shown and "f1:" not in shown


def test_a_form_takes_it_and_never_shows_it(ada: Client, source: DiscoverySource) -> None:
    page = ada.get(url(source)).content.decode()
    field = re.search(r'<textarea name="headers".*?</textarea>', page, re.DOTALL)
    assert field is not None and "••••" in field[0]
    assert TOKEN not in page and source.headers.sealed not in page
    before = stored()
    submit(ada, url(source), interval="600")
    assert stored() == before, "an empty field keeps what there is"
    submit(ada, url(source), headers="X-Key: another-one")
    assert DiscoverySource.objects.get().headers.reveal() == "X-Key: another-one"
    submit(ada, url(source), headers="none")
    assert not DiscoverySource.objects.get().headers


def test_no_history_no_export_and_no_log_has_it(
    ada: Client, source: DiscoverySource, caplog: pytest.LogCaptureFixture
) -> None:
    submit(ada, url(source), headers="X-Key: another-very-secret")
    revision, document = ConfigRevision.objects.get(), configuration.export()
    assert "Headers" in revision.summary, "that it was changed is told"
    told = [revision.summary, json.dumps(configuration_at(revision)), json.dumps(document), caplog.text]
    told += LogEntry.objects.values_list("change_message", flat=True)
    dumped = StringIO()
    call_command("dumpdata", "orchestrators.DiscoverySource", stdout=dumped)
    assert "very-secret" not in " ".join([*told, dumped.getvalue()])
    assert "headers" not in document["discovery"][0]
    configuration.apply(document, who="ops", prune=True)
    assert DiscoverySource.objects.get().headers.reveal() == "X-Key: another-very-secret", "nor does it go"


def test_a_header_that_is_none_is_told_without_its_value(source: DiscoverySource) -> None:
    for wrong, said in (
        ("very-secret", "no header"),
        ("Host: evil.example", "said by the gateway itself"),
        ("X-Key: ü", "no header"),
    ):
        source.headers = Secret.of(wrong)
        with pytest.raises(ValidationError, match=said) as raised:
            source.full_clean()
        assert "very-secret" not in str(raised.value)


@pytest.mark.usefixtures("shipped")
def test_a_source_is_asked_with_them(source: DiscoverySource) -> None:
    with listing() as server:
        server.say["/pool"] = []
        source.url = f"{server.url}/pool"
        [answered] = look([source])
        assert answered.answer is not None
        assert f"authorization: {TOKEN}".encode() in server.headers


# --- keys --------------------------------------------------------------------------------------------


def test_keys_are_rotated_without_a_gap(source: DiscoverySource, keys: Any) -> None:
    keys.BYOCGW_FIELD_KEYS = [NEW, OLD]
    assert DiscoverySource.objects.get().headers.reveal() == HEADERS
    out = StringIO()
    call_command("rotate_secrets", stdout=out)
    assert out.getvalue() == "1 secrets are sealed with the first key.\n"
    keys.BYOCGW_FIELD_KEYS = [NEW]
    assert DiscoverySource.objects.get().headers.reveal() == HEADERS


def test_a_lost_key_is_told_and_breaks_no_page(ada: Client, source: DiscoverySource, keys: Any) -> None:
    keys.BYOCGW_FIELD_KEYS = [NEW]
    row = DiscoverySource.objects.get()
    with pytest.raises(NoKey, match="enter it again"):
        row.headers.reveal()
    assert ada.get(url(row)).status_code == 200
    with pytest.raises(CommandError, match="naap: None of the keys"):
        call_command("rotate_secrets", stdout=StringIO())
    submit(ada, url(row), headers="none")
    submit(ada, url(row), headers=HEADERS)
    assert DiscoverySource.objects.get().headers.reveal() == HEADERS


def test_without_a_key_nothing_is_stored_in_the_clear(ada: Client, keys: Any) -> None:
    keys.BYOCGW_FIELD_KEYS = []
    row = DiscoverySource.objects.create(name="naap", url="https://lists.example/pool")
    with pytest.raises(AssertionError, match="Set BYOCGW_FIELD_KEYS"):
        submit(ada, url(row), headers=HEADERS)
    assert stored() == ""
