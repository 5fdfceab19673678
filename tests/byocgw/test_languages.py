"""The console in its second language: every sentence of ours is there, and what is committed is what runs."""

from __future__ import annotations

import gettext
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation

FOLDER = Path(settings.BASE_DIR) / "locale/de/LC_MESSAGES"


def test_the_compiled_file_holds_what_is_written() -> None:
    """`manage.py compilemessages` after a change of the .po."""
    entries = re.findall(r'^msgid "(.+)"\nmsgstr "(.*)"$', (FOLDER / "django.po").read_text(), re.MULTILINE)
    with (FOLDER / "django.mo").open("rb") as opened:
        compiled = gettext.GNUTranslations(opened)
    assert len(entries) > 80
    for source, translated in entries:
        assert translated, f"not translated: {source}"
        assert compiled.gettext(source.replace('\\"', '"')) == translated.replace('\\"', '"')


@pytest.mark.django_db
def test_who_chooses_german_reads_german(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    with translation.override("en"):  # a request leaves its language behind in the thread
        client.force_login(User.objects.create_superuser("ada"))
        assert client.post("/i18n/setlang/", {"language": "de", "next": "/admin/"}).status_code == 302
        text = client.get("/admin/").content.decode()
        assert '<html lang="de"' in text and "Orchestratoren" in text and "Angebote bereit" in text
        assert "manage.py probe_orchestrators" in text, "what is typed is not translated"
