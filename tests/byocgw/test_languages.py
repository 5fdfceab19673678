"""The second language: whatever the code marks and whatever models and pages are labelled with is translated,
the compiled file is that of the source, and a page speaks it."""

from __future__ import annotations

import ast
import gettext
import io
import re
import tokenize
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from django.utils.translation.template import templatize

from byocgw.console import labels
from orchestrators.display.states import state
from orchestrators.models import Capability, ConfigRevision, RoutingProfile
from orchestrators.standing import Standing
from routing.models import UsageHour
from tests.support.forms import submit

ROOT = Path(settings.BASE_DIR)
FOLDER = ROOT / "locale/de/LC_MESSAGES"
# how many texts each is given: the second one is the plural
MARKS = {"_": 1, "gettext": 1, "gettext_lazy": 1, "gettext_noop": 1, "ngettext": 2, "ngettext_lazy": 2}
PLACES = re.compile(r"%(?:\(\w+\))?[sd]|\{[a-z_]+\}")  # where values go


def compiled() -> set[str]:
    with (FOLDER / "django.mo").open("rb") as opened:
        catalog = gettext.GNUTranslations(opened)._catalog  # type: ignore[attr-defined]
    return {key if isinstance(key, str) else key[0] for key in catalog}


def marked_in_code() -> Iterator[str]:
    for app in ("byocgw", "orchestrators", "routing"):
        for file in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
                    yield from (each.value for each in node.args[:1] if isinstance(each, ast.Constant))


def marked_in_templates() -> Iterator[str]:
    """As `makemessages` reads them: Django makes Python of a template, and all else in it X."""
    for file in (ROOT / "templates").rglob("*.html"):
        tokens = list(tokenize.generate_tokens(io.StringIO(templatize(file.read_text())).readline))
        for name, bracket, text in zip(tokens, tokens[1:], tokens[2:], strict=False):
            if name.string in MARKS and bracket.string == "(" and text.type == tokenize.STRING:
                yield ast.literal_eval(text.string)


def labelled() -> Iterator[str]:
    with translation.override(None):
        yield from (str(getattr(thing, name)) for thing, name in labels.labels())
        for model in labels.models():
            for field in model._meta.local_fields:
                told = [(value, str(label)) for value, label in field.flatchoices]
                yield from (label for value, label in told if label.strip("/").lower() != value)
        for site in labels.sites():
            yield from (str(title) for title, _options in site.fieldsets or () if title)


def test_the_compiled_file_holds_what_is_written() -> None:
    """`manage.py compilemessages` after a change of the .po."""
    text = (FOLDER / "django.po").read_text()
    entries = re.findall(r'^msgid "(.+)"\nmsgstr "(.*)"$', text, re.MULTILINE)
    with (FOLDER / "django.mo").open("rb") as opened:
        catalog = gettext.GNUTranslations(opened)
    assert len(entries) > 1000 and "#, fuzzy" not in text
    for source, translated in entries:
        assert translated, f"not translated: {source}"
        assert catalog.gettext(_unquoted(source)) == _unquoted(translated)
        assert sorted(PLACES.findall(source)) == sorted(PLACES.findall(translated)), source


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)


def test_every_text_that_is_marked_is_translated() -> None:
    code, templates = set(marked_in_code()), set(marked_in_templates())
    assert len(code) > 200 and len(templates) > 200, "they are found"
    assert (code | templates) - compiled() - {""} == set()


def test_every_label_of_models_and_pages_is_translated() -> None:
    """Django has German for its own, such as those of people."""
    found = set(labelled())
    assert len(found) > 500, "they are found"
    own = compiled()
    with translation.override("de"):
        assert {text for text in found - own if translation.gettext(text) == text} == set()


def test_where_an_offer_stands_is_translated() -> None:
    with translation.override("de"):
        for word in (*Standing, "healthy", "down", "pass", "warn", "fail", "valid", "revoked", "expired"):
            assert f">{word}<" not in state(word), word
        assert 'title="gpu_oom">GPU-Speicher voll<' in state("gpu_oom"), "the word of logs is in the title"


@pytest.fixture
def ada(client: Client, settings: Any, tmp_path: Path) -> Iterator[Client]:
    settings.STATIC_ROOT = tmp_path
    with translation.override("en"):  # a request leaves its language behind in the thread
        client.force_login(User.objects.create_superuser("ada"))
        assert client.post("/i18n/setlang/", {"language": "de", "next": "/admin/"}).status_code == 302
        yield client


@pytest.mark.django_db
def test_who_chooses_german_reads_german(ada: Client) -> None:
    text = ada.get("/admin/").content.decode()
    assert '<html lang="de"' in text and "Orchestratoren" in text and "Angebote bereit" in text
    assert "manage.py probe_orchestrators" in text, "what is typed is not translated"
    form = ada.get("/admin/orchestrators/orchestrator/add/").content.decode()
    for told in ("Wie mit ihm gesprochen wird.", "direct: die HTTP-API des Containers selbst", "Service-URI:"):
        assert told in form, told
    offers = ada.get("/admin/orchestrators/offer/").content.decode()
    assert "Erproben: etwa fünfzehn" in offers and "Aktivieren" in offers and "0 Angebote" in offers


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["en", "de"])
def test_every_moment_has_its_zone(ada: Client, language: str) -> None:
    """Those of Django's own columns and fields, and what a form asks for."""
    ada.post("/i18n/setlang/", {"language": language})
    UsageHour.objects.create(hour=datetime(2026, 11, 27, 14, tzinfo=UTC), client="acme", capability="depth")
    for address in (
        "/admin/routing/usagehour/",
        f"/admin/routing/usagehour/{UsageHour.objects.get().pk}/change/",
    ):
        assert "2026-11-27 14:00:00 UTC" in ada.get(address).content.decode(), address
    assert "(UTC):" in ada.get("/admin/routing/apikey/add/").content.decode()


@pytest.mark.django_db
def test_what_is_written_down_stays_english(ada: Client) -> None:
    """History is read by all."""
    row = Capability.objects.create(slug="mirror", profile=_profile())
    submit(ada, f"/admin/orchestrators/capability/{row.pk}/change/", max_attempts="2")
    kept = ConfigRevision.objects.latest("id")
    assert kept.why == f"admin: change {row.pk} (capability)"
    assert kept.summary.startswith("changed capability mirror: Max attempts")


def _profile() -> RoutingProfile:
    return RoutingProfile.objects.first() or RoutingProfile.objects.create(slug="warm")
