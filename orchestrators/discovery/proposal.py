"""What all enabled sources say, merged -> orchestrators and offers that are missing. Nothing is ever removed.

One code path for real and for show: what is only proposed is undone at the end. Existing rows are left as
people made them, but for two: whatever waits in mode `discovered` is activated once a trusted source names it,
and a runner's path is followed.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from orchestrators.changes import change_set, rehearsal
from orchestrators.core.discovery import Kind, Named
from orchestrators.core.discovery.merging import Claim, conflicts, in_order, key_of, merged
from orchestrators.discovery.memory import Look, remember
from orchestrators.models import Capability, DiscoveredEndpoint, DiscoverySource, Mode, Offer, Orchestrator
from orchestrators.models.orchestrator import ProtocolChoice

MOST_NEW = 200  # orchestrators in one run, a second of the policy lock; the others come in the next ones
_LEFT_ALONE = (Mode.DISABLED, Mode.RETIRED, Mode.DRAINING)

_SPOKEN = {
    Kind.BYOC: ProtocolChoice.BYOC,
    Kind.PIPELINE: ProtocolChoice.BYOC,
    Kind.RUNNER: ProtocolChoice.LIVE_RUNNER,
}

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes`: what is written, a line each. `events`: how the sources did. `notes`: what is not written, and
    why; where sources disagree."""

    changes: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """The same for the same changes: what was shown is what is applied."""
        return hashlib.sha256("\n".join(self.changes).encode()).hexdigest()


Show = Callable[[Plan], None]


def propose(looks: Iterable[Look], *, now: datetime) -> Plan:
    """What `apply` would do. Nothing stays written, not even what the sources answered."""
    plan = Plan()
    with rehearsal():
        plan.events.extend(remember(looks, now))
        _Proposal(plan).run()
    return plan


def apply(
    looks: Iterable[Look],
    *,
    who: str,
    via: str,
    now: datetime,
    why: str = "discovery",
    show: Show = lambda plan: None,
) -> Plan:
    """Remember what the sources answered, which is no policy and holds up nobody's; then add what is missing.
    `show` is called before that counts; what it raises undoes it."""
    plan = Plan()
    with transaction.atomic():
        plan.events.extend(remember(looks, now))
    with change_set(who, why, via) as changes:
        _Proposal(plan).run()
        show(plan)
        changes.summary.extend(plan.changes)
    return plan


class _Proposal:
    """The registry as it is, and what is added to it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.capabilities = {each.slug: each for each in Capability.objects.all()}
        self.homes = {key_of(each.service_uri): each for each in Orchestrator.objects.all()}
        self.names = {each.name for each in self.homes.values()}
        self.offers: dict[tuple[int, int], Offer] = {}
        called: defaultdict[str, set[str]] = defaultdict(set)
        for offer in Offer.objects.select_related("capability", "orchestrator"):
            self.offers[offer.orchestrator_id, offer.capability_id] = offer
            called[offer.wire_name].add(offer.capability.slug)
        self.slugs = {name: next(iter(slugs)) for name, slugs in called.items() if name and len(slugs) == 1}
        self.sources = {each.name: each for each in DiscoverySource.objects.filter(enabled=True)}
        self.unknown: Counter[str] = Counter()
        self.added = self.postponed = 0

    def run(self) -> None:
        for claims in self.told().values():
            self.endpoint(in_order(claims))
        for name, number in sorted(self.unknown.items()):
            self.plan.notes.append(
                f"{name}: no capability of that name, at {number} endpoints; add one, or say in the source's "
                "names which one it is."
            )
        if self.postponed:
            self.plan.notes.append(f"{self.postponed} more orchestrators come in the next run.")

    def told(self) -> dict[Key, list[Claim]]:
        """By endpoint."""
        found: defaultdict[Key, list[Claim]] = defaultdict(list)
        rows = DiscoveredEndpoint.objects.filter(source__enabled=True).select_related("source")
        for row in rows.order_by("service_uri", "source__name"):
            claim = row.as_claim()
            if not row.source.leaves_out(claim.entry):
                found[key_of(row.service_uri)].append(claim)
        return found

    def endpoint(self, claims: list[Claim]) -> None:
        facts = merged(claims)
        uri = claims[0].entry.service_uri
        self.plan.notes.extend(f"{uri}: {sentence}" for sentence in conflicts(facts))
        home = self.homes.get(key_of(uri))
        if home is None:
            region = str(facts["region"].value) if "region" in facts else ""
            home = self.add(claims, region)
        if home is None or home.mode in _LEFT_ALONE:
            return
        self.promote(home, next((each for each in claims if each.trusted), None))
        for slug, (claim, named) in self.served(claims).items():
            self.offer(home, slug, named, claim)

    def add(self, claims: list[Claim], region: str) -> Orchestrator | None:
        """None: it cannot be used, or has to wait."""
        claim = claims[0]
        if self.added >= MOST_NEW:
            self.postponed += 1
            return None
        uri = claim.entry.service_uri
        made = Orchestrator(
            name=Orchestrator.free_name(uri, self.names),
            service_uri=uri,
            protocol=_protocol(claims),
            mode=_mode(claim),
            region=region,
        )
        if not self.saved(made, f"orchestrator {made}: {uri}", claim):
            return None
        self.added += 1
        self.names.add(made.name)
        self.homes[key_of(uri)] = made
        return made

    def served(self, claims: list[Claim]) -> dict[str, tuple[Claim, Named]]:
        """By capability, whose word counts first; names that lead to none are noted."""
        found: dict[str, tuple[Claim, Named]] = {}
        unknown: set[str] = set()
        for claim in claims:
            names = self.sources[claim.source].names
            for named in claim.entry.serves:
                own = named.name.rpartition("/")[2] if named.kind is Kind.RUNNER else named.name
                slug = names.get(named.name, self.slugs.get(named.name, own))
                if slug in self.capabilities:
                    found.setdefault(slug, (claim, named))
                else:
                    unknown.add(named.name)
        self.unknown.update(unknown)
        return found

    def offer(self, home: Orchestrator, slug: str, named: Named, claim: Claim) -> None:
        capability = self.capabilities[slug]
        known = self.offers.get((home.pk, capability.pk))
        if known is not None:
            self.promote(known, claim if claim.trusted else None)
            self.move(known, named, claim)
        elif home.protocol != _SPOKEN[named.kind] or (named.kind is Kind.RUNNER and not named.path):
            self.plan.notes.append(f"{home}: {named.name} ({named.kind}) cannot be called by {home.protocol}.")
        else:
            wire_name = "" if named.name == slug else named.name
            made = Offer(
                orchestrator=home,
                capability=capability,
                wire_name=wire_name,
                path=named.path,
                mode=_mode(claim),
            )
            if self.saved(made, f"offer {made}", claim):
                self.offers[home.pk, capability.pk] = made

    def move(self, offer: Offer, named: Named, claim: Claim) -> None:
        """A runner that registers anew may get another path; followed where its source has a say."""
        paths = {each.path for each in claim.entry.serves if each.name == offer.name_on_wire and each.path}
        if not paths or offer.path in paths or named.kind is not Kind.RUNNER:
            return
        path = min(paths)
        if claim.trusted or offer.mode == Mode.DISCOVERED:
            self.plan.changes.append(f"~ offer {offer}: path {offer.path} -> {path} ({_reason(claim)})")
            offer.path = path
            offer.save(update_fields=["path"])
        else:
            self.plan.notes.append(f"{offer}: path {offer.path} here, {path} by {claim.source}.")

    def promote(self, row: Orchestrator | Offer, claim: Claim | None) -> None:
        if claim is None or row.mode != Mode.DISCOVERED:
            return
        row.mode = Mode.ACTIVE
        row.save(update_fields=["mode"])
        label = f"{row._meta.verbose_name_raw} {row}"
        self.plan.changes.append(f"~ {label}: mode discovered -> active ({_reason(claim)})")

    def saved(self, made: Orchestrator | Offer, label: str, claim: Claim) -> bool:
        """Unique it is: names, addresses and offers were looked up in memory."""
        try:
            made.full_clean(validate_unique=False, validate_constraints=False)
        except ValidationError as exc:
            self.plan.notes.append(f"{label} is not added: {' '.join(exc.messages)}")
            return False
        made.save()
        self.plan.changes.append(f"+ {label} ({made.mode}: {_reason(claim)})")
        return True


def _protocol(claims: list[Claim]) -> ProtocolChoice:
    """An endpoint speaks one here: Live Runner where it has nothing but runners that can be called."""
    kinds = {
        each.kind for claim in claims for each in claim.entry.serves if each.path or each.kind is Kind.BYOC
    }
    return ProtocolChoice.LIVE_RUNNER if kinds == {Kind.RUNNER} else ProtocolChoice.BYOC


def _mode(claim: Claim) -> Mode:
    return Mode.ACTIVE if claim.trusted else Mode.DISCOVERED


def _reason(claim: Claim) -> str:
    return f"{claim.source} is trusted" if claim.trusted else f"named by {claim.source}"
