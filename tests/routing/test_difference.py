"""What differs between two configurations, object by object and field by field."""

from __future__ import annotations

from typing import Any

from routing.configuration.difference import LONGEST, FieldChange, ObjectChange, difference

ALDER: dict[str, Any] = {"name": "alder", "service_uri": "https://127.0.0.1:9101"}
DEPTH: dict[str, Any] = {"slug": "depth", "profile": "warm"}


def test_equal_documents_do_not_differ() -> None:
    """A default that one of them writes out is no difference, nor is a section that one does not know."""
    one = {"capabilities": [DEPTH], "orchestrators": [ALDER | {"offers": [{"capability": "depth"}]}]}
    other = {
        "capabilities": [DEPTH | {"stateful": False, "max_attempts": None}],
        "orchestrators": [ALDER | {"region": "", "offers": [{"capability": "depth", "share": 1.0}]}],
        "rates": [],
    }
    assert difference(one, other) == difference(other, one) == []


def test_every_field_that_differs_is_told_with_both_values() -> None:
    before = {"capabilities": [DEPTH | {"price_ceiling": "5 wei/second", "response": {"content_types": []}}]}
    after = {"capabilities": [DEPTH | {"profile": "per-frame", "stateful": True, "max_attempts": 3}]}
    [change] = difference(before, after)
    assert (change.verb, change.section, change.name) == ("changed", "capabilities", "depth")
    assert set(change.fields) == {
        FieldChange("profile", "warm", "per-frame"),
        FieldChange("max_attempts", "", "3"),
        FieldChange("stateful", "false", "true"),
        FieldChange("response", '{"content_types": []}', "{}"),
        FieldChange("price_ceiling", "5 wei/second", ""),
    }


def test_what_came_and_went_is_told_with_what_it_says() -> None:
    birch = {"name": "birch", "service_uri": "http://127.0.0.1:9102", "region": "eu"}
    address = FieldChange("service_uri", "https://127.0.0.1:9101", "")
    assert difference({"orchestrators": [ALDER]}, {"orchestrators": [birch]}) == [
        ObjectChange("removed", "orchestrators", "alder", (address,)),
        ObjectChange(
            "added",
            "orchestrators",
            "birch",
            (FieldChange("service_uri", "", "http://127.0.0.1:9102"), FieldChange("region", "", "eu")),
        ),
    ]


def test_offers_are_objects_of_their_own() -> None:
    before = {"orchestrators": [ALDER | {"offers": [{"capability": "depth"}, {"capability": "pose"}]}]}
    after = {"orchestrators": [ALDER | {"offers": [{"capability": "depth", "share": 0.5}]}]}
    assert difference(before, after) == [
        ObjectChange("changed", "offers", "alder: depth", (FieldChange("share", "1.0", "0.5"),)),
        ObjectChange("removed", "offers", "alder: pose", ()),
    ]


def test_a_long_value_is_cut() -> None:
    after = {"capabilities": [DEPTH | {"description": "x" * 1000}]}
    [change] = difference({"capabilities": [DEPTH]}, after)
    assert change.fields[0].after == "x" * (LONGEST - 1) + "…"
