"""Configurations that several scenes share. Alder is warm and dear, Birch cheap, Cedar broken."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx

from orchestrators.models import OfferHealth, RoutingProfile
from orchestrators.simulator import Simulator
from routing.models import Attempt
from tests.support.gateway import Gateway, in_thread

DEPTH = {
    "slug": "depth",
    "profile": "per-frame",
    "price_ceiling": "1000 wei/second",
    "response": {"content_types": ["application/json"], "schema": {"type": "object", "required": ["depth"]}},
}
PICTURE = {"image": "a picture"}


def orchestrator(simulator: Simulator, *offers: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
    """One simulated orchestrator in the configuration's own words; an offer may be its slug alone."""
    return {
        "name": simulator.name,
        "service_uri": simulator.service_uri,
        "protocol": simulator.protocol,
        "offers": [{"capability": offer} if isinstance(offer, str) else offer for offer in offers],
        **fields,
    }


async def depth_by(gateway: Gateway, *simulators: Simulator, **policy: Any) -> None:
    """`depth`, offered by all of these, probed once."""
    await gateway.apply(
        {
            "capabilities": [DEPTH | policy],
            "orchestrators": [orchestrator(each, "depth") for each in simulators],
        }
    )
    await gateway.probe()


async def wait_for_a_seat(gateway: Gateway, seconds: float) -> None:
    """How long a first attempt may, in every profile."""
    await in_thread(lambda: RoutingProfile.objects.update(seat_wait=seconds))
    await gateway.runtime.refresh()


def only_cheapest_first(gateway: Gateway) -> None:
    """No dice: of two equally ranked the cheaper is asked, and nobody is explored."""
    gateway.runtime.service._draw = lambda: 0.0


def job_header(
    capability: str = "depth", *, include: tuple[Simulator, ...] = (), **fields: Any
) -> dict[str, str]:
    """A stock client's header; `include` asks for these orchestrators alone."""
    wanted = {"orchestrators": {"include": [each.service_uri for each in include]}} if include else {}
    job = {"request": "{}", "parameters": json.dumps(wanted), "capability": capability, "timeout_seconds": 20}
    return {"livepeer": base64.b64encode(json.dumps(job | fields).encode()).decode()}


async def ask(gateway: Gateway, capability: str = "depth", *only: Simulator) -> httpx.Response:
    """One call of a depth container; `only` names the orchestrators that may be asked."""
    if only:
        return await gateway.post(
            "/process/request/", headers=job_header(capability, include=only), json=PICTURE
        )
    return await gateway.post(f"/v1/capabilities/{capability}", json=PICTURE)


async def health(orchestrator: str, capability: str = "depth") -> OfferHealth:
    """The stored health of one offer."""
    rows = OfferHealth.objects.select_related("offer")
    return await in_thread(
        lambda: rows.get(offer__orchestrator__name=orchestrator, offer__capability__slug=capability)
    )


async def attempts() -> list[tuple[str, str]]:
    """(orchestrator, class) of every attempt in the database, oldest first."""
    return await in_thread(lambda: list(Attempt.objects.order_by("pk").values_list("orchestrator", "outcome")))
