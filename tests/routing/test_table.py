"""Rows -> routing table: what a client of one tier may use of a capability, and why not the rest."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from orchestrators import triggers
from orchestrators.core.price import Price
from orchestrators.models import (
    Advert,
    Capability,
    Certificate,
    Offer,
    Orchestrator,
    Revision,
    RoutingProfile,
)
from routing import table as tables
from routing.core.limits import Rate
from routing.core.selection import Why
from routing.models import ApiKey, Client, Pipeline, PriceCeiling, Tier
from routing.table import ClientEntry, Lane, OfferEntry
from routing.table import rows as reading
from tests.orchestrators.scenes import ALDER, BIRCH, offer, orchestrator

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, tzinfo=UTC)
GWEI = 10**9


def lane(tier: str | None = None, *, workers: int = 1, slug: str = "depth") -> Lane:
    found = tables.build(workers).lane(slug, tier)
    assert found is not None
    return found


def only_offer(**how: Any) -> OfferEntry:
    [offer] = lane(**how).offers
    return offer


def verdict(tier: str | None = None) -> Why | None:
    """Why the only offer is refused, None if it is not."""
    found = lane(tier)
    assert len(found.offers) + len(found.refused) == 1
    return found.refused[0].why if found.refused else None


@pytest.fixture
def depth() -> Capability:
    return Capability.objects.select_related("profile").get(slug="depth")


@pytest.fixture
def anything(depth: Capability) -> PriceCeiling:
    """Decided: no ceiling."""
    return PriceCeiling.objects.create(capability=depth)


@pytest.fixture
def alder(depth: Capability) -> Offer:
    """BYOC, claimed, 10 wei a second."""
    orchestrator = Orchestrator.objects.create(name="alder", service_uri="https://127.0.0.1:9101")
    offer = Offer.objects.create(
        orchestrator=orchestrator, capability=depth, wire_name="depth-anything", path="v1"
    )
    Advert.objects.create(offer=offer, claimed=True, price=Price.parse("10 wei/second"), checked_at=NOW)
    return offer


@pytest.fixture
def birch(depth: Capability) -> Offer:
    """Direct, 10 wei a second."""
    orchestrator = Orchestrator.objects.create(
        name="birch", service_uri="http://127.0.0.1:9102", protocol="direct"
    )
    return Offer.objects.create(orchestrator=orchestrator, capability=depth, price=Price.parse("10 wei/second"))


# --- offers ----------------------------------------------------------------------------------------


def test_it_knows_where_an_offer_lives(alder: Offer, anything: PriceCeiling) -> None:
    Certificate.objects.create(orchestrator=alder.orchestrator, trusted="aa", seen="bb", seen_at=NOW)
    offer = only_offer()
    target = offer.target
    assert (offer.id, offer.orchestrator, offer.orchestrator_id) == (alder.pk, "alder", alder.orchestrator_id)
    assert (target.service_uri, target.protocol) == ("https://127.0.0.1:9101", "byoc")
    assert (target.wire_name, target.path) == ("depth-anything", "v1")
    assert (target.tls, target.fingerprint) == ("pin", "aa")
    assert offer.claimed


def test_a_direct_offer_is_claimed_and_priced_as_configured(birch: Offer, anything: PriceCeiling) -> None:
    """R6: the same table, whatever the protocol."""
    offer = only_offer()
    assert offer.claimed
    assert offer.price == Price.parse("10 wei/second")
    assert offer.target.wire_name == "depth"
    assert offer.target.fingerprint == ""


def test_an_unclaimed_offer_is_left_to_selection(alder: Offer, anything: PriceCeiling) -> None:
    Advert.objects.update(claimed=False)
    assert not only_offer().claimed


def test_a_direct_one_whose_answer_was_known_for_it_is_not_claimed(
    birch: Offer, anything: PriceCeiling
) -> None:
    """By a signature of the operator's; the next look affirms it."""
    Advert.objects.create(offer=birch, claimed=False)
    assert not only_offer().claimed


@pytest.mark.parametrize("mode", ["discovered", "trial", "draining", "disabled", "retired"])
def test_only_active_gets_traffic(alder: Offer, anything: PriceCeiling, mode: str) -> None:
    Offer.objects.update(mode=mode)
    assert verdict() is Why.MODE_OFFER
    Orchestrator.objects.update(mode=mode)
    assert verdict() is Why.MODE_ORCHESTRATOR
    Offer.objects.update(mode="active")
    assert verdict() is Why.MODE_ORCHESTRATOR
    assert lane().refused[0].detail == f"its orchestrator is {mode}"


def test_a_price_must_be_known(alder: Offer, anything: PriceCeiling) -> None:
    Advert.objects.update(price=None)
    assert lane().refused[0].detail == "its orchestrator quotes no usable price"
    Advert.objects.all().delete()
    assert verdict() is Why.BAD_QUOTE
    assert lane().refused[0].detail == "not probed yet"


def test_a_direct_offer_needs_a_price(birch: Offer, anything: PriceCeiling) -> None:
    Offer.objects.update(price=None)
    assert verdict() is Why.BAD_QUOTE
    assert lane().refused[0].detail == "no price is set on the offer"


def test_poor_fit_work_weighs_on_what_stands_beside_it(
    alder: Offer, birch: Offer, anything: PriceCeiling
) -> None:
    """R22: an orchestrator with a long or stateful job is slower for all others, and only for those."""
    training = Capability.objects.create(slug="training", profile=alder.capability.profile, stateful=True)
    long = Offer.objects.create(orchestrator=alder.orchestrator, capability=training)
    Advert.objects.create(offer=long, claimed=True, price=alder.advert.price)
    assert {offer.orchestrator: offer.poor_fit for offer in lane().offers} == {"alder": True, "birch": False}
    assert [offer.poor_fit for offer in tables.build(1).offers_of("training")] == [False]
    Offer.objects.filter(pk=long.pk).update(mode="disabled")
    assert not any(offer.poor_fit for offer in lane().offers)


def test_a_chain_may_cost_more_than_each_of_its_parts(depth: Capability) -> None:
    """R44, R45: an offer above each part's ceiling and below the chain's is eligible."""
    chain = Capability.objects.create(slug="depth-to-image", profile=depth.profile)
    chain.parts.set([depth, Capability.objects.get(slug="image-to-image")])
    for capability, price in ((depth, "100"), (chain.parts.last(), "200"), (chain, "300")):
        PriceCeiling.objects.create(capability=capability, price=Price.parse(f"{price} wei/second"))
    home = Orchestrator.objects.create(name="alder", service_uri="https://127.0.0.1:9101")
    offer = Offer.objects.create(orchestrator=home, capability=chain)
    Advert.objects.create(offer=offer, claimed=True, price=Price.parse("250 wei/second"), checked_at=NOW)
    assert [each.id for each in lane(slug="depth-to-image").offers] == [offer.pk]


def test_one_bad_row_costs_only_its_own_offer(alder: Offer, birch: Offer, anything: PriceCeiling) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orchestrators_advert SET price = 'a song'")
        cursor.execute("UPDATE orchestrators_capability SET response = %s", ['{"schema": 7}'])
    found = lane()
    assert [offer.orchestrator for offer in found.offers] == ["birch"]
    assert found.refused[0].detail == 'its price "a song" cannot be read'
    assert found.policy.content_types == ()


@pytest.mark.parametrize(
    ("own", "capability", "largest", "workers", "seats"),
    [
        (None, None, 0, 1, 8),  # the profile's
        (None, 4, 0, 1, 4),
        (2, 4, 0, 1, 2),
        (None, 4, 3, 1, 3),  # never above what it claims
        (32, 4, 3, 1, 32),  # but an offer's own number is obeyed
        (None, None, 0, 2, 4),
        (None, None, 0, 16, 1),
    ],
)
def test_seats(
    alder: Offer, anything: PriceCeiling, own: int, capability: int, largest: int, workers: int, seats: int
) -> None:
    Offer.objects.update(max_in_flight=own)
    Capability.objects.update(max_in_flight=capability)
    Advert.objects.update(largest_capacity=largest)
    assert only_offer(workers=workers).seats == seats


def test_what_a_probe_saw_of_slots_and_model_comes_along(alder: Offer, anything: PriceCeiling) -> None:
    """R54, R55: and a change of either makes a new table."""
    assert (only_offer().falling, only_offer().precision) == (False, "")
    before = Revision.objects.get().policy
    Advert.objects.update(falling=True, precision="fp16")
    assert Revision.objects.get().policy > before
    assert (only_offer().falling, only_offer().precision) == (True, "fp16")


# --- ceilings --------------------------------------------------------------------------------------

D = "any price will do"


@pytest.mark.parametrize(
    ("price", "general", "gold", "for_all", "for_gold"),
    [
        ("1000 wei/second", "1000 wei/second", None, None, None),
        ("1001 wei/second", "1000 wei/second", None, Why.PRICE_CEILING, Why.PRICE_CEILING),
        ("1000.000000001 wei/second", "1000 wei/second", None, Why.PRICE_CEILING, Why.PRICE_CEILING),
        ("0.3 gwei/second", "300000000 wei/second", None, None, None),
        ("1000 wei/second", "1000 wei/second", "500 wei/second", None, Why.PRICE_CEILING),
        ("1000 wei/second", "500 wei/second", "1000 wei/second", Why.PRICE_CEILING, Why.PRICE_CEILING),
        ("1000 wei/second", "500 wei/second", D, Why.PRICE_CEILING, Why.PRICE_CEILING),
        ("1000 wei/second", D, "500 wei/second", None, Why.PRICE_CEILING),
        ("1000 wei/second", None, "1000 wei/second", Why.PRICE_CEILING, None),
        ("1000 wei/second", None, D, Why.PRICE_CEILING, None),
        ("1000 wei/second", D, None, None, None),
        ("1000 wei/second", None, None, Why.PRICE_CEILING, Why.PRICE_CEILING),
        ("0 wei/second", None, None, None, None),
        ("0 wei/second", "0 wei/second", None, None, None),
        ("1/1000000000 wei/second", "0 wei/second", None, Why.PRICE_CEILING, Why.PRICE_CEILING),
        ("1 wei/pixel", "1000 wei/second", None, Why.PRICE_UNIT, Why.PRICE_UNIT),
        ("1 wei/pixel", "1000 wei/second", "10 wei/pixel", Why.PRICE_UNIT, Why.PRICE_UNIT),
    ],
)
def test_ceilings(
    birch: Offer, price: str, general: str | None, gold: str | None, for_all: Why | None, for_gold: Why | None
) -> None:
    """R13: hard and exact; the least of those that apply counts."""
    tier = Tier.objects.create(slug="gold")
    Offer.objects.update(price=Price.parse(price))
    for who, text in ((None, general), (tier, gold)):
        if text is not None:
            limit = None if text == D else Price.parse(text)
            PriceCeiling.objects.create(capability=birch.capability, tier=who, price=limit)
    assert (verdict(), verdict("gold")) == (for_all, for_gold)


def test_an_undecided_ceiling_suggests_the_profiles(birch: Offer) -> None:
    """R31: a profile's ceiling is a suggestion, never applied by itself."""
    found = lane()
    assert (found.ceiling, found.ceiling_decided) == (None, False)
    assert found.refused[0].detail.endswith("its profile suggests 30000000000 wei/second")


def test_a_lane_shows_the_ceiling_that_counts(depth: Capability) -> None:
    gold = Tier.objects.create(slug="gold")
    PriceCeiling.objects.create(capability=depth, price=Price.parse("1000 wei/second"))
    PriceCeiling.objects.create(capability=depth, tier=gold, price=Price.parse("500 wei/second"))
    assert lane().ceiling == Price.parse("1000 wei/second")
    assert lane("gold").ceiling == Price.parse("500 wei/second")
    assert lane("silver").ceiling == Price.parse("1000 wei/second")
    assert lane("gold").ceiling_decided


# --- capabilities ----------------------------------------------------------------------------------


def test_a_profile_fills_in_and_an_override_wins(depth: Capability) -> None:
    """R31: choosing a profile fills defaults; an override wins over the profile."""
    policy = lane().policy
    assert (policy.retry_timeout, policy.attempt_timeout, policy.cold_grace) == (12, 3, 15)
    assert (policy.max_attempts, policy.latency_target, policy.typical_seconds) == (3, 0.05, 0.05)
    assert (policy.seat_wait, policy.fresh_for, policy.value_of_second) == (4, 120, 300 * GWEI)
    depth.profile = RoutingProfile.objects.get(slug="chained")
    depth.retry_timeout, depth.cold_grace, depth.value_of_second, depth.typical_seconds = 7, 0, 0, 2.5
    depth.save()
    policy = lane().policy
    assert (policy.profile, policy.attempt_timeout, policy.latency_target) == ("chained", 20, 2.0)
    assert (policy.retry_timeout, policy.cold_grace) == (7, 0)
    assert (policy.value_of_second, policy.typical_seconds) == (0, 2.5)


def test_a_policy_switch_reaches_the_next_table(depth: Capability) -> None:
    """R9: the number moves, and the next table has the new policy."""
    before = tables.numbers()[0]
    assert lane().policy.value_of_second > 0
    Capability.objects.filter(slug="depth").update(value_of_second=0)
    assert tables.numbers()[0] > before
    assert lane().policy.value_of_second == 0


def test_a_contract_comes_compiled(depth: Capability) -> None:
    depth.response = {"content_types": ["application/json"], "schema": {"required": ["depth"]}}
    depth.sample_request = {"content_type": "application/json", "path": "/v1/depth", "body": {}}
    depth.save()
    policy = lane().policy
    assert policy.content_types == policy.contract.content_types == ("application/json",)
    assert policy.contract.validate is not None
    assert policy.contract.validate({}) is not None
    assert policy.sample_path == b"v1/depth"
    assert lane(slug="pose").policy.sample_path is None


def test_any_name_can_be_a_capability(birch: Offer) -> None:
    """R1: the vocabulary is open."""
    warm = RoutingProfile.objects.get(slug="warm")
    burn = Capability.objects.create(slug="subtitle-burn", profile=warm)
    PriceCeiling.objects.create(capability=burn)
    Offer.objects.update(capability=burn)
    assert only_offer(slug="subtitle-burn").orchestrator == "birch"


def test_a_wire_name_leads_to_its_one_capability(alder: Offer, birch: Offer) -> None:
    """R23: clients of the stock gateway may keep the name they have."""
    assert tables.build(1).slug_of("depth") == "depth"
    assert tables.build(1).slug_of("depth-anything") is None  # birch calls it depth
    Offer.objects.filter(pk=birch.pk).update(wire_name="depth-anything")
    assert tables.build(1).slug_of("depth-anything") == "depth"
    Offer.objects.filter(pk=birch.pk).update(capability=Capability.objects.get(slug="pose"))
    assert tables.build(1).slug_of("depth-anything") is None  # two capabilities
    Offer.objects.filter(pk=birch.pk).update(mode="retired")
    assert tables.build(1).slug_of("depth-anything") == "depth"
    assert tables.build(1).slug_of("nobody") is None


def test_an_unknown_capability_has_no_lane() -> None:
    assert tables.build(1).lane("nothing", None) is None
    assert tables.build(1).offers_of("nothing") == ()


# --- clients ---------------------------------------------------------------------------------------


def issue(client: Client, **fields: Any) -> str:
    key, _ = ApiKey.issue(client, now=NOW)
    for name, value in fields.items():
        setattr(key, name, value)
    key.save()
    return key.digest


def test_a_key_leads_to_its_client(depth: Capability) -> None:
    gold = Tier.objects.create(slug="gold", requests_per_minute=120, max_in_flight=6)
    acme = Client.objects.create(name="acme", tier=gold)
    acme.capabilities.add(depth)
    digest = issue(acme, expires_at=NOW)
    found = tables.build(2).keys[digest]
    assert found.expires_at == NOW.timestamp()
    assert found.client == ClientEntry(acme.pk, "acme", "gold", Rate(60, 6), 3, frozenset({"depth"}))


def test_a_client_without_a_tier_has_no_limits() -> None:
    acme = Client.objects.create(name="acme")
    digest = issue(acme)
    assert tables.build(1).keys[digest].client == ClientEntry(acme.pk, "acme", None, None, None, None)


def test_revoked_keys_and_inactive_clients_are_left_out() -> None:
    gone, off = Client.objects.create(name="gone"), Client.objects.create(name="off", is_active=False)
    issue(gone, revoked_at=NOW)
    issue(off)
    assert tables.build(1).keys == {}


# --- the table as a whole --------------------------------------------------------------------------


def test_it_reads_again_what_changed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    read, reads = reading._read, []

    def slow(revision: int) -> tables.Rows:
        found = read(revision)
        reads.append(revision)
        if len(reads) == 1:
            Tier.objects.create(slug="gold")
        return found

    monkeypatch.setattr(reading, "_read", slow)
    table = tables.build(1)
    assert len(reads) == 2
    assert table.revision == tables.numbers()[0]


def test_a_client_is_never_without_its_limits(depth: Capability) -> None:
    """One that came, with its capability, between two of our reads."""
    acme = Client.objects.create(name="acme")
    acme.capabilities.add(depth)
    digest = issue(acme)
    rows = tables.read()
    early = replace(rows, capabilities=[each for each in rows.capabilities if each["slug"] != "depth"])
    assert tables.assemble(early, 1).keys[digest].client.capabilities == frozenset()


def test_rows_changed_in_memory_make_the_table_that_saving_makes(depth: Capability) -> None:
    """A new name, other numbers, ceilings that come, go and change; others are told apart by its work."""
    gold, pro = Tier.objects.create(slug="gold"), Tier.objects.create(slug="pro")
    acme = Client.objects.create(name="acme", tier=gold)
    acme.capabilities.add(depth)
    issue(acme)
    alder = orchestrator(ALDER)
    for row in (offer(alder, "depth"), offer(alder, "pose"), offer(orchestrator(BIRCH), "depth")):
        Advert.objects.create(offer=row, claimed=True, price=Price.parse("10 wei/second"), largest_capacity=9)
    Pipeline.objects.create(path="upscale", capability=depth)
    mine = [PriceCeiling(capability=depth, price="1000 wei/second"), PriceCeiling(capability=depth, tier=gold)]
    for each in mine:
        each.save()
    depth.slug, depth.stateful, depth.max_in_flight, depth.cold_grace = "depth-map", True, 3, 0.1 + 0.2
    depth.profile = RoutingProfile.objects.exclude(pk=depth.profile_id).first()
    depth.response = {"content_types": ["image/png"]}
    mine[0].price = Price.parse("5 wei/second")
    left = [mine[0], PriceCeiling(capability=depth, tier=pro, price=Price.parse("0.3 gwei/second"))]
    supposed = tables.assemble(tables.read().saving(depth, left), 4)

    depth.save()
    mine[1].delete()
    for each in left:
        each.save()
    made = tables.build(4)
    assert replace(supposed, revision=made.revision) == made
    assert set(made.lanes) >= {("depth-map", None), ("depth-map", "pro")} and made.slug_of("depth") is None
    assert made.pipelines["upscale"].slug == "depth-map" and made.offers_of("pose")[0].poor_fit


def test_every_column_it_reads_moves_the_number() -> None:
    """R9: or a change of it would wait for another one. An event of reputation comes, and never changes."""
    with CaptureQueriesContext(connection) as queries:
        tables.read()
    read = {each for query in queries for each in re.findall(r'"(\w+)"\."(\w+)"', query["sql"])}
    watched = {
        (each.table, name)
        for each in triggers._watched.values()
        if each.number == "policy"
        for name in each.columns
    }
    assert len({table for table, _ in read}) >= 14
    assert {each for each in read - watched if each[0] != "orchestrators_reputationevent"} == set()


def test_it_says_so_when_the_revision_is_missing() -> None:
    Revision.objects.all().delete()
    with pytest.raises(DatabaseError, match="run manage.py migrate"):
        tables.numbers()


def test_thousands_of_offers_are_built_at_once() -> None:
    """30 ms of CPU where it was measured; the bound is for busy machines."""
    profile = RoutingProfile.objects.get(slug="warm")
    homes = Orchestrator.objects.bulk_create(
        Orchestrator(name=f"o{i}", service_uri=f"https://o{i}.example:8935") for i in range(200)
    )
    kinds = Capability.objects.bulk_create(Capability(slug=f"kind-{i}", profile=profile) for i in range(20))
    PriceCeiling.objects.bulk_create(PriceCeiling(capability=each) for each in kinds)
    offers = Offer.objects.bulk_create(Offer(orchestrator=o, capability=c) for o in homes for c in kinds)
    price = Price.parse("10 wei/second")
    Advert.objects.bulk_create(Advert(offer=offer, claimed=True, price=price) for offer in offers)
    tables.build(1)
    started = time.process_time()
    table = tables.build(1)
    took = time.process_time() - started
    assert sum(len(table.offers_of(slug)) for slug in table.policies) == 4000
    assert took < 1.0, took
