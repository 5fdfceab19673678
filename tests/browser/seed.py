"""A fleet to look at, put into a migrated, empty database: `python -m tests.browser.seed [scale]`.

Thirty orchestrators, twelve capabilities, and at scale 1 two hundred thousand snapshots and a million jobs.
All of it follows from the same dice, so that two pictures differ by the code alone. What happened is in `past`.
"""

from __future__ import annotations

import os
import random
import sys
from datetime import datetime, timedelta
from typing import Any

import django

SNAPSHOTS, CALLS = 200_000, 1_000_000
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

    from tests.browser.newcomers import newcomers
    from tests.browser.past import fill

    now = timezone.now()
    offers = [(row.pk, row.orchestrator.name, row.capability.slug) for row in supply(now)]
    demand()
    newcomers(now)
    usual = {slug: ms for slug, (_profile, ms) in CAPABILITIES.items()}
    fill(offers, usual, now, int(SNAPSHOTS * scale), int(CALLS * scale), dice)
    alerts(now)
    changes()
    people()


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
                epoch=1,  # stored by somebody: others take it over
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
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import Group, User

    hashed = make_password(PASSWORD)  # slow on purpose
    groups = dict(
        zip(PEOPLE, ("Viewer", "Operator", "Policy editor", "Key manager", "Administrator"), strict=True)
    )
    for name, group in groups.items():
        person = User.objects.create(username=name, password=hashed, is_staff=True)
        person.groups.set(Group.objects.filter(name=group))
    User.objects.create(username="ada", password=hashed, is_staff=True, is_superuser=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
    django.setup()
    seed(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
