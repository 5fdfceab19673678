"""The preview of a form that nobody has saved: who would serve, who would not, and the last day again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.models import Advert, Capability, ConfigRevision, Offer, OfferHealth, Revision
from routing import table as tables
from routing.candidates import view
from routing.core.selection import choose
from routing.decisions import pack
from routing.explain import CHEAPEST, stored_board
from routing.models import ApiKey, Job, PriceCeiling, Tier
from routing.models import Client as ApiClient
from routing.preview import Preview
from routing.templatetags.policy import serving
from tests.orchestrators.scenes import ALDER, BIRCH, CEDAR, offer, orchestrator
from tests.routing.test_fleet import person
from tests.support.forms import shown

pytestmark = pytest.mark.django_db
FETCH = {"X-Requested-With": "fetch"}
PRICES = {ALDER: "10 wei/second", BIRCH: "10 wei/second", CEDAR: "900 wei/second"}


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def depth() -> Capability:
    """Alder and Birch are alike, Cedar is dear; all within the ceiling."""
    now = timezone.now()
    for name, price in PRICES.items():
        row = offer(orchestrator(name), "depth")
        claim = {"price": price, "capacity": 4, "largest_capacity": 4, "checked_at": now}
        Advert.objects.create(offer=row, claimed=True, **claim)
        values = {"state": "healthy", "warm_ms": 50.0, "probed_at": now, "last_outcome": "ok"}
        OfferHealth.objects.create(offer=row, last_outcome_at=now, **values)
    capability = Capability.objects.get(slug="depth")
    PriceCeiling.objects.create(capability=capability, price="1000 wei/second")
    return capability


@pytest.fixture
def editor(client: Client) -> Client:
    return person(client, "Policy editor")


def page(capability: Capability) -> str:
    return f"/admin/orchestrators/capability/{capability.pk}/change/"


def tried(client: Client, capability: Capability, /, **changes: Any) -> Any:
    """The answer to the page's form with these changes, as the script asks for it."""
    data = shown(client, page(capability)) | changes
    return client.post(f"{page(capability)}preview/", data, headers=FETCH)


def decided(capability: Capability, number: int = 3) -> None:
    """Calls that kept their decision, and one that kept none."""
    table, now = tables.build(1), timezone.now()
    lane = table.lane(capability.slug, None)
    assert lane is not None
    seen = view(lane, stored_board(), policy_number=table.revision, now=now.timestamp())
    ranked, refused = choose(seen, now=now.timestamp(), stateful=False, draws=CHEAPEST)
    kept = pack(ranked, refused, CHEAPEST)
    for place in range(number + 1):
        Job.objects.create(
            request_id=f"job-{place}", at=now - timedelta(hours=1), client="acme", capability=capability.slug,
            code="ok", status=200, orchestrator=ALDER, attempts_made=1, ms=50, bytes_in=1, bytes_out=1, wei=1,
            policy=1, decision=kept if place else {},
        )  # fmt: skip


def test_a_lower_ceiling_is_seen_before_it_is_saved(editor: Client, depth: Capability) -> None:
    """Nothing stays written, and no gateway hears of it."""
    decided(depth)
    before = Revision.objects.get().policy, ConfigRevision.objects.count()
    answer = tried(editor, depth, **{"ceilings-0-price": "500 wei/second"})
    told: Preview = answer.context["p"]
    text = " ".join(answer.content.decode().split())
    assert [(each.orchestrator, each.then is None) for each in told.turns] == [
        (ALDER, False), (BIRCH, False), (CEDAR, True),
    ]  # fmt: skip
    shares = {each.orchestrator: (each.now, each.then) for each in told.turns}
    assert shares[ALDER][1] is not None and abs(shares[ALDER][1] - 0.5) < 0.05
    assert 'title="900 wei/second">900 wei/s</span> is above the ceiling of <span' in text
    assert "1 offer would not be asked any more." in text and "The ceiling excludes 1 of 3" in text
    assert told.replay is not None and (told.replay.calls, told.replay.unserved) == (3, (0, 0))
    assert "3 recorded decisions among the latest 5,000 calls" in text and "<html" not in text
    assert (Revision.objects.get().policy, ConfigRevision.objects.count()) == before
    assert str(PriceCeiling.objects.get().price) == "1000 wei/second"


def test_it_warns_where_nobody_is_left_and_blocks_nothing(editor: Client, depth: Capability) -> None:
    decided(depth)
    told = tried(editor, depth, **{"ceilings-0-price": "1 wei/second"}).context["p"]
    assert told.warnings == ["With this change nobody can serve depth: its callers get 503."]
    assert told.replay.unserved == (0, 3) and told.replay.cost is None
    Offer.objects.filter(orchestrator__name=BIRCH).update(mode="draining")
    told = tried(editor, depth, **{"ceilings-0-price": "500 wei/second"}).context["p"]
    assert told.warnings[0] == "With this change only one orchestrator can serve depth."
    assert [each.orchestrator for each in told.excluded] == [BIRCH]


def test_it_decides_recorded_calls_again(editor: Client, depth: Capability) -> None:
    """Whoever values a second at nothing goes to the cheapest: here Birch is dearer and faster than Alder."""
    Advert.objects.filter(offer__orchestrator__name=BIRCH).update(price="40 wei/second")
    OfferHealth.objects.filter(offer__orchestrator__name=BIRCH).update(warm_ms=10.0)
    decided(depth)
    replay = tried(editor, depth, value_of_second="0").context["p"].replay
    assert replay.moved == 3 and replay.cost is not None and replay.p95 is not None
    assert replay.cost[1] == replay.cost[0] / 4 and replay.p95 == (0.01, 0.05)


def test_each_tier_is_told_apart_and_a_new_name_is_no_new_capability(editor: Client, depth: Capability) -> None:
    pro = Tier.objects.create(slug="pro")
    PriceCeiling.objects.create(capability=depth, tier=pro, price="20 wei/second")
    key, _secret = ApiKey.issue(ApiClient.objects.create(name="acme", tier=pro), now=timezone.now())
    key.save()
    decided(depth)
    told = tried(editor, depth, slug="depth-map", **{"ceilings-0-price": "5 wei/second"}).context["p"]
    assert (told.slug, told.tiers) == ("depth-map", [("pro", 2, 0)])
    assert told.replay.unserved == (0, 3)


def test_what_it_foretells_is_what_saving_brings(editor: Client, depth: Capability) -> None:
    """Ceilings that change, go and are new, and numbers of the capability, all in one form."""
    gold, pro = Tier.objects.create(slug="gold"), Tier.objects.create(slug="pro")
    PriceCeiling.objects.create(capability=depth, tier=gold, price="20 wei/second")
    data = shown(editor, page(depth))
    general = next(line for line in (0, 1) if data[f"ceilings-{line}-price"] == "1000 wei/second")
    new = {"tier": pro.pk, "price": "5 wei/second", "capability": depth.pk, "id": ""}
    data |= {f"ceilings-{general}-price": "500 wei/second", f"ceilings-{1 - general}-DELETE": "on"}
    data |= {"ceilings-TOTAL_FORMS": "3"} | {f"ceilings-2-{name}": value for name, value in new.items()}
    data |= {"slug": "depth-map", "value_of_second": "0", "typical_seconds": "2"}
    with CaptureQueriesContext(connection) as queries:
        told = editor.post(f"{page(depth)}preview/", data, headers=FETCH).context["p"]
    assert len(queries) <= 15, [each["sql"][:100] for each in queries]
    assert told.tiers == [("gold", 2, 2), ("pro", 3, 0)] and told.above == (1, 3)
    assert editor.post(page(depth), data | {"_save": ""}).status_code == 302
    now: Preview = serving(Capability.objects.get(pk=depth.pk))
    assert [(each.orchestrator, each.now) for each in now.turns] == [
        (each.orchestrator, each.then) for each in told.turns if each.then is not None
    ]
    assert (now.slug, now.cheapest, now.above) == (told.slug, told.cheapest, told.above)
    assert [(tier, then) for tier, _now, then in now.tiers] == [("pro", 0)]


def test_a_form_that_is_wrong_is_told_so_and_shows_what_stands(editor: Client, depth: Capability) -> None:
    answer = tried(editor, depth, retry_timeout="-1", **{"ceilings-0-price": "cheap"})
    assert any("&quot;cheap&quot; is not a price" in each for each in answer.context["errors"])
    assert any(each.startswith("Retry timeout:") for each in answer.context["errors"])
    assert answer.context["p"].replay is None and len(answer.context["p"].turns) == 3


def test_without_a_script_the_button_leads_to_a_page_that_can_save(editor: Client, depth: Capability) -> None:
    data = shown(editor, page(depth)) | {"ceilings-0-price": "500 wei/second", "_preview": ""}
    answer = editor.post(f"{page(depth)}preview/", data)
    assert "<html" in answer.content.decode() and "Save it" in answer.content.decode()
    assert "_preview" not in dict(answer.context["fields"])
    saved = editor.post(page(depth), dict(answer.context["fields"]) | {"_save": ""})
    assert saved.status_code == 302
    assert str(PriceCeiling.objects.get().price) == "500 wei/second"


def test_empty_fields_show_what_the_profile_says(editor: Client, depth: Capability) -> None:
    text = editor.get(page(depth)).content.decode()
    said = f'placeholder="{depth.profile.retry_timeout:.12g}"'
    assert said in text and "data-inherited" in text


def test_it_is_bounded_and_not_for_viewers(client: Client, depth: Capability) -> None:
    """Issue 5, bar 2: fifteen questions for page and preview; none for each offer, call or ceiling."""
    for slug in ("gold", "pro", "free"):
        PriceCeiling.objects.create(capability=depth, tier=Tier.objects.create(slug=slug), price="9 wei/second")
    editor = person(client, "Policy editor")
    prices = {f"ceilings-{line}-price": "500 wei/second" for line in range(4)}
    data = shown(editor, page(depth)) | prices

    def asked() -> int:
        editor.get(page(depth))
        with CaptureQueriesContext(connection) as queries:
            assert editor.post(f"{page(depth)}preview/", data, headers=FETCH).status_code == 200
        return len(queries)

    few = asked()
    for number in range(6):
        offer(orchestrator(f"{CEDAR}-{number}"), "depth")
    decided(depth, 8)
    assert asked() <= few <= 15
    with CaptureQueriesContext(connection) as queries:
        editor.get(page(depth))
    assert len(queries) <= 15, [each["sql"][:100] for each in queries]
    assert editor.get(f"{page(depth)}preview/").status_code == 405
    viewer = person(client, "Viewer")
    assert viewer.post(f"{page(depth)}preview/", data).status_code == 403
    assert "data-source" in viewer.get(page(depth)).content.decode()
