"""GET /v1/capabilities as a contract that a program can read, and keep until it changes."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrators.simulator import Container, Simulator
from routing.configuration import apply
from tests.routing.inference.scenes import DEPTH, depth_by
from tests.support.gateway import Gateway

SCHEMA = {"type": "object", "required": ["image"], "properties": {"image": {"type": "string"}}}
TAKES = {"content_types": ["application/json"], "schema": SCHEMA}


async def described(gateway: Gateway, key: str = "") -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    document: dict[str, Any] = (await gateway.get("/v1/capabilities/depth", headers=headers)).json()
    return document


async def test_it_tells_all_that_a_client_may_rely_on(gateway: Gateway) -> None:
    """Media types, schemas, limits, latency, availability; of the price the client's own ceiling, no quote."""
    async with Simulator("alder", capabilities=[Container("depth", price=777)]) as alder:
        await depth_by(gateway, alder, request=TAKES, typical_seconds=0.5, description="How far.")
        found = await described(gateway)
        (listed,) = [
            each
            for each in (await gateway.get("/v1/capabilities")).json()["capabilities"]
            if each["capability"] == "depth"
        ]

    assert found == listed
    assert (found["request"], found["response"]) == (TAKES, DEPTH["response"])
    assert (found["profile"], found["latency_target_ms"], found["typical_seconds"]) == ("per-frame", 50, 0.5)
    assert (found["timeout_seconds"], found["attempts"], found["available"]) == (30, 3, True)
    assert found["max_body_bytes"] == gateway.runtime.max_body
    assert found["price_at_most"] == {"wei": "1000", "units": "1", "unit": "second"}
    assert "777" not in str(found)


async def test_the_price_is_the_clients_own(gateway: Gateway) -> None:
    """Of its tier; null where any price will do; 0 where nobody has decided: then only free ones are called."""
    tier = {"slug": "small", "price_ceilings": {"depth": "1/2 wei/pixel"}}
    said: list[object] = []
    for ceiling in ({}, {"price_ceiling": "none"}):
        await gateway.apply({"capabilities": [{"slug": "depth", "profile": "warm", **ceiling}]})
        said.append((await described(gateway))["price_at_most"])
    await gateway.apply({"tiers": [tier], "clients": [{"name": "small", "tier": "small"}]})
    said.append((await described(gateway, await gateway.issue_key("small")))["price_at_most"])

    assert said == [
        {"wei": "0", "units": "1", "unit": "second"},
        None,
        {"wei": "1", "units": "2", "unit": "pixel"},
    ]


async def test_it_is_sent_again_only_when_it_has_changed(gateway: Gateway) -> None:
    """A strong ETag of what this client was told; 304 for whoever has it (RFC 9110, 13.1.2)."""
    await gateway.apply({"capabilities": [DEPTH]})
    for path in ("/v1/capabilities", "/v1/capabilities/depth"):
        first = await gateway.get(path)
        etag = first.headers["etag"]
        assert etag.startswith('"') and first.headers["vary"] == "authorization"
        for sent, status in (
            (etag, 304),
            (f'"other", W/{etag}', 304),
            ("*", 304),
            ('"other"', 200),
            ("?", 200),
            ('"other", ' * 1000 + etag, 200),  # no more than 4,000 characters are looked at
        ):
            again = await gateway.get(path, headers={"if-none-match": sent})
            assert (again.status_code, again.headers["etag"]) == (status, etag), sent
            assert again.content == (b"" if status == 304 else first.content)
            assert again.headers["x-request-id"] != first.headers["x-request-id"]
            assert ("content-length" in again.headers) == (status == 200)
    await gateway.apply({"capabilities": [DEPTH | {"description": "How far."}]})
    changed = await gateway.get("/v1/capabilities/depth", headers={"if-none-match": etag})
    assert (changed.status_code, changed.json()["description"]) == (200, "How far.")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"schema": {"type": "nothing"}}, "The schema is not a JSON Schema"),
        ({"content_types": ["json"]}, '"json" is not a media type'),
        ({"body": 1}, "must be an object with content_types and schema"),
    ],
)
def test_what_is_declared_can_be_read(said: dict[str, Any], error: str) -> None:
    (found,) = apply({"capabilities": [DEPTH | {"request": said}]}, who="ada").errors
    assert found.startswith(f"capabilities[0].request: {error}")
