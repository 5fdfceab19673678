"""The processes of this machine and what each of them has, the chores they share, and the settings.

Workers leave their samples where the others find them (routing/metrics/sharing.py); nothing is asked of a
worker, so that one which hangs is seen to hang. Other machines are told of by their own consoles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, Tags
from django.db.models import Max, Min
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from orchestrators.display.sentences import told
from orchestrators.display.states import Tone
from orchestrators.models import ASLEEP, OfferHealth, Revision
from routing.alerting.round import CHORE
from routing.dashboard import is_late
from routing.metrics import sharing
from routing.models import Chore, JournalMark
from routing.readiness import BACKLOG, LATE

BEHIND = 5.0  # seconds a worker may take to follow the policy before it is marked
FIRST_LINE = 128  # bytes, about: a file's own name, which is no call
# What Django says of cookies and headers while BYOCGW_HTTPS is off; ours says it in one line.
_BY_HTTPS = {"security.W004", "security.W008", "security.W012", "security.W016"}
_FAILING = ("table", "database", "journal", "event loop", "draining")


@dataclass(frozen=True, slots=True)
class Process:
    """A worker. `behind`: it has an older policy than the database, and not just since now."""

    pid: str
    version: str
    revision: int
    behind: bool
    in_flight: int
    lag: float
    backlog: int
    memory: float
    started: datetime | None
    heard: datetime
    failing: list[str]

    @property
    def colour(self) -> Tone:
        slow = self.lag > LATE or self.backlog > BACKLOG
        return "bad" if self.failing else "warn" if self.behind or slow else "good"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the journal. `owner`: the process that drains it."""

    name: str
    size: int
    waiting: int
    owner: str


@dataclass(frozen=True, slots=True)
class Finding:
    colour: Tone
    said: str
    fix: str


def system(site: AdminSite, request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    policy = Revision.objects.values_list("policy", flat=True).get(pk=1)
    # what sleeps stays due for ever
    awake = OfferHealth.objects.exclude(offer__mode__in=ASLEEP).exclude(offer__orchestrator__mode__in=ASLEEP)
    probed = awake.aggregate(latest=Max("probed_at"), due=Min("next_probe_at"))
    context = {
        **site.each_context(request),
        "title": _("System"),
        "node": settings.BYOCGW_NODE,
        "policy": policy,
        "version": settings.VERSION,
        "processes": list(processes(policy, now)),
        "probed": probed["latest"],
        "probe_due": probed["due"],
        "probes_late": probed["latest"] and is_late(probed["latest"], probed["due"], now),
        "files": list(files()),
        "now": now,
        "chores": Chore.objects.order_by("name"),
        "check_alerts": CHORE,
        "findings": list(findings()),
    }
    return TemplateResponse(request, "admin/system.html", context)


def processes(policy: int, now: datetime) -> Iterator[Process]:
    """Of this machine, by process id; none outside of gunicorn."""
    for name, snapshot in sorted(sharing.workers(now.timestamp()).items()):
        has = {each: value for each, labels, value in snapshot.samples if not isinstance(value, list)}
        labelled = {(each, labels[0]): value for each, labels, value in snapshot.samples if labels}
        revision, started = int(has.get("byocgw_table_revision", 0)), has.get("process_start_time_seconds")
        confirmed = float(has.get("byocgw_table_confirmed_age_seconds", 0))
        yield Process(
            pid=name.partition("-")[0],
            version=next((label for each, label in labelled if each == "byocgw_build_info"), ""),
            revision=revision,
            behind=revision < policy and confirmed > BEHIND,
            in_flight=int(has.get("byocgw_requests_in_flight", 0)),
            lag=float(has.get("byocgw_loop_lag_seconds", 0)),
            backlog=int(has.get("byocgw_journal_backlog_bytes", 0)),
            memory=float(has.get("process_resident_memory_bytes", 0)),
            started=datetime.fromtimestamp(started, now.tzinfo) if started else None,
            heard=datetime.fromtimestamp(snapshot.at, now.tzinfo),
            failing=[
                each for each in _FAILING if labelled.get(("byocgw_check", each.replace(" ", "_"))) in (0, 0.5)
            ],
        )


# --- the journal -------------------------------------------------------------------------------------


def files() -> Iterator[File]:
    """What waits for the database, and who brings it there: a file's lock is its drain's."""
    marks = dict(JournalMark.objects.values_list("file", "offset"))
    owners = _owners()
    for path in sorted(settings.BYOCGW_JOURNAL_DIR.glob("*.journal")):
        try:
            found = path.stat()
        except OSError:  # drained meanwhile
            continue
        waiting = max(0, found.st_size - marks.get(path.name, FIRST_LINE))
        yield File(path.name, found.st_size, waiting, owners.get(found.st_ino, ""))


def _owners() -> dict[int, str]:
    """Of locked files, by inode: the process ids, where the system tells them."""
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return {}
    parts = [line.split() for line in lines if " FLOCK " in line]
    return {int(each[5].rpartition(":")[2]): each[4] for each in parts if len(each) > 5}


# --- the settings ------------------------------------------------------------------------------------


def findings() -> Iterator[Finding]:
    """What `manage.py check --deploy` says of security and of our own, and who has no second factor."""
    found: list[CheckMessage] = checks.run_checks(
        tags=[Tags.security, "byocgw"], include_deployment_checks=True
    )
    for each in found:
        if each.id in _BY_HTTPS:
            continue
        colour: Tone = "bad" if each.level >= checks.ERROR else "warn"
        yield Finding(colour, format_html("{} ({})", told(each.msg), each.id), each.hint or "")
    people: Any = get_user_model()._default_manager
    without = people.filter(is_staff=True, is_active=True, totpdevice=None).count()
    if without and settings.BYOCGW_SECOND_FACTOR != "required":
        said = ngettext(
            "%(number)s person logs in by a password alone.",
            "%(number)s people log in by a password alone.",
            without,
        ) % {"number": without}
        yield Finding("news", said, _("Set BYOCGW_SECOND_FACTOR=required, or ask them to set one up."))
