"""Configuration as code: a document says what there is; all of it or nothing."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError

from orchestrators.core.price import Price
from orchestrators.models import (
    Capability,
    ConfigRevision,
    Offer,
    Orchestrator,
    Revision,
    RoutingProfile,
)
from routing import table as tables
from routing.configuration import apply, export, plan
from routing.models import Client, PriceCeiling, Tier

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, tzinfo=UTC)

EXAMPLE = """
capabilities:
  - {slug: depth, profile: per-frame, price_ceiling: 1000 wei/second, stateful: false,
     attempt_timeout: 3, cold_grace: 15,            # seconds; omitted: from the profile
     response: {content_types: [application/json], schema: {type: object, required: [depth]}},
     sample_request: {content_type: application/json, path: "", body: {image: "..."}}}
orchestrators:
  - {name: alder, service_uri: "https://127.0.0.1:9101", protocol: byoc, mode: active, region: eu, tls: pin,
     offers: [{capability: depth, wire_name: depth-anything, path: "", mode: active, max_in_flight: 4}]}
  - {name: birch, service_uri: "http://127.0.0.1:9102", protocol: direct, mode: active,
     offers: [{capability: depth, price: 10 wei/second}]}      # price: direct only
clients:
  - {name: acme, capabilities: [depth]}      # omitted: all
"""


def example() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(EXAMPLE)
    return document


def do(document: object, *, prune: bool = False) -> list[str]:
    foretold = plan(document, prune=prune)
    done = apply(document, who="ada", prune=prune)
    assert done.errors == [] and done == foretold
    return done.changes


def errors(document: object) -> list[str]:
    found = apply(document, who="ada")
    assert found.errors and found == plan(document)
    assert not ConfigRevision.objects.exists()
    return found.errors


def run(text: str, *options: str, tmp_path: Path) -> str:
    file, out = tmp_path / "config.yaml", io.StringIO()
    file.write_text(text)
    call_command("apply", str(file), *options, stdout=out)
    return out.getvalue()


# --- the example -----------------------------------------------------------------------------------


def test_it_applies_the_example(tmp_path: Path) -> None:
    out = run(EXAMPLE, tmp_path=tmp_path)
    assert "+ orchestrator alder" in out
    assert "~ capability depth: attempt_timeout null -> 3" in out
    assert "~ capability depth: price_ceiling undecided -> 1000 wei/second" in out
    depth = Capability.objects.get(slug="depth")
    assert (depth.attempt_timeout, depth.cold_grace, depth.retry_timeout) == (3, 15, None)
    assert depth.response["schema"]["required"] == ["depth"]
    assert PriceCeiling.objects.get(capability=depth, tier=None).price == Price.parse("1000 wei/second")
    alder, birch = Offer.objects.all()
    assert (alder.wire_name, alder.max_in_flight, alder.price) == ("depth-anything", 4, None)
    assert (birch.wire_name, birch.price) == ("", Price.parse("10 wei/second"))
    assert [each.slug for each in Client.objects.get(name="acme").capabilities.all()] == ["depth"]


def test_an_offer_is_judged_by_what_its_orchestrator_becomes() -> None:
    """A price is for direct ones alone, a path for runners a must: both change at once."""
    do(example())
    document = example()
    alder, birch = document["orchestrators"]
    alder["protocol"], alder["offers"][0]["price"] = "direct", "3 wei/second"
    birch["protocol"], birch["offers"][0] = "live-runner", {"capability": "depth", "path": "apps/depth/app"}
    assert "~ offer alder / depth: price null -> 3 wei/second" in do(document)
    birch["protocol"], birch["offers"][0]["price"] = "byoc", "3 wei/second"
    foretold, done = plan(document), apply(document, who="ada")
    assert done == foretold and len(done.errors) == 1 and "leave this empty" in done.errors[0]


def test_the_second_time_there_is_nothing_to_do(tmp_path: Path) -> None:
    run(EXAMPLE, tmp_path=tmp_path)
    before = Revision.objects.get()
    assert run(EXAMPLE, tmp_path=tmp_path) == "Nothing to do.\n"
    after = Revision.objects.get()
    assert (after.policy, ConfigRevision.objects.count()) == (before.policy, 1)


def test_it_records_who_and_what(tmp_path: Path) -> None:
    run(EXAMPLE, "--why", "the first fleet", tmp_path=tmp_path)
    recorded = ConfigRevision.objects.get()
    assert (recorded.via, recorded.why) == ("apply", "the first fleet")
    assert "+ orchestrator alder" in recorded.summary


def test_it_reads_json_and_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(example(), indent="\t")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    out = io.StringIO()
    call_command("apply", "-", stdout=out)
    assert "+ orchestrator birch" in out.getvalue()


def test_a_new_policy_reaches_the_next_table() -> None:
    """R9: cheapest today, fastest tomorrow, without a restart."""
    for value in (0, 10**15):
        do({"capabilities": [{"slug": "depth", "profile": "per-frame", "value_of_second": value}]})
        assert tables.build(1).policies["depth"].value_of_second == value


def test_the_vocabulary_is_open_and_a_contract_outlives_its_offers() -> None:
    """R1, R23: a new name needs no code, and it stays when everyone behind it changes."""
    burn = {"slug": "subtitle-burn", "profile": "warm", "price_ceiling": "none"}
    offers = [{"capability": "subtitle-burn", "price": "1 wei/request"}]
    for number in (1, 2):
        home = {"name": f"o{number}", "service_uri": f"http://127.0.0.1:{number}", "protocol": "direct"}
        do({"capabilities": [burn], "orchestrators": [home | {"offers": offers}]}, prune=True)
        lane = tables.build(1).lane("subtitle-burn", None)
        assert lane is not None
        assert [offer.orchestrator for offer in lane.offers] == [f"o{number}"]


# --- declarative -----------------------------------------------------------------------------------


def test_an_omitted_key_means_its_default() -> None:
    do(example())
    document = example()
    del document["capabilities"][0]["attempt_timeout"], document["capabilities"][0]["price_ceiling"]
    del document["orchestrators"][0]["region"], document["clients"][0]["capabilities"]
    assert do(document) == [
        "~ capability depth: attempt_timeout 3 -> null",
        "~ capability depth: price_ceiling 1000 wei/second -> undecided",
        '~ client acme: capabilities ["depth"] -> []',
        '~ orchestrator alder: region eu -> ""',
    ]


def test_what_a_document_does_not_mention_stays() -> None:
    do(example())
    assert do({"clients": []}) == []
    assert (
        do({"orchestrators": [{"name": "alder", "service_uri": "https://127.0.0.1:9101", "region": "eu"}]})
        == []
    )
    assert Offer.objects.count() == 2


def test_ceilings_of_a_capability_and_of_tiers() -> None:
    """R13: decided per capability and tier; none is a decision too."""
    depth = {"slug": "depth", "profile": "per-frame", "price_ceiling": "none"}
    tiers = [{"slug": "gold", "burst": 5, "price_ceilings": {"depth": "0.3 gwei/second", "pose": "none"}}]
    do({"capabilities": [depth], "tiers": tiers})
    found = PriceCeiling.objects.values_list("capability__slug", "tier__slug", "price")
    assert set(found) == {
        ("depth", None, None),
        ("depth", "gold", Price.parse("300000000 wei/second")),
        ("pose", "gold", None),
    }
    depth["price_ceiling"], tiers[0]["price_ceilings"] = "0 wei/second", {"depth": "1/3 wei/second"}
    assert do({"capabilities": [depth], "tiers": tiers}) == [
        "~ capability depth: price_ceiling none -> 0 wei/second",
        "~ tier gold: price_ceilings.depth 300000000 wei/second -> 1/3 wei/second",
        "~ tier gold: price_ceilings.pose none -> undecided",
    ]


def test_parts_and_members_may_come_in_any_order() -> None:
    chain = {"slug": "a-chain", "profile": "chained", "parts": ["pose", "b-part"]}
    do({"capabilities": [chain, {"slug": "b-part", "profile": "warm"}]})
    found = Capability.objects.get(slug="a-chain").parts.values_list("slug", flat=True)
    assert list(found) == ["b-part", "pose"]


def test_numbers_are_compared_as_numbers() -> None:
    do({"capabilities": [{"slug": "depth", "profile": "per-frame", "attempt_timeout": 3, "cold_grace": 0}]})
    assert Capability.objects.get(slug="depth").cold_grace == 0
    document = {"slug": "depth", "profile": "per-frame", "attempt_timeout": 3.0, "cold_grace": 0.0}
    assert do({"capabilities": [document]}) == []


def test_a_slash_at_the_end_is_no_difference() -> None:
    do({"orchestrators": [{"name": "alder", "service_uri": "https://a.example:8935/"}]})
    assert do({"orchestrators": [{"name": "alder", "service_uri": "https://a.example:8935/"}]}) == []


# --- errors ----------------------------------------------------------------------------------------


def test_it_names_every_error_with_its_path() -> None:
    document = example()
    depth, alder, birch = document["capabilities"][0], *document["orchestrators"]
    depth |= {
        "price_ceiling": 1000,
        "attempt_timeout": "3",
        "stateful": "no",
        "colour": "red",
        "max_attempts": 0,
    }
    depth |= {"response": {"schema": {"type": "objekt"}}}
    document["capabilities"] += [{"slug": "org/Model_v4", "profile": "hot"}, {"slug": "depth"}, {}, "pose"]
    alder |= {"service_uri": "ftp://a", "mode": "asleep"}
    alder["offers"] += [{"capability": "smell", "share": 1.5}, {"capability": "depth"}]
    birch["offers"][0]["price"] = "10 wei/minute"
    document["clients"] = [
        {"name": "acme", "tier": "gold", "capabilities": ["smell", 7]},
        {"name": "b", "capabilities": []},
    ]
    document["customers"] = []
    document["tiers"] = {"gold": {}}
    found = errors(document)
    assert [each.partition(": ")[0] for each in found] == [
        "customers",
        "capabilities[0].colour",
        "capabilities[2].slug",
        "capabilities[3].slug",
        "capabilities[4]",
        "tiers",
        "capabilities[0].attempt_timeout",
        "capabilities[0].stateful",
        "capabilities[0].max_attempts",
        "capabilities[0].response",
        "capabilities[1].profile",
        "capabilities[1].slug",  # its letters are none of a name's
        "capabilities[1].slug",  # and it is a model id
        "capabilities[0].price_ceiling",
        "clients[0].tier",
        "clients[0].capabilities",
        "clients[1].capabilities",
        "orchestrators[0].service_uri",
        "orchestrators[0].mode",
        "orchestrators[0].offers[2].capability",
        "orchestrators[0].offers[1].capability",
        "orchestrators[0].offers[1].share",
        "orchestrators[1].offers[0].price",
    ]
    assert 'clients[0].tier: there is no tier "gold".' not in found  # names are shown as they are
    assert "clients[0].tier: there is no tier gold." in found
    assert not Orchestrator.objects.exists()


def test_a_model_name_is_refused_with_the_reason() -> None:
    """R30: routing on model names is an anti-pattern."""
    for slug in ("org/Model_v4", "stable-diffusion-v1-5"):
        found = errors({"capabilities": [{"slug": slug, "profile": "warm"}]})
        assert "is a model id" in found[-1]
    assert not any("model" in each.name for each in RoutingProfile._meta.get_fields())


def test_tiers_and_profiles_may_be_called_like_models() -> None:
    """R30 is about capabilities: nothing is routed on these names."""
    [error] = errors({"tiers": [{"slug": "Gold"}]})
    assert error.endswith('"Gold" is not a name; use lower-case letters and digits, joined by single hyphens.')
    do({"profiles": [{**export()["profiles"][0], "slug": "warm-8b"}], "tiers": [{"slug": "gold-v2"}]})
    assert Tier.objects.get().slug == "gold-v2" and RoutingProfile.objects.filter(slug="warm-8b").exists()


def test_a_byoc_offer_has_no_price_of_its_own() -> None:
    document = example()
    document["orchestrators"][0]["offers"][0]["price"] = "10 wei/second"
    [error] = errors(document)
    assert error.startswith("orchestrators[0].offers[0].price: An orchestrator quotes its own price")


def test_an_address_belongs_to_one() -> None:
    do(example())
    taken = {"name": "cedar", "service_uri": "http://127.0.0.1:9102"}
    assert apply({"orchestrators": [taken]}, who="ada").errors == [
        "orchestrators[0].service_uri: Orchestrator with this Service URI already exists."
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the document: must be an object with sections"),
        ("[]", "the document: must be an object with sections"),
        ("capabilities: {}", "capabilities: must be a list."),
        ("capabilities:", "capabilities: must be a list."),
        ("capabilities: [", "line 2, column 1: "),
        ("a: &x [1]\nb: *x", "line 2, column 4: aliases (*x) are not accepted."),
        ("tiers: [{slug: a, slug: b}]", 'line 1, column 19: "slug" twice.'),
        ('{"tiers": [], "tiers": []}', 'line 1, column 15: "tiers" twice.'),
        ("tiers: !!python/object:os.system {}", "could not determine a constructor"),
        ("tiers: " + "[" * 60 + "]" * 60, "nested deeper than 50 levels."),
        ("tiers: [{slug: a, burst: .nan}]", "tiers[0].burst: nan is not a number that can be stored."),
        ("tiers: [{slug: a, burst: 1.5}]", "tiers[0].burst: must be a whole number."),
        ("tiers: [{slug: a, burst: true}]", "tiers[0].burst: must be a whole number."),
        ("tiers: [{slug: a, burst: 0}]", "tiers[0].burst: Ensure this value is greater than or equal to 1."),
        ("tiers: [{slug: a, 7: 1}]", "tiers[0]: the key 7 must be text."),
        ("tiers: [{slug: 7}]", "tiers[0].slug: is required, as text."),
        ("tiers: [{slug: a, price_ceilings: 5}]", "tiers[0].price_ceilings: must be an object"),
        (
            "tiers: [{slug: a, price_ceilings: {x: none}}]",
            "tiers[0].price_ceilings.x: there is no capability x.",
        ),
        (
            "clients: [{name: a, notes: 2026-11-23, is_active: 1}]",
            "clients[0].is_active: must be true or false.",
        ),
        ('clients: [{name: a, notes: "\\0"}]', "clients[0].notes: holds a character that cannot be stored."),
        ("clients: [{name: a, notes: null}]", "clients[0].notes: must not be empty; leave the key out"),
        ("clients: [{name: a, notes: !!binary aGk=}]", "clients[0].notes: a bytes has no place here"),
        ("clients: [{name: a, keys: []}]", "clients[0].keys: is no key here"),
        ("clients: [{name: a, capabilities: [depth, depth]}]", 'clients[0].capabilities: names "depth" twice.'),
        ("capabilities: [{slug: x}]", "capabilities[0].profile: is required."),
        (
            "capabilities: [{slug: x, profile: warm, price_ceiling: null}]",
            "must be text such as 1000 wei/second, or",
        ),
        ("capabilities: [{slug: x, profile: warm, price_ceiling: '5'}]", '"5" is not a price'),
        ("profiles: [{slug: x}]", "profiles[0].retry_timeout: is required."),
    ],
)
def test_it_refuses_what_it_cannot_take(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        run(text, tmp_path=tmp_path)
    assert sentence in str(refused.value)
    assert refused.value.returncode == 1
    assert not ConfigRevision.objects.exists()


def test_it_refuses_what_is_no_text_or_too_much(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for data, sentence in (
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"#" * (5 * 2**20 + 1), "is larger than 5 MiB"),
    ):
        file.write_bytes(data)
        with pytest.raises(CommandError, match=sentence):
            call_command("apply", str(file))


def test_a_missing_file_is_a_mistake_of_usage(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file") as refused:
        call_command("apply", str(tmp_path / "nowhere.yaml"))
    assert refused.value.returncode == 2


# --- dry run ---------------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    before = Revision.objects.get()
    out = run(EXAMPLE, "--dry-run", tmp_path=tmp_path)
    assert "+ orchestrator alder" in out
    assert "Dry run, nothing was written." in out
    assert not Orchestrator.objects.exists()
    assert Revision.objects.get().policy == before.policy
    assert plan(example()).changes == do(example())


def test_it_says_what_is_seldom_wise_and_does_it_all_the_same(tmp_path: Path) -> None:
    """R21, R34, R43, R44: warned about, and saved."""
    out = run(
        """
        capabilities:
          - {slug: depth, profile: per-frame, price_ceiling: 1000 wei/second}
          - {slug: image-to-image, profile: warm, price_ceiling: 2000 wei/second, retry_timeout: 60}
          - {slug: depth-to-image, profile: chained, price_ceiling: 2500 wei/second,
             parts: [depth, image-to-image]}
          - {slug: twice, profile: chained, attempt_timeout: 2, parts: [depth, image-to-image, style-transfer]}
          - {slug: training, profile: chained, typical_seconds: 3600}
        """,
        tmp_path=tmp_path,
    )
    assert "! A retry timeout of 60 s is unusual for warm, low-latency work: 5 to 10 s is the guidance." in out
    assert "! depth-to-image chains depth, image-to-image, whose ceilings add up to 3000 wei/second" in out
    chains = (
        "! twice chains depth, image-to-image, style-transfer, whose latency targets add up to 2050 ms; its "
    )
    assert chains + "own of 2000 ms is lower." in out
    assert chains + "attempt timeout of 2 s is shorter." in out
    assert out.count("latency targets") == 2, "depth-to-image has time for both"
    assert "! training fits this gateway poorly" in out
    assert Capability.objects.get(slug="training").typical_seconds == 3600
