"""Every format in which orchestrators are listed in the wild, from the fixtures; and what is none of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrators.core.advert import parse_token
from orchestrators.core.discovery import Answer, Entry, Format, Kind, Named, NotTheFormat, orch_addr, read
from orchestrators.core.discovery.entry import DEEPEST, LARGEST, MOST_ENTRIES, MOST_NAMES

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures/discovery"
O1, O2 = "https://o1.example:8935", "https://o2.example:8935"
ETH = "0x" + "ab" * 20


def fixture(name: str, answer_format: Format = Format.ADDRESSES) -> Answer:
    return read(answer_format, (FIXTURES / name).read_bytes())


def addresses(*items: Any) -> Answer:
    return read(Format.ADDRESSES, json.dumps(items).encode())


def network(**entry: Any) -> Entry:
    document = {
        "capabilities_names": {"27": "Text to image"},
        "orchestrators": [{"orch_uri": O1, **entry}],
    }
    (found,) = read(Format.NETWORK, json.dumps(document).encode()).entries
    return found


# --- the formats ---------------------------------------------------------------------------------


def test_a_flags_text() -> None:
    """R69: a static list, and -orchAddr, by comma or by line; a node of the flag is trusted: score 1."""
    answer = fixture("orch-addr.txt", Format.FLAG)
    assert [each.service_uri for each in answer.entries] == [
        *(O1, O2, "http://o3.example:9000", "https://o4.example:8935"),
    ]
    assert {each.score for each in answer.entries} == {1.0}
    assert orch_addr(":9000, a.example,") == ["https://127.0.0.1:9000", "https://a.example:8935"]


def test_a_gateway_webhook() -> None:
    """R69: unusable addresses are skipped, as the stock gateway does, and told."""
    answer = fixture("webhook.json")
    assert answer.entries == (Entry(O1, 1.0), Entry(O2))
    assert [remark.split(" is left out")[0] for remark in answer.remarks] == ["Entry 3", "Entry 4"]


def test_gateway_admins_pool_has_scores_of_text() -> None:
    assert fixture("gateway-admin-pool.json").entries == (Entry(O1, 0.0), Entry(O2, 0.75))


def test_a_remote_signer() -> None:
    """An app that is both a capability and a runner is told once, with what the runner says."""
    runner = Named("acme/depth", Kind.RUNNER, "78987699956 wei/request", "apps/depth/app", capacity=3)
    pipeline = Named("live-video-to-video", Kind.PIPELINE, model="streamdiffusion")
    assert fixture("signer-discover-orchestrators.json").entries == (Entry(O1, 1.0, serves=(pipeline, runner)),)


def test_an_orchestrators_own_discovery() -> None:
    """Persistent runners want a session; one that lives elsewhere is an endpoint of its own."""
    upscale = Named("acme/upscale", Kind.RUNNER, "5 wei/second", "apps/upscale/app", capacity=1)
    echo = Named("acme/echo", Kind.RUNNER, "", "apps/echo/app")
    assert fixture("orchestrator-discovery.json").entries == (
        Entry(O1, serves=(upscale,)),
        Entry("https://runner.example", serves=(echo,)),
    )


def test_naap_discover() -> None:
    names = (
        Named("live-video-to-video", Kind.PIPELINE, model="streamdiffusion-sdxl"),
        Named("flux-schnell", Kind.BYOC),
    )
    assert fixture("naap-discover.json").entries == (Entry(O1, 0.93, serves=names),)


@pytest.mark.parametrize("name", ["naap-rank.json", "naap-python-gateway.json"])
def test_naap_lists_of_bare_addresses(name: str) -> None:
    assert fixture(name).entries == (Entry(O1),)


def test_a_discovery_service() -> None:
    app = Named("transcode/ffmpeg", Kind.RUNNER)
    assert fixture("discovery-service-raw.json").entries == (Entry(O1, 0.5, serves=(app,)),)


def test_network_capabilities() -> None:
    """R4: a standard pipeline and a BYOC entry (capability 37, constraint = name) in one payload."""
    first, second = fixture("network-capabilities.json", Format.NETWORK).entries
    assert first.serves == (
        Named("depth", Kind.BYOC, "1000 wei/second"),
        Named("flux-schnell", Kind.BYOC, "0 wei/second"),
        Named("text-to-image", Kind.PIPELINE, "4768371 wei/pixel", model="ByteDance/SDXL-Lightning"),
        Named("live-video-to-video", Kind.PIPELINE, model="streamdiffusion"),
    )
    assert (first.service_uri, first.eth_address) == (O1, ETH)
    assert second == Entry(O2, eth_address="0x" + "cd" * 20)


def test_the_subgraph_tells_of_members_alone() -> None:
    assert fixture("subgraph.json", Format.SUBGRAPH).entries == (Entry(O1, eth_address=ETH),)


def test_a_registry_manifest() -> None:
    expected = Entry("https://ai-east.example:8935", eth_address=ETH, region="us-east-1")
    assert fixture("registry-manifest.json", Format.MANIFEST).entries == (expected,)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("naap-pricing.json", "names an ETH address and no service URI"),
        ("leaderboard-stats.json", f"is an object with {ETH[:30]}, not a list"),
        ("byoc-token.json", "is an object with sender_address, ticket_params, balance, price, service_addr"),
        ("network-capabilities.json", "is an object with capabilities_names, orchestrators"),
    ],
)
def test_what_lists_no_endpoints_is_told_as_what_it_is(name: str, sentence: str) -> None:
    with pytest.raises(NotTheFormat, match=sentence):
        fixture(name)


def test_a_byoc_token_is_no_list_and_is_read_by_the_prober() -> None:
    token = parse_token(json.loads((FIXTURES / "byoc-token.json").read_bytes()))
    assert (str(token.price), token.capacity, token.balance) == ("1000 wei/second", 2, 1200)


# --- what is none of them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer_format", "data", "sentence"),
    [
        (Format.ADDRESSES, b"<html>down for maintenance", r"not JSON .* begins with '<html>down"),
        (Format.ADDRESSES, b"", "not JSON"),
        (Format.ADDRESSES, b"\xff\xfe", "not JSON"),
        (Format.ADDRESSES, b"[NaN]", "NaN is no number"),
        (Format.ADDRESSES, b"null", "the list of addresses is missing, not a list"),
        (Format.ADDRESSES, b'"x"', "'x', not a list"),
        (Format.ADDRESSES, b'{"error": {"message": "Service Unavailable Error"}}', "an object with error"),
        (Format.ADDRESSES, b"{}", "an object with no keys"),
        (Format.ADDRESSES, b'[{"a": 1}, 2]', "None of the 2 entries .* its address is missing"),
        (Format.ADDRESSES, b"[[]]", "it is a list of 0, not an object"),
        (Format.FLAG, b"a.example,ftp://b", None),
        (Format.FLAG, b"\xff", "not text"),
        (Format.NETWORK, b"[]", 'expected an object with "orchestrators"'),
        (Format.NETWORK, b'{"orchestrators": {}}', '"orchestrators" is an object with no keys, not a list'),
        (Format.SUBGRAPH, b'{"errors": [{"message": "auth error"}]}', "expected .*transcoders"),
        (Format.SUBGRAPH, b'{"data": {"transcoders": 5}}', "'5', not a list"),
        (Format.MANIFEST, b'{"nodes": [1]}', "it is '1', not an object"),
        (Format.MANIFEST, b"{}", 'expected an object with "nodes"'),
    ],
)
def test_it_says_what_is_wrong(answer_format: Format, data: bytes, sentence: str | None) -> None:
    if sentence is None:
        assert read(answer_format, data).entries
        return
    with pytest.raises(NotTheFormat, match=sentence):
        read(answer_format, data)


@pytest.mark.parametrize("answer_format", Format)
def test_an_answer_has_a_largest_size(answer_format: Format) -> None:
    with pytest.raises(NotTheFormat, match="larger than 8 MiB"):
        read(answer_format, b" " * (LARGEST + 1))


def test_an_answer_has_a_largest_depth() -> None:
    document = json.dumps({"address": O1}).replace("}", ', "x": ' + "[" * DEEPEST + "]" * DEEPEST + "}")
    with pytest.raises(NotTheFormat, match="deeper than 30"):
        read(Format.ADDRESSES, f"[{document}]".encode())
    with pytest.raises(NotTheFormat, match="not JSON"):
        read(Format.ADDRESSES, b"[" * 1_000_000)


def test_an_answer_has_a_largest_number_of_entries() -> None:
    with pytest.raises(NotTheFormat, match=f"more than {MOST_ENTRIES} are not read"):
        addresses(*[{"address": O1}] * (MOST_ENTRIES + 1))
    with pytest.raises(NotTheFormat, match="None of the 1 entries .* its capabilities are a list of 1001"):
        addresses({"address": O1, "capabilities": ["x"] * (MOST_NAMES + 1)})
    halves = ([f"{half}-{i}" for i in range(MOST_NAMES // 2 + 1)] for half in "ab")
    with pytest.raises(NotTheFormat, match="serves more than 1000 names"):
        addresses(*({"address": O1, "capabilities": names} for names in halves))


def test_remarks_are_bounded() -> None:
    remarks = addresses({"address": O1}, *[{"address": "nowhere"}] * 100).remarks
    assert len(remarks) == 21
    assert remarks[-1] == "80 more are left out."


def test_an_empty_list_is_a_list() -> None:
    assert addresses() == Answer(())


# --- entries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *(
            "o1.example:8935",
            "ftp://o1.example",
            "https://",
            "https://o1.example:0",
            "https://o1.example:99999",
        ),
        *("https://o1.example/path", "https://o1.example?x=1", "https://user@o1.example", "https://[::1"),
        *("https://ö1.example", "https://o1 .example", "https://" + "a" * 300, 5, None, ["x"]),
    ],
)
def test_an_address_that_cannot_be_used_is_left_out(address: object) -> None:
    answer = addresses({"address": O1}, {"address": address})
    assert answer.entries == (Entry(O1),)
    assert answer.remarks[0].startswith("Entry 2 is left out: ")


def test_one_endpoint_is_told_once() -> None:
    """However often and however it is written: what is said first counts, what is missing is added."""
    answer = addresses(
        {"address": "https://O1.Example:8935/", "capabilities": ["depth"]},
        {"address": O1, "score": 0.5, "capabilities": ["depth", "pose"]},
        {"address": O1, "score": 0.7},
    )
    assert answer.entries == (Entry(O1, 0.5, serves=(Named("depth"), Named("pose"))),)


@pytest.mark.parametrize(("score", "value"), [(2, 1.0), (-1, 0.0), ("1e-1", 0.1), (None, None)])
def test_scores_are_from_0_to_1(score: object, value: float | None) -> None:
    assert addresses({"address": O1, "score": score}).entries == (Entry(O1, value),)


@pytest.mark.parametrize("score", [True, "high", [], 10**400])
def test_a_score_that_is_no_number_leaves_the_entry_out(score: object) -> None:
    with pytest.raises(NotTheFormat, match="its score is .*, not a number"):
        addresses({"address": O1, "score": score})


@pytest.mark.parametrize("name", [None, 7, 1.5, True, {"name": "depth"}, ["depth"]])
def test_a_name_is_text(name: object) -> None:
    """Objects are what some registries list; the other entries count."""
    answer = addresses({"address": O1, "capabilities": [name]}, {"address": O2})
    assert [each.service_uri for each in answer.entries] == [O2]
    assert answer.remarks[0].startswith("Entry 1 is left out: a name of what it serves is ")


@pytest.mark.parametrize("name", ["", "x" * 201, "dépth", "two\nlines", 7])
def test_a_name_is_one_line_of_ascii(name: object) -> None:
    with pytest.raises(NotTheFormat, match="name"):
        addresses({"address": O1, "capabilities": [name]})


@pytest.mark.parametrize(
    ("price", "told"),
    [
        ({"price": 7, "unit": "fixed"}, "7 wei/request"),
        ({"unit": "seconds", "currency": "wei"}, "0 wei/second"),
        ({"price": 7, "unit": "720p-pixel-seconds"}, ""),
        ({"price": 7, "unit": "seconds", "currency": "USD"}, ""),
        ({"price": 7.5, "unit": "seconds"}, ""),
        ({"price": -1, "unit": "seconds"}, ""),
        ({"price": 1, "unit": 5}, ""),
        ("7 wei", ""),
        (None, "0 wei/second"),
    ],
)
def test_a_runners_price(price: object, told: str) -> None:
    runner = {"url": f"{O1}/apps/a/app", "app": "a/b", "mode": "single-shot", "price_info": price}
    (entry,) = addresses({"address": O1, "runners": [runner]}).entries
    assert entry.serves == (Named("a/b", Kind.RUNNER, told, "apps/a/app"),)


@pytest.mark.parametrize("url", [None, "/apps/a", f"{O1}/apps/a?x", f"{O1}/a b"])
def test_a_runner_without_an_endpoint_is_passed_over(url: object) -> None:
    good = {"url": f"{O1}/apps/a/app", "app": "a/b", "mode": "single-shot", "capacity_available": True}
    (entry,) = addresses({"address": O1, "runners": [good | {"url": url}, good, good | {"app": 5}, 7]}).entries
    assert entry.serves == (Named("a/b", Kind.RUNNER, "0 wei/second", "apps/a/app"),)


def test_prices_of_the_network() -> None:
    """Without a denominator there is none; of two prices for one name the first counts."""
    entry = network(
        capabilities_prices=[
            {"pricePerUnit": 5, "capability": 37, "constraint": "no-denominator"},
            {"pricePerUnit": "5", "pixelsPerUnit": 1, "capability": 37, "constraint": "no-number"},
            {"pricePerUnit": 9, "pixelsPerUnit": 1, "capability": 27, "constraint": "one"},
            {"pricePerUnit": 7, "pixelsPerUnit": 1, "capability": 27, "constraint": "two"},
            {"pricePerUnit": 7, "pixelsPerUnit": 1, "capability": 99, "constraint": "unnamed"},
            "nonsense",
        ],
        hardware=[{"pipeline": 5}, 7],
        capabilities={"constraints": {"PerCapability": {"27": 5, "99": {"models": {"m": {}}}}}},
    )
    assert entry.serves == (
        Named("no-denominator"),
        Named("no-number"),
        Named("text-to-image", Kind.PIPELINE, "9 wei/pixel", model="one"),
    )


def test_a_nameless_network_still_knows_byoc() -> None:
    document = {
        "capabilities_names": None,
        "orchestrators": [{"orch_uri": O1, "capabilities_prices": [{"capability": 37, "constraint": "depth"}]}],
    }
    (entry,) = read(Format.NETWORK, json.dumps(document).encode()).entries
    assert entry.serves == (Named("depth"),)


def test_a_manifest_without_geography() -> None:
    document = {"nodes": [{"url": O1, "extra": {"geo": 5}}, {"url": O2}]}
    assert read(Format.MANIFEST, json.dumps(document).encode()).entries == (Entry(O1), Entry(O2))
