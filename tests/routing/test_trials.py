"""What a trial means to clients: no traffic before it is passed, and no trial above what they may pay."""

from __future__ import annotations

from django.core.management import call_command

from orchestrators.core.price import Price
from orchestrators.models import Capability, Offer
from orchestrators.simulator import Container, Simulator
from routing.models import PriceCeiling, Tier
from routing.table.ceilings import payable
from tests.routing.inference.scenes import DEPTH, PICTURE, ask, orchestrator
from tests.support.gateway import Gateway, in_thread

SAMPLE = {"sample_request": {"content_type": "application/json", "path": "", "body": PICTURE}}


async def test_a_new_offer_gets_no_traffic_until_it_has_passed_its_trial(gateway: Gateway) -> None:
    """R53."""
    async with Simulator("alder", capabilities=[Container("depth", price=10)]) as alder:
        offered = {"capability": "depth", "mode": "trial", "share": 0.5}
        await gateway.apply({"capabilities": [DEPTH | SAMPLE], "orchestrators": [orchestrator(alder, offered)]})
        refused = await ask(gateway)
        assert refused.status_code == 503 and refused.json()["reasons"] == {"mode_offer": 1}
        assert alder.calls["depth"] == 0
        await in_thread(call_command, "run_trial", "alder", "--json")
        await gateway.runtime.refresh()
        assert (await ask(gateway)).status_code == 200
        assert (await Offer.objects.aget()).share == 0.5


async def test_one_that_fails_gets_none_afterwards_either(gateway: Gateway) -> None:
    async with Simulator("cedar", capabilities=[Container("depth", fault="wrong_schema")]) as cedar:
        offered = {"capability": "depth", "mode": "trial"}
        await gateway.apply({"capabilities": [DEPTH | SAMPLE], "orchestrators": [orchestrator(cedar, offered)]})
        await in_thread(call_command, "run_trial", "cedar", "--json")
        await gateway.runtime.refresh()
        assert (await ask(gateway)).status_code == 503


def test_it_knows_what_the_clients_of_each_tier_may_pay(shipped: None) -> None:
    depth, pose = (Capability.objects.get(slug=slug) for slug in ("depth", "pose"))
    gold, iron = (Tier.objects.create(slug=slug) for slug in ("gold", "iron"))
    ten, twenty = Price.parse("10 wei/second"), Price.parse("20 wei/second")
    assert payable(depth.pk) == ()
    PriceCeiling.objects.create(capability=depth, tier=gold, price="20 wei/second")
    assert payable(depth.pk) == (twenty,), "clients of no tier have nothing decided for them"
    PriceCeiling.objects.create(capability=depth, tier=iron)
    assert set(payable(depth.pk)) == {twenty, None}
    PriceCeiling.objects.create(capability=depth, price="10 wei/second")
    assert set(payable(depth.pk)) == {ten}, "the least counts"
    assert payable(pose.pk) == ()
