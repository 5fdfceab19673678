"""The simulator as a program: its command line, its ready line, its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from orchestrators.simulator import SimulatorProcess
from orchestrators.simulator.__main__ import main
from orchestrators.simulator.faults import MEANING
from tests.support.livepeer import ADDRESS, livepeer

ROOT = Path(__file__).parents[2]


def post(uri: str, capability: str, body: bytes) -> httpx.Response:
    headers = livepeer(capability)
    return httpx.post(f"{uri}/process/request/reverse-text", content=body, headers=headers, trust_env=False)


def test_it_serves_many_orchestrators_from_one_process() -> None:
    arguments = ("--name", "alder", "--endpoints", "50", "--bulk", "20")
    with SimulatorProcess(*arguments) as simulator:
        assert len(set(simulator.uris)) == 50 and simulator.names[::49] == ("alder-1", "alder-50")
        headers = ADDRESS | {"Livepeer-Capability": "cap-20"}
        for uri in simulator.uris[::10]:
            token = httpx.get(f"{uri}/process/token", headers=headers, trust_env=False).json()
            assert token["service_addr"] == uri and token["price"]["pricePerUnit"] == 100


def test_it_serves_apps_behind_a_live_runner_orchestrator() -> None:
    with SimulatorProcess(
        "--live-runner", "--capability", "echo:price=0", "--capability", "depth:price=7"
    ) as simulator:
        (listed,) = httpx.get(f"{simulator.service_uri}/discovery", trust_env=False).json()
        echo, depth = listed["runners"]
        assert (echo["app"], "price_info" in echo, depth["price_info"]["price"]) == ("simulator/echo", False, 7)
        answer = httpx.put(f"{echo['url']}/a?b=c", content=b"bytes", trust_env=False)
        assert (answer.status_code, answer.content) == (200, b"bytes")
        assert httpx.post(depth["url"], trust_env=False).status_code == 402
        assert httpx.get(f"{simulator.service_uri}/apps/pose/app", trust_env=False).text == "runner not found\n"
        assert httpx.get(f"{simulator.service_uri}/process/token", trust_env=False).status_code == 404


def test_it_is_moved_from_outside() -> None:
    arguments = ("--capability", "text-reversal:price=7,capacity=2", "--fault", "text-reversal=busy:times=1")
    with SimulatorProcess(*arguments) as simulator:
        uri, body = simulator.service_uri, b'{"text": "abc"}'
        assert [post(uri, "text-reversal", body).status_code for _ in range(2)] == [503, 200]
        simulator.fault("text-reversal", "gpu_oom", times=1)
        assert post(uri, "text-reversal", body).status_code == 500
        seen = simulator.state()["capabilities"]["text-reversal"]
        assert (seen["calls"], seen["price"], seen["capacity"], seen["fault"]) == (3, "7", 2, "none")
        with pytest.raises(ValueError, match="There is no fault 'gremlins'"):
            simulator.fault("text-reversal", "gremlins")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_with_a_call_in_flight(number: signal.Signals) -> None:
    with SimulatorProcess("--capability", "echo", "--fault", "echo=hang") as simulator:
        assert simulator.pid is not None
        with httpx.Client(trust_env=False, timeout=0.2) as http, contextlib.suppress(httpx.TransportError):
            http.post(f"{simulator.service_uri}/process/request/x", headers=livepeer("echo"))
        os.kill(simulator.pid, number)
        assert simulator._process is not None
        assert simulator._process.wait(timeout=10) == 0


def test_it_ends_when_its_parent_does() -> None:
    with SimulatorProcess() as simulator:
        process = simulator._process
        assert process is not None and process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_it_says_why_it_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="did not get ready.*--fault echo=gremlins.*exit status 2"):
        SimulatorProcess("--fault", "echo=gremlins").start()


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes its certificate with openssl")
def test_it_speaks_tls(tmp_path: Path) -> None:
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subprocess.run([*request.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    with SimulatorProcess("--tls-cert", cert, "--tls-key", key, "--fault", "echo=crash") as simulator:
        assert simulator.service_uri.startswith("https://")
        assert simulator.state()["capabilities"]["echo"]["fault"] == "crash"
        trusting = ssl.create_default_context(cafile=cert)
        trusting.check_hostname = False
        with (
            httpx.Client(verify=trusting, trust_env=False) as http,
            pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)),
        ):
            http.post(f"{simulator.service_uri}/process/request/x", headers=livepeer("echo"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--fault", "echo=gremlins"], "There is no fault 'gremlins'. Known: none, cold_start"),
        (["--fault", "nothing=busy"], "There is no capability 'nothing'. Known: text-reversal"),
        (["--capability", "depth:colour=red"], "A capability has no option 'colour=red'. Known: price"),
        (["--capability", "depth:price=0.5"], "depth: price=0.5 is not a number of its kind."),
        (["--capability", "x:kind=teapot"], "There is no container 'teapot'."),
        (["--direct", "--fault", "echo=balance"], "balance is an orchestrator's own fault"),
        (["--tls-cert", "/nowhere.pem"], "No such file"),
        (["--endpoints", "0"], "--endpoints is at least 1."),
    ],
)
def test_it_names_what_is_wrong(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_its_help_explains_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(kind in text for kind in MEANING)
    assert "examples:" in text and "style-transfer" in text


def test_it_says_that_a_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatorProcess() as simulator:
        assert main(["--port", simulator.service_uri.rpartition(":")[2]]) == 1
    assert "in use" in capsys.readouterr().err


def test_it_needs_neither_django_nor_images_to_start() -> None:
    code = "import orchestrators.simulator.__main__, sys; print({'django', 'PIL', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
