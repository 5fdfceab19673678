"""`manage.py run_trial`, trials of new offers by `probe_orchestrators`, and the loop around both."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from orchestrators.models import Capability, Mode, Offer, Orchestrator, Trial
from orchestrators.simulator import Container
from routing.models import PriceCeiling
from tests.orchestrators.scenes import ALDER, BIRCH, in_thread, offer, orchestrator, register, simulator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shipped")]


def command(*arguments: str, name: str = "run_trial") -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def on_trial(*simulators: object, ceiling: str | None = "100 wei/second") -> None:
    register(*simulators)  # type: ignore[arg-type]
    Offer.objects.update(mode=Mode.TRIAL)
    for row in Capability.objects.filter(offers__isnull=False).distinct():
        PriceCeiling.objects.create(capability=row, price=ceiling)


async def test_it_shows_a_verdict_for_every_point() -> None:
    async with simulator(ALDER) as alder:
        await in_thread(on_trial, alder)
        lines = (await in_thread(command, ALDER, "depth")).splitlines()
    assert lines[0] == "alder / depth: pass"
    assert lines[1].split() == ["point", "verdict", "what", "was", "found"]
    assert [line.split("  ")[0] for line in lines[2:10]] == [
        *("answers", "contract", "cold start", "latency", "steadiness", "concurrency", "capacity", "price")
    ]
    assert "10 wei/second, within the ceiling of 100 wei/second." in lines[9]
    assert lines[10] == "It is active now, with its share of the traffic."


async def test_it_prints_one_json_object_for_each_trial() -> None:
    async with simulator(ALDER, Container("depth", price=7), Container("echo", price=101)) as alder:
        await in_thread(on_trial, alder)
        out = await in_thread(command, ALDER, "--json")
    objects = {each["capability"]: each for each in map(json.loads, out.splitlines())}
    assert objects["depth"]["verdict"] == "pass" and objects["depth"]["activated"]
    assert objects["echo"]["points"] == [
        {
            "name": "price",
            "verdict": "fail",
            "sentence": "101 wei/second is above what anybody may pay (100 wei/second); it was not called.",
        }
    ]
    assert list(objects["echo"]) == [
        *("orchestrator", "capability", "verdict", "points", "cold_ms", "warm_ms", "warm_p95_ms"),
        *("calls", "activated"),
    ]


async def test_it_says_that_a_failed_one_gets_no_traffic_and_ends_well() -> None:
    """The exit status is 0 whatever the verdict: CommandError would be 1."""
    async with simulator(BIRCH, Container("depth", fault="empty")) as birch:
        await in_thread(on_trial, birch, ceiling=None)
        out = await in_thread(command, BIRCH)
    assert "birch / depth: fail" in out and "It stays trial: no traffic." in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("willow",), "There is no orchestrator 'willow'."),
        ((ALDER, "depht"), "There is no capability 'depht'."),
        ((ALDER, "pose"), "alder does not offer pose: add an offer first."),
        ((ALDER, "depth"), "No sample request to try it with; give one to depth first."),
        ((BIRCH,), "birch, or what it offers there, is disabled or retired."),
    ],
)
def test_it_names_what_is_wrong_with_its_arguments(arguments: tuple[str, ...], words: str) -> None:
    offer(orchestrator(ALDER), "depth")
    Capability.objects.filter(slug="depth").update(sample_request=None)
    offer(orchestrator(BIRCH, mode=Mode.DISABLED), "echo")
    with pytest.raises(CommandError, match=words) as error:
        command(*arguments)
    assert error.value.returncode == 1


async def test_a_probe_run_tries_what_is_new_once() -> None:
    async with simulator(ALDER) as alder:
        await in_thread(on_trial, alder)
        first = await in_thread(command, name="probe_orchestrators")
        second = await in_thread(command, "--quiet", name="probe_orchestrators")
    assert "1 probed." in first and "trial of alder / depth: pass. It is active now." in first
    assert second == "" and await Trial.objects.acount() == 1
    row = await Offer.objects.aget()
    assert row.mode == Mode.ACTIVE
    assert await Orchestrator.objects.filter(mode=Mode.ACTIVE).acount() == 1


async def test_a_probe_run_tells_of_trials_in_json_too() -> None:
    async with simulator(ALDER) as alder:
        await in_thread(on_trial, alder)
        out = await in_thread(command, "--json", name="probe_orchestrators")
    probed, tried = map(json.loads, out.splitlines())
    assert "verdict" not in probed and tried["verdict"] == "pass"
