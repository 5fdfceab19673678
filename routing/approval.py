"""What waits for approval, offer by offer: where it comes from, what its trial found, what it asks beside the
ceiling, and what letting it in would bring. Plain values, for the console's page of candidates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.html import format_html
from django.utils.translation import gettext as _

from orchestrators.core.price import Price, PriceError
from orchestrators.core.scorecard import Verdict
from orchestrators.display.amounts import per, percent, price_in_words
from orchestrators.display.sentences import told as retold
from orchestrators.display.states import Tone
from orchestrators.models import DiscoveredEndpoint, Offer, Trial
from orchestrators.models.orchestrator import ProtocolChoice
from orchestrators.scoreboard import Scoreboard
from orchestrators.standing import WAITING, waiting
from routing.dashboard import current_table
from routing.explain import chosen, stored_board
from routing.table import Lane
from routing.table.offers import unpayable

BY_HAND = "-"  # no source is called that
NONE = "none"
TRIALS = (NONE, *(each.value for each in Verdict))


@dataclass(frozen=True, slots=True)
class Waiting:
    """One offer. `named_by`: what sources know of its orchestrator's address; nothing: people added it.
    `quote`: its price, by itself or by people; `hearsay`: by a source. `lane`: of clients without a tier's
    own ceiling. `rivals`: prices of those who may be asked for its capability now.
    """

    offer: Any
    named_by: list[DiscoveredEndpoint]
    trial: Trial | None
    quote: Price | None
    hearsay: Price | None
    lane: Lane | None
    rivals: list[Price]

    @property
    def mode(self) -> str:
        """What keeps it waiting: its own mode, or else its orchestrator's."""
        offer = self.offer
        return str(offer.mode if offer.mode in WAITING else offer.orchestrator.mode)

    @property
    def price(self) -> Price | None:
        return self.quote or self.hearsay

    @property
    def remarks(self) -> list[str]:
        """What its trial found wrong, and how often it answered."""
        points = self.trial.points if self.trial else []
        return [
            each["sentence"] for each in points if each["verdict"] != Verdict.PASS or each["name"] == "answers"
        ]

    @property
    def of_ceiling(self) -> tuple[float, float] | None:
        """(price, ceiling), where both are known and of one unit."""
        ceiling = self.lane.ceiling if self.lane else None
        if self.price is None or ceiling is None or self.price.unit is not ceiling.unit:
            return None
        return float(self.price.per_unit), float(ceiling.per_unit)

    @property
    def claimed(self) -> bool:
        """As the routing table has it: of a direct container nobody has to hear it first."""
        advert = getattr(self.offer, "advert", None)
        is_direct = self.offer.orchestrator.protocol == ProtocolChoice.DIRECT
        return is_direct if advert is None else bool(advert.claimed)

    @property
    def beside_ceiling(self) -> tuple[Tone, str]:
        """In words; "bad": no call would go there."""
        price, lane = self.price, self.lane
        if price is None:
            return "idle", _("price not known yet")
        if price.wei == 0:
            return "good", _("free")
        if lane is None or not lane.ceiling_decided:
            return "bad", _("no ceiling is set, so only free ones are asked")
        if lane.ceiling is None:
            return "good", _("no ceiling")
        return _beside(price, lane.ceiling)

    @property
    def against(self) -> str:
        """Why it would get no call; "": nothing is known to be against it."""
        tone, words = self.beside_ceiling
        unpaid = unpayable(self.offer.orchestrator.protocol, self.quote)
        if tone == "bad" or unpaid is not None:
            return words if unpaid is None else unpaid[1]
        return _("its price is not known; a probe or a trial asks for it") if self.quote is None else ""

    @property
    def would(self) -> str:
        """What letting it in would bring, in a sentence."""
        words = {"slug": self.offer.capability.slug, "all": len(self.rivals) + 1}
        if self.against or self.quote is None:
            said = _("Approved, it would get no call: {why}.")
            return format_html(said, why=retold(self.against))
        if not self.claimed:
            return _("It does not claim %(slug)s now: it would be asked as a last resort only.") % words
        if not self.rivals:
            return _("Nobody can serve %(slug)s now: it would be the only one.") % words
        alike = [each for each in self.rivals if each.unit is self.quote.unit]
        words["cheaper"] = cheaper = sum(self.quote < each for each in alike)
        if alike and cheaper == len(alike):
            return _("It would be one of %(all)s for %(slug)s, and the cheapest.") % words
        if not cheaper:
            return _("It would be one of %(all)s for %(slug)s, and none is dearer.") % words
        return _("It would be one of %(all)s for %(slug)s, cheaper than %(cheaper)s of them.") % words


def _beside(price: Price, ceiling: Price) -> tuple[Tone, str]:
    words = {"ceiling": price_in_words(ceiling), "per": per(price.unit), "other": per(ceiling.unit)}
    if price.unit is not ceiling.unit:
        return "bad", _("priced %(per)s, the ceiling is %(other)s") % words
    if price > ceiling:
        words["share"] = _percent(price.per_unit - ceiling.per_unit, ceiling.per_unit)
        return "bad", _("%(share)s above the ceiling of %(ceiling)s") % words
    words["share"] = _percent(price.per_unit, ceiling.per_unit)
    return "good", _("%(share)s of the ceiling of %(ceiling)s") % words


def waiting_for(source: str = "", capability: str = "", trial: str = "") -> QuerySet[Any]:
    """The newest first; "" is anything. Each with `trial_id` and `verdict` of its latest trial."""
    latest = Trial.objects.filter(offer=OuterRef("pk")).order_by("-id")
    rows = waiting().annotate(
        trial_id=Subquery(latest.values("pk")[:1]), verdict=Subquery(latest.values("verdict")[:1])
    )
    named = DiscoveredEndpoint.objects.values("service_uri")
    if source == BY_HAND:
        rows = rows.exclude(orchestrator__service_uri__in=named)
    elif source:
        rows = rows.filter(orchestrator__service_uri__in=named.filter(source__name=source))
    if capability:
        rows = rows.filter(capability__slug=capability)
    if trial:
        rows = rows.filter(verdict=None if trial == NONE else trial)
    related = ("orchestrator", "capability", "advert", "health")
    return rows.select_related(*related).order_by("-pk")


def told(offers: Collection[Any], now: datetime) -> list[Waiting]:
    """Of offers of `waiting_for`. At most four queries. Raises django.db.Error."""
    table, board = current_table(), stored_board()
    trials = Trial.objects.in_bulk([each.trial_id for each in offers if each.trial_id])
    named_by = _endpoints(offers)
    lanes = {each.capability.slug: table.lane(each.capability.slug, None) for each in offers}
    rivals = {slug: _rivals(lane, board, table.revision, now) for slug, lane in lanes.items()}
    return [
        Waiting(
            offer=each,
            named_by=named_by[each.orchestrator.service_uri],
            trial=trials.get(each.trial_id),
            quote=each.price or getattr(getattr(each, "advert", None), "price", None),
            hearsay=_said(each, named_by[each.orchestrator.service_uri]),
            lane=lanes[each.capability.slug],
            rivals=rivals[each.capability.slug],
        )
        for each in offers
    ]


def _rivals(lane: Lane | None, board: Scoreboard, revision: int, now: datetime) -> list[Price]:
    if lane is None:
        return []
    ranked, _refused = chosen(lane, board, revision=revision, now=now.timestamp())
    return [each.price for each in ranked]


def _endpoints(offers: Iterable[Any]) -> Mapping[str, list[DiscoveredEndpoint]]:
    """By address, who named it first at first."""
    found: defaultdict[str, list[DiscoveredEndpoint]] = defaultdict(list)
    rows = DiscoveredEndpoint.objects.filter(service_uri__in={each.orchestrator.service_uri for each in offers})
    told = ("service_uri", "first_seen", "listed", "said", "source__name")
    for row in rows.select_related("source").only(*told).order_by("first_seen"):
        found[row.service_uri].append(row)
    return found


def _said(offer: Offer, endpoints: Iterable[DiscoveredEndpoint]) -> Price | None:
    """What a source says that it costs, until the orchestrator itself has been asked."""
    for endpoint in endpoints:
        for served in endpoint.said.get("serves", ()):
            if served["name"] == offer.name_on_wire and served["price"]:
                try:
                    return Price.parse(served["price"])
                except PriceError:
                    return None
    return None


def _percent(part: Fraction, whole: Fraction) -> str:
    return percent(float(part), float(whole))
