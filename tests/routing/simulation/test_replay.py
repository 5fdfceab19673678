"""manage.py replay: recorded decisions, decided again under a draft."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from msgspec.structs import replace

from orchestrators.core.health import State
from orchestrators.core.price import Price
from routing.core.selection import Candidate, rank
from routing.decisions import pack
from routing.models import Job

HEAD = """
profiles:
- {slug: warm, retry_timeout: 8, attempt_timeout: 5, cold_grace: 10, latency_target_ms: 1000,
   max_in_flight: 2, seat_wait: 1, fresh_for: 120, value_of_second: %s, suggested_ceiling: 300 gwei/second}
capabilities:
- {slug: image-to-image, profile: warm, price_ceiling: %s}
"""


def candidate(number: int, name: str, price: str, latency: float) -> Candidate:
    return Candidate(
        offer_id=number,
        orchestrator=name,
        service_uri=f"https://{name}.example",
        price=Price.parse(price),
        units=1.0,
        state=State.HEALTHY,
        warm=True,
        stale=False,
        slow_start=False,
        latency=latency,
        failure=0.1,
        in_flight=0,
        seats=2,
        share=1.0,
        claimed=True,
        busy_until=0.0,
        down_until=None,
        cause=None,
    )


@pytest.fixture
def decided(shipped: None) -> None:
    """One decision: the fast one went first, because a second is worth 300 gwei."""
    pair = [candidate(1, "fast", "100 gwei/second", 0.2), candidate(2, "cheap", "10 gwei/second", 0.9)]
    draws = (0.0, 0.0, 0.0)
    ranked = rank([replace(each, value_of_second=300 * 10**9) for each in pair], draws=draws)
    assert ranked[0].orchestrator == "fast"
    for number, age in enumerate((timedelta(hours=1), timedelta(days=3))):
        Job.objects.create(
            request_id=f"request-{number}",
            at=timezone.now() - age,
            client="acme",
            capability="image-to-image",
            code="ok",
            status=200,
            attempts_made=1,
            ms=200,
            bytes_in=1,
            bytes_out=1,
            wei=1,
            policy=1,
            decision=pack(ranked, (), draws),
        )


def replay(tmp_path: Path, *args: str, value: int = 300 * 10**9, ceiling: str = "none", more: str = "") -> Any:
    draft = tmp_path / "draft.yaml"
    draft.write_text(HEAD % (value, ceiling) + more)
    out = StringIO()
    call_command("replay", "--config", str(draft), *args, stdout=out)
    return json.loads(out.getvalue())["image-to-image"] if "--json" in args else out.getvalue()


@pytest.mark.usefixtures("decided")
class TestReplay:
    def test_the_same_numbers_decide_the_same(self, tmp_path: Path) -> None:
        found = replay(tmp_path, "--json")
        assert found["decisions"] == 1 and found["moved"] == {} and found["refused"] == 0
        assert found["wei"] == [100e9, 100e9] and found["seconds"] == [0.2, 0.2]

    def test_a_second_that_is_worth_nothing_moves_to_the_cheapest(self, tmp_path: Path) -> None:
        found = replay(tmp_path, "--json", "--since", "7d", value=0)
        assert found["decisions"] == 2 and found["moved"] == {"fast -> cheap": 2}
        assert found["wei"] == [100e9, 10e9] and found["seconds"] == [0.2, 0.9]

    def test_a_ceiling_refuses_who_is_above_it(self, tmp_path: Path) -> None:
        found = replay(tmp_path, "--json", ceiling="50 gwei/second")
        assert (found["refused"], found["candidates"], found["moved"]) == (1, 2, {"fast -> cheap": 1})
        assert replay(tmp_path, "--json", ceiling="1 gwei/second")["nobody_left"] == 1

    def test_a_mode_refuses_too_and_people_read_it_as_sentences(self, tmp_path: Path) -> None:
        said = replay(
            tmp_path,
            more="orchestrators:\n- {name: fast, service_uri: 'https://fast.example', mode: disabled}\n",
        )
        assert "image-to-image: 1 decisions, 1 would have gone elsewhere" in said
        assert "  fast -> cheap: 1" in said and "200 -> 900 ms" in said

    def test_the_configuration_in_force_is_the_default(self) -> None:
        out = StringIO()
        call_command("replay", stdout=out)
        assert "decisions with nobody left: 1" in out.getvalue()  # no ceiling is decided: free offers only

    def test_a_draft_that_cannot_be_applied_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="tepid"):
            replay(tmp_path, more="clients:\n- {name: x, tier: tepid}\n")

    def test_a_time_that_is_none_is_a_named_error(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match='--since is a time such as 30m, 24h or 7d, not "soon"'):
            replay(tmp_path, "--since", "soon")
