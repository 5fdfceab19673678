"""The rows of kept calls: one claim a key, the dead buried, and bounds of time, number and size."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routing import kept
from routing.kept import Bounds
from routing.models import KeptCall

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def call(request_id: str, **fields: Any) -> KeptCall:
    given = {
        "client": "acme",
        "key": request_id,
        "fingerprint": "f",
        "capability": "depth",
        "asynchronous": False,
        "at": NOW,
        "worker": "node:1",
        "until": NOW + HOUR,
        "expires": NOW + HOUR,
        "state": "running",
    }
    return KeptCall(request_id=request_id, **given | fields)


def states() -> dict[str, tuple[str, str]]:
    return {row.request_id: (row.state, row.code) for row in KeptCall.objects.all()}


def test_a_key_is_claimed_once_and_again_when_it_has_expired() -> None:
    """Not while its call is under way, however long that takes."""
    assert kept.claim(call("a", key="k"), NOW) is None
    taken = kept.claim(call("b", key="k"), NOW)
    assert taken is not None and taken.request_id == "a"
    assert kept.claim(call("c", key="k", client="globex"), NOW) is None
    assert kept.claim(call("d", key=None), NOW) is kept.claim(call("e", key=None), NOW) is None
    late = NOW + 2 * HOUR
    assert kept.claim(call("f", key="k"), late) is not None
    kept.end(call("a", state="done", code="ok", status=200, body=b"x", size=1, expires=NOW + HOUR))
    assert kept.claim(call("f", key="k"), late) is None
    assert set(states()) == {"c", "d", "e", "f"}


def test_a_claim_that_two_make_at_once_is_one_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database decides, where neither saw the other."""
    kept.claim(call("a", key="k"), NOW)
    kept.end(call("a", state="done", expires=NOW))
    insert = KeptCall.delete

    def between(self: KeptCall) -> Any:
        found = insert(self)
        kept.claim(call("faster", key="k"), NOW)
        return found

    monkeypatch.setattr(KeptCall, "delete", between)
    loser = kept.claim(call("slower", key="k"), NOW)
    assert loser is not None and loser.request_id == "faster"


def test_a_step_back_is_not_taken() -> None:
    for request_id, state in (("a", "queued"), ("b", "done")):
        kept.claim(call(request_id, state=state), NOW)
    kept.begun(["a", "b", "c"])
    kept.cancel("a")
    kept.cancel("b")
    assert states() == {"a": ("running", ""), "b": ("done", "")}
    assert (kept.cancelled_of("node:1"), kept.cancelled_of("node:2")) == (["a"], [])


def test_the_dead_are_buried() -> None:
    """By their lock, or, where another node cannot see it, when their time is over."""
    for request_id, fields in {
        "lives": {},
        "dead": {"worker": "node:2"},
        "done": {"worker": "node:2", "state": "done"},
        "gone": {"worker": "far:3", "until": NOW - HOUR},
        "far": {"worker": "far:3"},
    }.items():
        kept.claim(call(request_id, **fields), NOW)
    assert kept.bury(lambda worker: worker == "node:2", NOW, 2 * HOUR) == 2
    assert kept.bury(lambda worker: worker == "node:2", NOW, 2 * HOUR) == 0
    buried = ("failed", "interrupted")
    alive = ("running", "")
    assert states() == {"lives": alive, "dead": buried, "gone": buried, "far": alive, "done": ("done", "")}
    assert KeptCall.objects.get(pk="dead").expires == NOW + 2 * HOUR


def test_what_has_expired_goes_unless_it_is_under_way() -> None:
    for request_id, state in (("a", "running"), ("b", "done"), ("c", "failed")):
        kept.claim(call(request_id, state=state, expires=NOW), NOW)
    kept.claim(call("d", state="done", expires=NOW + HOUR), NOW)
    assert kept.sweep(Bounds(3600, 10, 10), NOW)
    assert not kept.sweep(Bounds(3600, 10, 10), NOW)
    assert set(states()) == {"a", "d"}


@pytest.mark.parametrize("bounds", [Bounds(3600, 2, 1000), Bounds(3600, 100, 25)])
def test_a_clients_oldest_answers_make_room(bounds: Bounds) -> None:
    """Their claims stay: nothing is run twice."""
    for number in range(4):
        fields = {"at": NOW + number * HOUR, "state": "done", "body": b"0123456789", "size": 10}
        kept.claim(call(f"{number}", expires=NOW + 9 * HOUR, **fields), NOW)
    kept.claim(call("other", client="globex", state="done", body=b"0123456789", size=10), NOW)
    assert kept.sweep(bounds, NOW)
    assert not kept.sweep(bounds, NOW)
    left = {row.request_id for row in KeptCall.objects.exclude(body=None)}
    assert left == {"2", "3", "other"}
    assert len(states()) == 5


def test_one_worker_sweeps_for_all() -> None:
    assert [kept.is_due(NOW), kept.is_due(NOW), kept.is_due(NOW + timedelta(minutes=1))] == [True, False, True]
