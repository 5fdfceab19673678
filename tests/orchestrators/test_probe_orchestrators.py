"""`manage.py probe_orchestrators`: arguments, output, exit status, signals."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from orchestrators.models import Mode, OfferHealth
from orchestrators.simulator import Container, SimulatorProcess
from tests.orchestrators.scenes import ALDER, BIRCH, CEDAR, in_thread, offer, orchestrator, register, simulator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shipped")]


def command(*arguments: str) -> tuple[str, str]:
    """(what it says, what it complains of)."""
    out, err = StringIO(), StringIO()
    call_command("probe_orchestrators", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


async def test_it_prints_a_table() -> None:
    async with simulator(ALDER) as alder, simulator(CEDAR) as cedar:
        await in_thread(register, alder, cedar)
        cedar.fault("depth", "gpu_oom")
        out, err = await in_thread(command)
    lines = out.splitlines()
    headings = ["orchestrator", "capability", "before", "after", "latency", "price", "capacity", "reason"]
    assert lines[0].split() == headings
    assert lines[1].split()[:4] == [ALDER, "depth", "unknown", "healthy"]
    assert "10 wei/second" in lines[1] and " ms" in lines[1]
    assert lines[2].split()[:4] == [CEDAR, "depth", "unknown", "unknown"]
    assert "gpu_oom" in lines[2]
    assert lines[3] == "2 probed." and err == ""


async def test_it_prints_one_json_object_for_each_probe() -> None:
    async with simulator(ALDER, Container("depth", price=7), Container("echo")) as alder:
        await in_thread(register, alder)
        out, _ = await in_thread(command, "--json")
    objects = {each["capability"]: each for each in map(json.loads, out.splitlines())}
    keys = ["orchestrator", "capability", "before", "after", "latency_ms", "price", "capacity", "reason"]
    assert list(objects["depth"]) == keys and len(objects) == 2
    latency = objects["depth"].pop("latency_ms")
    assert isinstance(latency, float)
    assert objects["depth"] == {
        "orchestrator": ALDER,
        "capability": "depth",
        "before": "unknown",
        "after": "healthy",
        "price": "7 wei/second",
        "capacity": 4,
        "reason": "",
    }


async def test_it_probes_only_whom_it_is_told_to_and_says_nothing_when_quiet() -> None:
    async with (
        simulator(ALDER, Container("depth"), Container("echo")) as alder,
        simulator(BIRCH, Container("depth"), Container("echo")) as birch,
    ):
        await in_thread(register, alder, birch)
        assert await in_thread(command, "--quiet", "--orchestrator", ALDER) == ("", "")
        assert (alder.looks.total(), birch.looks.total()) == (2, 0)
        await in_thread(command, "--orchestrator", ALDER, "--orchestrator", BIRCH, "--capability", "echo")
    assert (alder.looks["echo"], birch.looks["echo"], birch.looks["depth"]) == (2, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--orchestrator", "willow"), "There is no orchestrator 'willow'."),
        (("--capability", "depht", "--capability", "depth"), "There is no capability 'depht'."),
        (("--concurrency", "0"), "'0' is not a number from 1 to 1024"),
        (("--concurrency", "many"), "'many' is not a number from 1 to 1024"),
        (("--interval", "soon"), "'soon' is not a number of seconds"),
        (("--interval", "0"), "0 s: from 1 second to a day"),
    ],
)
def test_it_names_what_is_wrong_with_its_arguments(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence) as error:
        command(*arguments)
    assert error.value.returncode == 1


def test_it_says_what_to_do_with_an_empty_registry() -> None:
    out, _ = command()
    assert "There is nothing to probe yet" in out and "apply" in out
    assert command("--json") == command("--quiet") == ("", "")
    offer(orchestrator(ALDER, mode=Mode.DISABLED), "depth")
    out, _ = command()
    assert "Every offer is disabled or retired" in out


def test_it_says_who_was_left_to_others_and_who_could_not_be_probed() -> None:
    with SimulatorProcess("--capability", "depth") as alder:
        row = orchestrator(ALDER, alder.service_uri)
        offer(row, "depth")
        poisoned = offer(row, "pose").capability
        poisoned.response = {"schema": 3}
        poisoned.save()
        command("--quiet")
        held = timezone.now() + timedelta(minutes=2)
        OfferHealth.objects.filter(offer__capability__slug="depth").update(lease_until=held)
        out, _ = command()
    sentence = "1 left to another prober, 1 could not be probed and are put off for an hour (see the log)."
    assert out.splitlines()[-1] == f"0 probed, {sentence}"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


async def test_it_shows_progress_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, pipe = Terminal(), StringIO()
    async with simulator(ALDER, Container("depth"), Container("echo")) as alder:
        await in_thread(register, alder)
        monkeypatch.setattr(sys, "stderr", terminal)
        await in_thread(command)
        await in_thread(command, "--json")
        monkeypatch.setattr(sys, "stderr", pipe)
        await in_thread(command)
    assert terminal.getvalue().split("\r")[1:3] == ["1/2 probed", "2/2 probed"]
    assert terminal.getvalue().count("probed") == 2 and pipe.getvalue() == ""


# --- in a process of its own ------------------------------------------------------------------------

ROOT = Path(settings.BASE_DIR)
SCENE = """
from orchestrators.models import OfferHealth
from tests.orchestrators.scenes import offer, orchestrator
alder = orchestrator("alder", {uri!r})
for each in (offer(alder, "depth"), offer(alder, "echo")):
    OfferHealth.objects.create(offer=each)
"""


@pytest.fixture(scope="module")
def alder_process() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--capability", "depth:price=3", "--capability", "echo:latency=60") as alder:
        yield alder


@pytest.fixture(scope="module")
def environment(alder_process: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A database of its own, with alder's depth and echo registered."""
    database = tmp_path_factory.mktemp("prober") / "prober.sqlite3"
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{database}", "SECRET_KEY": "for-tests-only-" * 5}
    scene = SCENE.format(uri=alder_process.service_uri)
    for step in (("migrate", "--verbosity", "0"), ("shell", "--verbosity", "0", "-c", scene)):
        subprocess.run([sys.executable, "manage.py", *step], cwd=ROOT, env=environment, check=True)
    return environment


@pytest.mark.parametrize(
    ("number", "output", "said"),
    [
        (signal.SIGTERM, ["--json"], '"capability": "depth", "before": "down", "after": "healthy"'),
        (signal.SIGINT, [], "alder  depth  down  healthy"),
    ],
)
def test_it_loops_until_it_is_told_to_stop(
    environment: dict[str, str], number: signal.Signals, output: list[str], said: str
) -> None:
    """It ends well and gives its rows back, although a sample request is under way."""
    database = environment["DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(database) as rows:
        rows.execute("UPDATE orchestrators_offerhealth SET state = 'down', sampled_at = NULL")
        rows.execute("UPDATE orchestrators_offerhealth SET next_probe_at = NULL, lease_until = NULL")
    rows.close()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "probe_orchestrators", "--loop", *output],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert said in process.stdout.readline()
        process.send_signal(number)
        _, complaint = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in complaint
    rows = sqlite3.connect(database)
    (left,) = rows.execute(
        "SELECT count(*) FROM orchestrators_offerhealth WHERE lease_until IS NOT NULL"
    ).fetchone()
    rows.close()
    assert left == 0
