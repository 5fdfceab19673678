"""A fleet to look at, put into a migrated, empty database: `python -m tests.browser.seed [scale]`.

Thirty orchestrators, twelve capabilities, and at scale 1 two hundred thousand snapshots and a million jobs.
All of it follows from the same dice, so that two pictures differ by the code alone.
"""

from __future__ import annotations

import os
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import django

SNAPSHOTS, JOBS = 200_000, 1_000_000
HOURS = 7 * 24
PEOPLE = ("viewer", "operator", "policy", "keys", "admin")
PASSWORD = "for-tests-only"  # of everybody
SITES = ("ams", "fra", "lon", "nyc", "par", "sfo", "sgp", "hkg", "dfw", "waw")
REGIONS = {"nyc": "us", "sfo": "us", "dfw": "us", "sgp": "ap", "hkg": "ap"}
# slug -> (profile, usual milliseconds)
CAPABILITIES = {
    "depth": ("warm", 60),
    "pose": ("warm", 45),
    "segmentation": ("warm", 110),
    "image-to-image": ("warm", 620),
    "style-transfer": ("warm", 480),
    "upscale": ("warm", 900),
    "background-removal": ("warm", 150),
    "caption": ("warm", 340),
    "depth-to-image": ("chained", 1900),
    "text-to-speech": ("warm", 700),
    "transcribe": ("warm", 1500),
    "frame-interpolation": ("per-frame", 35),
}
dice = random.Random(4)


def seed(scale: float) -> None:
    from django.utils import timezone

    now = timezone.now()
    rows = supply(now)
    demand()
    snapshots(rows, now, int(SNAPSHOTS * scale))
    jobs(rows, now, int(JOBS * scale))
    changes()
    people()
    alerts(now)


def supply(now: datetime) -> list[Any]:
    """Offers, with what they claim and how they fare."""
    from orchestrators.models import Advert, Capability, Offer, OfferHealth, Orchestrator, RoutingProfile
    from routing.models import PriceCeiling

    profiles = {each.slug: each for each in RoutingProfile.objects.all()}
    for slug, (profile, _ms) in CAPABILITIES.items():
        kind = profiles.get(profile) or profiles["warm"]
        Capability.objects.get_or_create(slug=slug, defaults={"profile": kind})
    Capability.objects.exclude(slug__in=CAPABILITIES).delete()
    capabilities = list(Capability.objects.all())
    for each in capabilities:
        price = "260 gwei/second" if each.slug == "style-transfer" else "500 gwei/second"
        PriceCeiling.objects.create(capability=each, tier=None, price=price)
    homes = []
    for number in range(30):
        site = SITES[number % len(SITES)]
        mode = {13: "draining", 26: "disabled", 29: "trial"}.get(number, "active")
        home = Orchestrator(name=f"{site}-gpu-{number // 10 + 1:02}", mode=mode, region=REGIONS.get(site, "eu"))
        home.service_uri = f"https://{home.name}.example:8935"
        homes.append(home)
    homes = Orchestrator.objects.bulk_create(homes)
    offers = Offer.objects.bulk_create(
        Offer(orchestrator=home, capability=each)
        for home in homes
        for each in capabilities
        if dice.random() < (0.12 if each.slug == "transcribe" else 0.5)
    )
    adverts, healths = [], []
    for row in offers:
        ms = CAPABILITIES[row.capability.slug][1] * dice.uniform(0.7, 1.6)
        state = dice.choices(("healthy", "degraded", "down", "unknown"), (80, 9, 7, 4))[0]
        claimed = dice.random() > 0.05
        price = f"{dice.randrange(60, 480)} gwei/second"
        slots = dice.randrange(1, 9)
        seen = now - timedelta(seconds=dice.randrange(5, 90))
        adverts.append(
            Advert(offer=row, claimed=claimed, price=price, capacity=slots, largest_capacity=8, checked_at=seen)
        )
        cause = dice.choice(("gpu_oom", "timeout", "unreachable", "api_mismatch"))
        is_down = state == "down"
        healths.append(
            OfferHealth(
                offer=row,
                state=state,
                since=now - timedelta(minutes=dice.randrange(1, 900)),
                until=now + timedelta(minutes=dice.randrange(1, 9))
                if is_down and cause != "api_mismatch"
                else None,
                cause=cause if is_down else "",
                reason=f"2 faults in a row: {cause}"
                if is_down
                else "p95 above target"
                if state == "degraded"
                else "",
                streak=2 if is_down else 0,
                warm_ms=None if state == "unknown" else ms,
                cold_ms=ms * 9,
                last_outcome=cause if is_down else "ok",
                last_outcome_at=seen,
                last_success_at=seen - timedelta(minutes=10 if is_down else 0),
                probed_at=seen,
                sampled_at=seen,
                next_probe_at=now + timedelta(seconds=60),
            )
        )
    Advert.objects.bulk_create(adverts)
    OfferHealth.objects.bulk_create(healths)
    return offers


def demand() -> None:
    from django.utils import timezone

    from routing.models import ApiKey, Client, Rate, Tier

    Rate.objects.create(per_eth="3600.50", as_of=timezone.now() - timedelta(hours=2))
    pro = Tier.objects.create(
        slug="pro", requests_per_minute=6000, max_in_flight=60, daily_budget=2 * 10**18, monthly_budget=10**20
    )
    for name, tier in (("acme", pro), ("globex", pro), ("initech", None), ("playground", None)):
        client = Client.objects.create(name=name, tier=tier)
        ApiKey.issue(client, now=timezone.now(), label="production")[0].save()


def snapshots(offers: list[Any], now: datetime, number: int) -> None:
    from orchestrators.models import HealthSnapshot

    each = timedelta(hours=24) / max(number // len(offers), 1)

    def made() -> Iterator[Any]:
        for round_ in range(number // len(offers), 0, -1):
            for row in offers:
                usual = CAPABILITIES[row.capability.slug][1]
                is_bad = dice.random() < 0.04
                outcome = dice.choice(("timeout", "gpu_oom", "unreachable")) if is_bad else "ok"
                yield HealthSnapshot(
                    offer=row,
                    at=now - each * round_,
                    source="probe",
                    outcome=outcome,
                    before="healthy",
                    after="healthy",
                    claimed=True,
                    latency_ms=None if is_bad else usual * dice.uniform(0.7, 1.6),
                    price="200 gwei/second",
                    capacity=4,
                )

    stored(HealthSnapshot, made())


def jobs(offers: list[Any], now: datetime, number: int) -> None:
    """The latest seven days, busier at noon; usage holds exactly what the jobs add up to."""
    from routing.models import Attempt, Job, OfferDay, UsageHour

    by_slug = defaultdict(list)
    for row in offers:
        by_slug[row.capability.slug].append(row.orchestrator.name)
    usage: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0, 0])
    days: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    attempts: list[Any] = []

    def made() -> Iterator[Any]:
        for place in range(number):
            at = now - timedelta(hours=HOURS) * ((number - place) / number)
            slug = dice.choices(list(CAPABILITIES), range(len(CAPABILITIES), 0, -1))[0]
            ms = int(CAPABILITIES[slug][1] * dice.lognormvariate(0, 0.35))
            code = dice.choices(("ok", "client_error", "exhausted", "none_available"), (970, 12, 12, 6))[0]
            wei = ms * 200_000_000 if code == "ok" else 0
            client = dice.choice(("acme", "acme", "globex", "initech"))
            name = dice.choice(by_slug[slug]) if by_slug[slug] else ""
            job = Job(
                request_id=f"{place:012x}{dice.getrandbits(80):020x}",
                at=at,
                client=client,
                capability=slug,
                code=code,
                status={"ok": 200, "client_error": 422, "exhausted": 502, "none_available": 503}[code],
                orchestrator=name if code in ("ok", "client_error") else "",
                attempts_made=0
                if code == "none_available"
                else 1 + (code == "exhausted" or dice.random() < 0.03),
                ms=ms,
                bytes_in=20_000,
                bytes_out=80_000,
                wei=wei,
                policy=1,
            )
            if job.attempts_made > 1 or code == "none_available":
                job.decision, job.trace = decided(by_slug[slug]), f"{dice.getrandbits(128):032x}"
            for turn in range(job.attempts_made):
                is_last = turn + 1 == job.attempts_made
                went_well = is_last and code == "ok"
                of_day = days[at.date(), name if is_last else dice.choice(by_slug[slug]), slug]
                fell = not went_well and code != "client_error"
                of_day[:3] = [of_day[0] + 1, of_day[1] + fell, of_day[2] + ms // job.attempts_made]
                attempts.append(
                    Attempt(
                        job_id=job.pk,
                        number=turn + 1,
                        at=at + timedelta(milliseconds=2 + turn * (ms // job.attempts_made + 25)),
                        orchestrator=name if is_last else dice.choice(by_slug[slug]),
                        capability=slug,
                        outcome="ok" if went_well else "client_error" if code == "client_error" else "timeout",
                        status=200 if went_well else None,
                        ms=ms // job.attempts_made,
                        detail="" if went_well else "no answer within 5.0 s",
                    )
                )
            if wei:
                days[at.date(), name, slug][3] += wei
            sums = usage[at.replace(minute=0, second=0, microsecond=0), client, slug]
            more = (1, int(job.status >= 500), ms, job.bytes_in, job.bytes_out, wei)
            sums[:] = [old + new for old, new in zip(sums, more, strict=True)]
            yield job

    stored(Job, made())
    stored(Attempt, iter(attempts))
    sums_of_day = ("attempts", "failures", "milliseconds", "wei")
    stored(
        OfferDay,
        (
            OfferDay(day=day, orchestrator=name, capability=slug, **dict(zip(sums_of_day, sums, strict=True)))
            for (day, name, slug), sums in days.items()
        ),
    )
    names = ("requests", "failures", "milliseconds", "bytes_in", "bytes_out", "wei")
    stored(
        UsageHour,
        (
            UsageHour(hour=hour, client=client, capability=slug, **dict(zip(names, sums, strict=True)))
            for (hour, client, slug), sums in usage.items()
        ),
    )


def decided(names: list[str]) -> dict[str, Any]:
    """A choice as it is kept: two that could serve, two that could not (see routing/decisions.py)."""
    one, two, three, four = (names * 4)[:4]
    return {
        "d": [0.2, 0.6, 0.9],
        "s": 300_000_000_000,
        "c": [
            [one, 0, 1, 240_000_000_000, 0.7, 612.4, 0.012, 355_000_000_000, 1, 2, 8],
            [two, 1, 2, 180_000_000_000, 0.9, 910.0, 0.08, 472_000_000_000, 0, 0, 4],
        ],
        "r": [[three, 0, "430000000000", "400000000000"], [four, 10, "gpu_oom", "212"]],
    }


def changes() -> None:
    from orchestrators.changes import change_set
    from orchestrators.models import Capability, Orchestrator

    said = (
        ("ada", "moved to the new rack", "admin", Orchestrator, {"name": "ams-gpu-01"}, {"region": "eu-west"}),
        ("ops", "apply fleet.yaml", "apply", Capability, {"slug": "upscale"}, {"attempt_timeout": 12.0}),
        ("ada", "two attempts are enough here", "admin", Capability, {"slug": "pose"}, {"max_attempts": 2}),
    )
    for who, why, via, model, which, fields in said:
        with change_set(who=who, why=why, via=via) as changing:
            model.objects.filter(**which).update(**fields)
            changing.summary.append(f"changed {model._meta.verbose_name} {next(iter(which.values()))}")


def alerts(now: datetime) -> None:
    from orchestrators.models import Certificate, Orchestrator
    from routing.alerting import check
    from routing.models import AlertChannel, AlertRule
    from routing.pages.alerts import USUAL

    ops = AlertChannel.objects.create(name="ops", kind="email", email="ops@example.org")
    for name, kind, threshold in USUAL:  # the seeded past has one price for all
        limit = 135 if kind == "price" else threshold
        AlertRule.objects.create(name=name, kind=kind, threshold=limit).channels.add(ops)
    for home in Orchestrator.objects.all()[:3]:
        Certificate.objects.create(orchestrator=home, trusted="aa" * 32, seen="bb" * 32, seen_at=now)
    check(now)


def people() -> None:
    from django.contrib.auth.models import Group, User

    groups = dict(
        zip(PEOPLE, ("Viewer", "Operator", "Policy editor", "Key manager", "Administrator"), strict=True)
    )
    for name, group in groups.items():
        person = User.objects.create_user(name, password=PASSWORD, is_staff=True)
        person.groups.set(Group.objects.filter(name=group))
    User.objects.create_superuser("ada", password=PASSWORD)


def stored(model: Any, rows: Iterable[Any]) -> None:
    rows = iter(rows)
    while batch := list(islice(rows, 5000)):
        model.objects.bulk_create(batch)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
    django.setup()
    seed(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
