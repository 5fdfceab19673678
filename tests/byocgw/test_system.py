"""The system page: processes, chores, the journal and the settings (issue 5, screen 12)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import strip_tags

from orchestrators.models import Offer, OfferHealth, Revision
from routing.metrics import sharing
from routing.models import Chore, JournalMark
from routing.roles import make_groups
from tests.orchestrators.scenes import ALDER, offer, orchestrator

pytestmark = pytest.mark.django_db
PAGE = "/admin/system/"


@pytest.fixture(autouse=True)
def around(settings: Any, tmp_path: Path) -> Any:
    settings.STATIC_ROOT = tmp_path
    settings.BYOCGW_JOURNAL_DIR = tmp_path / "journal"
    settings.BYOCGW_JOURNAL_DIR.mkdir()
    return settings


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As the master of the workers makes it."""
    monkeypatch.setattr(sharing, "_folder", None)
    sharing.open_folder()
    assert sharing._folder is not None
    yield sharing._folder
    sharing.remove_folder()


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def leave(folder: Path, pid: int, *, version: str = "0.1.0", **values: float) -> None:
    samples: list[Any] = [(f"byocgw_{name}", (), value) for name, value in values.items()]
    samples += [("byocgw_build_info", (version,), 1), ("byocgw_check", ("database",), values.get("up", 1))]
    kept = [each for each in samples if each[0] != "byocgw_up"]
    path = folder / f"{pid}-abcd.json"
    sharing._write(path, sharing.Snapshot(timezone.now().timestamp(), kept))


def test_every_worker_is_told(ada: Client, folder: Path, around: Any) -> None:
    policy = Revision.objects.get().policy
    leave(folder, 101, table_revision=policy, requests_in_flight=7, loop_lag_seconds=0.002)
    leave(folder, 102, table_revision=policy - 3, table_confirmed_age_seconds=60, version="0.0.9")
    leave(folder, 103, table_revision=policy, up=0.5)
    text = ada.get(PAGE).content.decode()
    for told in (">101<", ">102<", "serves", "behind", "database", "another one", "2 ms", ">7<"):
        assert told in text, told
    by_pid = {each.pid: each for each in ada.get(PAGE).context["processes"]}
    assert [by_pid[pid].colour for pid in ("101", "102", "103")] == ["good", "warn", "bad"]


def test_who_drains_which_file_is_told(ada: Client, around: Any) -> None:
    name = "node-1-abc.journal"
    path = around.BYOCGW_JOURNAL_DIR / name
    path.write_bytes(b"x" * 5000)
    JournalMark.objects.create(file=name, offset=1000)
    [file] = ada.get(PAGE).context["files"]
    assert (file.waiting, file.owner) == (4000, "")
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        [file] = ada.get(PAGE).context["files"]
        assert file.owner in (str(os.getpid()), ""), "a container may not tell"


def test_faults_of_the_settings_come_with_their_fix(ada: Client, around: Any) -> None:
    around.BYOCGW_FIELD_KEYS, around.BYOCGW_HTTPS = [], False
    text = ada.get(PAGE).content.decode()
    for told in ("byocgw.W101", "Set BYOCGW_FIELD_KEYS", "1 person logs in by a password alone"):
        assert told in text, told


def test_a_prober_that_is_late_is_told(ada: Client) -> None:
    assert "never ran" in ada.get(PAGE).content.decode()
    now = timezone.now()
    row = offer(orchestrator(ALDER), "depth")
    OfferHealth.objects.create(offer=row, probed_at=now, next_probe_at=now)
    assert ">late</span>" not in ada.get(PAGE).content.decode()
    OfferHealth.objects.update(next_probe_at=now - timedelta(minutes=4))
    assert ">late</span>" not in ada.get(PAGE).content.decode(), "it is at work"
    OfferHealth.objects.update(probed_at=now - timedelta(minutes=5))
    assert ">late</span>" in ada.get(PAGE).content.decode(), "as the dashboard says"
    Offer.objects.update(mode="disabled")
    assert ">late</span>" not in ada.get(PAGE).content.decode(), "nobody probes it any more"


def test_what_is_due_says_so_and_who_does_it(ada: Client) -> None:
    now = timezone.now()
    Chore.objects.create(name="check alerts", due=now - timedelta(minutes=6, seconds=1))
    Chore.objects.create(name="prune history", due=now + timedelta(minutes=6, seconds=1))
    text = " ".join(strip_tags(ada.get(PAGE).content.decode()).split())
    assert "due 6 min ago, by manage.py check_alerts --loop" in text
    assert "next in 6 min, by whichever worker comes first" in text


def test_it_asks_few_questions_and_a_viewer_may_look(client: Client, folder: Path) -> None:
    make_groups("default")
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.groups.add(Group.objects.get(name="Viewer"))
    client.force_login(viewer)
    for pid in range(20):
        leave(folder, 100 + pid, table_revision=1)
    client.get(PAGE)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(PAGE).status_code == 200
    assert len(asked) <= 15, [each["sql"][:90] for each in asked]
