"""Several sources of one endpoint: whose word counts, field by field."""

from __future__ import annotations

import pytest

from orchestrators.core.discovery import Entry
from orchestrators.core.discovery.merging import Claim, Fact, conflicts, in_order, key_of, merged

URI = "https://o1.example:8935"


def claim(source: str, *, trusted: bool = False, current: bool = True, **said: object) -> Claim:
    return Claim(source, trusted, current, Entry(URI, **said))  # type: ignore[arg-type]


def test_trusted_before_current_before_the_name() -> None:
    claims = [
        claim("d", current=False),
        claim("c"),
        claim("b", trusted=True, current=False),
        claim("a", trusted=True),
        claim("aa"),
    ]
    assert [each.source for each in in_order(claims)] == ["a", "b", "aa", "c", "d"]


def test_each_field_has_its_own_source() -> None:
    facts = merged([claim("ours", trusted=True, region="eu"), claim("naap", region="us", score=0.0)])
    assert facts == {
        "region": Fact("eu", "ours", (("us", "naap"),)),
        "score": Fact(0.0, "naap"),
    }
    assert list(conflicts(facts)) == ["region eu by ours counts; us by naap"]


def test_who_agrees_is_no_conflict() -> None:
    facts = merged([claim("a", eth_address="0x1"), claim("b", eth_address="0x1")])
    assert facts["eth_address"].others == ()
    assert list(conflicts(facts)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://o1.example", "https://O1.example:443"),
        ("http://o1.example", "http://o1.example.:80"),
        (URI, URI),
    ],
)
def test_the_same_place_is_known_however_it_is_written(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize("uri", ["http://host:port", "http://[::1"])
def test_what_is_no_url_is_a_place_of_its_own(uri: str) -> None:
    assert key_of(uri) == ("", uri, 0)


def test_another_scheme_or_port_is_another_place() -> None:
    assert len({key_of(each) for each in ("https://a", "http://a", "https://a:80", "https://b")}) == 4
