"""Every number and every word has a sentence that says what it means, wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models import Field
from django.test import Client as Browser
from msgspec.structs import replace

from orchestrators.core.price import Price
from orchestrators.models import Advert, Capability, Offer, Orchestrator
from routing.core.selection import Rank, Why
from routing.decisions import MARKS, RANKS, pack, unpack
from routing.explain import explain_now
from routing.models import PriceCeiling
from routing.terms import AGAINST, CLASS, DECISION, REASON, terms
from tests.routing.core.cast import ALDER, BIRCH
from tests.routing.test_decisions import DRAWS, ranked

DOCS = (Path(__file__).resolve().parents[2] / "docs/routing.md").read_text()
# Names and free text: what they are called says it all.
PLAIN = {"slug", "name", "description", "notes", "note", "label"}


def words(told: Any) -> Iterator[str]:
    """Every key, at whatever depth."""
    if isinstance(told, dict):
        for key, value in told.items():
            yield key
            yield from words(value)
    elif isinstance(told, list):
        for each in told:
            yield from words(each)


@pytest.mark.django_db
def test_every_word_that_explain_tells_has_a_meaning(shipped: None) -> None:
    """R27: of the present decision, and of one that was kept."""
    depth = Capability.objects.get(slug="depth")
    for name, price in (("alder", "700 wei/second"), ("birch", "1001 wei/second")):
        home = Orchestrator.objects.create(name=name, service_uri=f"https://{name}:8935")
        offer = Offer.objects.create(orchestrator=home, capability=depth)
        Advert.objects.create(offer=offer, claimed=True, price=Price.parse(price))
    PriceCeiling.objects.create(capability=depth, price=Price.parse("1000 wei/second"))
    told = explain_now("depth")
    assert (len(told["candidates"]), len(told["refused"])) == (1, 1)
    assert set(words(told)) - {"offers", "of"} == set(DECISION)
    kept = unpack(pack(ranked(ALDER, replace(BIRCH, stale=True)), [], DRAWS))
    assert set(words(kept)) <= set(DECISION)


def test_every_class_mark_and_reason_has_a_meaning() -> None:
    assert set(CLASS) == set(RANKS) == {rank.name.lower() for rank in Rank}
    assert set(AGAINST) == set(MARKS)
    assert set(REASON) == set(Why)


def test_the_documentation_says_the_same() -> None:
    for of in ("decision", "class", "against", "reason"):
        for word, sentence in terms()[of].items():
            assert f"| `{word}` | {sentence} |" in DOCS


def test_every_number_that_is_stored_has_a_help_text() -> None:
    """What the admin shows of a row, it can say what it is."""
    fields = [
        f"{model.__name__}.{field.name}"
        for app in ("orchestrators", "routing")
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.get_fields()
        if isinstance(field, Field) and not (field.is_relation or field.primary_key or field.name in PLAIN)
        if not field.help_text
    ]
    assert fields == []


@pytest.mark.django_db
def test_staff_may_ask_for_them(client: Browser) -> None:
    assert client.get("/api/terms/").status_code == 403
    client.force_login(User.objects.create_user("bob", is_staff=True))
    told = client.get("/api/terms/").json()
    assert told["decision"]["seats"] == DECISION["seats"]
    assert told["outcome"]["gpu_oom"].endswith("The orchestrator's other capabilities are probed at once.")
    assert told["attempt"]["number"] == "Its place among the request's attempts, from 1."
