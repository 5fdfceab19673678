"""What a routing table is made of: frozen values, shared by all requests of a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from msgspec import Struct
from msgspec.structs import force_setattr

from orchestrators.core.addresses import Address, Network
from orchestrators.core.contract import Contract
from orchestrators.core.price import Price
from orchestrators.core.reputation import trust
from orchestrators.core.signature import DEFAULTS, Signature
from orchestrators.upstream.base import Target
from routing.core.limits import Rate
from routing.core.selection import Refused, Why


class OfferEntry(Struct, frozen=True, gc=False):
    """An offer that may be routed to. `seats`: calls at once from this worker, at least 1. `poor_fit`: its
    orchestrator also serves long or stateful work, which slows it (R22). `reputation`: of its
    orchestrator, 0 to 100, and `trust`, the factor that gives (R57). `falling`: its free slots ran low (R54).
    `precision`: number format of its model, "" where nobody told (R55)."""

    id: int
    orchestrator: str
    orchestrator_id: int
    target: Target
    price: Price
    claimed: bool
    seats: int
    share: float
    poor_fit: bool = False
    reputation: float = 100.0
    falling: bool = False
    precision: str = ""
    trust: float = 1.0  # from `reputation`

    def __post_init__(self) -> None:
        force_setattr(self, "trust", trust(self.reputation))


@dataclass(frozen=True, slots=True)
class CapabilityPolicy:
    """A capability's own values where it has any, else its profile's. Times in seconds.

    `request`, `response`: as declared, with content_types and schema, for clients to read. `profile`: its slug.
    `value_of_second`: wei. `typical_seconds`: compute time of a usual request. `sample_path`: worker path of
    its sample request without a leading slash, None when it has none.
    """

    id: int
    slug: str
    description: str
    profile: str
    max_attempts: int
    retry_timeout: float
    attempt_timeout: float
    cold_grace: float
    latency_target: float
    seat_wait: float
    fresh_for: float
    value_of_second: int
    typical_seconds: float
    stateful: bool
    contract: Contract
    content_types: tuple[str, ...]
    sample_path: bytes | None
    request: Mapping[str, Any] = field(default_factory=dict)
    response: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lane:
    """What the clients of one tier may use of a capability.

    `ceiling`: the least that applies; None with `ceiling_decided` means that any price will do, and
    without it that only free offers are called.
    """

    policy: CapabilityPolicy
    offers: tuple[OfferEntry, ...]
    refused: tuple[Refused, ...]
    ceiling: Price | None
    ceiling_decided: bool
    by_id: Mapping[int, OfferEntry] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {offer.id: offer for offer in self.offers})

    @property
    def ceiling_excluded(self) -> tuple[int, int]:
        """(n, m): of the m offers that are active and have a price, n are above the ceiling."""
        above = sum(each.why is Why.PRICE_CEILING for each in self.refused)
        return above, above + len(self.offers)


@dataclass(frozen=True, slots=True)
class ClientEntry:
    """`rate`, `max_in_flight` and the budgets (wei): this worker's share of the tier's limits; None: no limit.
    `capabilities`: slugs; None: all."""

    id: int
    name: str
    tier: str | None
    rate: Rate | None
    max_in_flight: int | None
    capabilities: frozenset[str] | None
    daily_budget: int | None = None
    monthly_budget: int | None = None
    has_budget: bool = field(init=False)

    def __post_init__(self) -> None:
        limited = self.daily_budget is not None or self.monthly_budget is not None
        object.__setattr__(self, "has_budget", limited)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """`expires_at`: wall seconds. `scope`: all, inference or read. `networks`: None means from anywhere.
    Revoked keys, and those of inactive clients, have no entry."""

    client: ClientEntry
    expires_at: float | None
    scope: str = "all"
    networks: tuple[Network, ...] | None = None


@dataclass(frozen=True, slots=True)
class PipelineEntry:
    """What answers at a path of the stock AI gateway. `wire_names`: of offers, by the client's model id."""

    slug: str
    wire_names: Mapping[str, str]

    def narrowed(self, lane: Lane, model_id: str) -> Lane:
        """Only what the operator says a model id means; all of it where nothing is said."""
        name = self.wire_names.get(model_id)
        if name is None:
            return lane
        return replace(lane, offers=tuple(each for each in lane.offers if each.target.wire_name == name))


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """`revision`: the policy number it shows. `keys`: by digest. `policies`: by slug, sorted.
    `signatures`: in order, for every capability; those that a status below 300 may bear are mostly none.
    `networks`: of clients known without a key, the narrowest
    first. `pipelines`: by path. `until`: wall seconds when it is out of date by itself.
    `shown`: the keys seen in use, with their digests, by the header field that showed them; the one thing
    that is added to, and gone with the table. `homes`, `capability_of`: orchestrator and slug of each entry, by
    offer; made here, since a table is built in a thread and taken where every call would wait for them."""

    revision: int
    keys: Mapping[str, KeyEntry]
    policies: Mapping[str, CapabilityPolicy]
    lanes: Mapping[tuple[str, str | None], Lane]
    entries: Mapping[str, tuple[OfferEntry, ...]]
    slugs: Mapping[str, str]
    signatures: tuple[Signature, ...] = DEFAULTS
    signatures_of_success: tuple[Signature, ...] = ()
    networks: tuple[tuple[Network, ClientEntry], ...] = ()
    pipelines: Mapping[str, PipelineEntry] = field(default_factory=dict)
    until: float = inf
    shown: dict[bytes, tuple[str, KeyEntry]] = field(default_factory=dict, init=False, compare=False)
    homes: Mapping[int, int] = field(init=False, repr=False, compare=False)
    capability_of: Mapping[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        entries = [(slug, offer) for slug, offers in self.entries.items() for offer in offers]
        object.__setattr__(self, "homes", {offer.id: offer.orchestrator_id for _, offer in entries})
        object.__setattr__(self, "capability_of", {offer.id: slug for slug, offer in entries})

    def __repr__(self) -> str:
        return f"<RoutingTable {self.revision}: {len(self.policies)} capabilities, {len(self.keys)} keys>"

    def lane(self, slug: str, tier: str | None) -> Lane | None:
        """None: no such capability. A tier without ceilings of its own uses everybody's lane."""
        return self.lanes.get((slug, tier)) or self.lanes.get((slug, None))

    def client_at(self, address: Address) -> ClientEntry | None:
        """Who calls from here without a key."""
        return next((client for network, client in self.networks if address in network), None)

    def offers_of(self, slug: str) -> tuple[OfferEntry, ...]:
        """Its active offers with a known price, before any ceiling."""
        return self.entries.get(slug, ())

    def slug_of(self, name: str) -> str | None:
        """The capability of that slug, else the one whose offers all carry that wire name."""
        return name if name in self.policies else self.slugs.get(name)
