"""The demo's processes: three orchestrators, a database, a gateway; and what the steps need of them.

Alder is warm and dear, Birch cheap and cold, Cedar the cheapest and failing. The stage only directs:
everything is done by byocgw's own commands and by a real HTTP client.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings

from orchestrators.simulator import SimulatorProcess

HOME = settings.LOCAL_DIR / "demo"
PORTS = range(9101, 9200)

TEXT = {"content_type": "application/json", "path": "reverse-text", "body": {"text": "probe"}}
IMAGE = {"content_type": "application/json", "path": "", "body": {"image": "probe"}}
# A second of waiting is worth nothing here (value_of_second 0): the cheapest goes first.
CAPABILITIES: dict[str, dict[str, Any]] = {
    "text-reversal": {
        "description": "A text in, the same text backwards out.",
        "profile": "warm",
        "price_ceiling": "1000 wei/second",
        "sample_request": TEXT,
    },
    "segmentation": {
        "description": "A frame in, the regions and objects it consists of out.",
        "profile": "per-frame",
        "price_ceiling": "1000 wei/second",
        "attempt_timeout": 10,
        "response": {"content_types": ["image/png"]},
    },
    "style-transfer": {
        "description": "An image in, the same image in another style out.",
        "profile": "warm",
        "price_ceiling": "1000 wei/second",
        "attempt_timeout": 10,
        "response": {"content_types": ["image/jpeg"]},
    },
    "depth": {
        "description": "A frame in, the distance of every pixel out.",
        "profile": "per-frame",
        "price_ceiling": "1000 wei/second",
        "response": {
            "content_types": ["application/json"],
            "schema": {"type": "object", "required": ["depth"]},
        },
        "sample_request": IMAGE,
    },
    "pose": {
        "description": "A frame in, the positions of people's limbs and joints out.",
        "profile": "per-frame",
        "price_ceiling": "1 wei/second",
    },
}
# Who offers what, and for how many wei a second.
CAST: dict[str, dict[str, int]] = {
    "alder": dict.fromkeys(CAPABILITIES, 400),
    "birch": {"text-reversal": 100, "segmentation": 100, "style-transfer": 100, "pose": 100},
    "cedar": {"text-reversal": 200, "depth": 20, "pose": 20},
}
KINDS = {"pose": "depth"}


class Failed(Exception):
    """A step came out otherwise than told."""


class Stage:
    """The processes of the demo, and what the steps need of them. Leaving it ends them all."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.simulators: dict[str, SimulatorProcess] = {}
        self.gateway: subprocess.Popen[bytes] | None = None
        self.password = secrets.token_urlsafe(12)
        self.key = ""
        self.url = ""

    def __enter__(self) -> Stage:
        # SIGTERM ends the demo like Ctrl-C: whatever it started must not outlive it
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.gateway is not None:
            self.gateway.terminate()
            try:
                self.gateway.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.gateway.kill()
                self.gateway.wait()
        for simulator in self.simulators.values():
            simulator.stop()
        for left in (*HOME.glob("demo.sqlite3*"), HOME / "gateway.log", HOME / "byocgw.json"):
            left.unlink(missing_ok=True)
        shutil.rmtree(HOME / "journal", ignore_errors=True)

    def set_up(self) -> None:
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        self.url = f"http://127.0.0.1:{free_port(range(8000, 8100))}"
        self.env = os.environ | {
            "DATABASE_URL": f"sqlite:///{HOME / 'demo.sqlite3'}",
            "BYOCGW_JOURNAL_DIR": str(HOME / "journal"),
            "BIND": self.url.removeprefix("http://"),
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "BYOCGW_HTTPS": "false",
            "BYOCGW_EXPOSE_ORCHESTRATOR": "true",
            "WEB_CONCURRENCY": "1",
            "DJANGO_SUPERUSER_PASSWORD": self.password,
            "LOG_LEVEL": "WARNING",
        }
        self.say("Setting up: a database of its own, three orchestrators, one gateway.")
        self.manage("migrate", "--verbosity", "0")
        for name, prices in CAST.items():
            self.start_simulator(name, prices)
        (HOME / "byocgw.json").write_text(json.dumps(self.configuration(), indent=2))
        self.say("\n$ manage.py apply byocgw.json")
        self.say(indented(self.manage("apply", str(HOME / "byocgw.json"))))
        self.key = self.manage("create_api_key", "acme", "--quiet").strip()
        self.say("\n$ manage.py probe_orchestrators")
        self.say(indented(self.manage("probe_orchestrators")))
        self.manage("createsuperuser", "--noinput", "--username", "demo", "--email", "demo@example.org")
        self.start_gateway()

    def start_simulator(self, name: str, prices: dict[str, int]) -> None:
        arguments = ["--name", name, "--port", str(free_port(PORTS)), "--no-leaks"]
        for capability, price in prices.items():
            kind = f",kind={KINDS[capability]}" if capability in KINDS else ""
            arguments += ["--capability", f"{capability}:price={price},capacity=8,pace=0.15{kind}"]
        if name == "birch":
            for capability in ("segmentation", "style-transfer"):
                arguments += ["--fault", f"{capability}=cold_start:seconds=1.5"]
        simulator = SimulatorProcess(*arguments)
        self.simulators[name] = simulator
        simulator.start()
        self.say(f"  {name.title()} listens on {simulator.service_uri}")

    def configuration(self) -> dict[str, Any]:
        return {
            "capabilities": [
                {"slug": slug, "value_of_second": 0, **policy} for slug, policy in CAPABILITIES.items()
            ],
            "orchestrators": [
                {
                    "name": name,
                    "service_uri": self.simulators[name].service_uri,
                    "offers": [{"capability": slug} for slug in prices],
                }
                for name, prices in CAST.items()
            ],
            "clients": [{"name": "acme"}],
        }

    def start_gateway(self) -> None:
        command = ["gunicorn", "-c", "python:byocgw.gunicorn", "byocgw.asgi:application"]
        with (HOME / "gateway.log").open("wb") as log:
            self.gateway = subprocess.Popen(
                [str(Path(sys.executable).parent / command[0]), *command[1:]],
                cwd=settings.BASE_DIR,
                env=self.env,
                stdout=log,
                stderr=log,
            )
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    self.say(f"\nThe gateway serves at {self.url}")
                    return
            if self.gateway.poll() is not None:
                break
            threading.Event().wait(0.1)
        raise Failed(f"the gateway did not start:\n{(HOME / 'gateway.log').read_text()}")

    def manage(self, *arguments: str) -> str:
        """Runs manage.py in the demo's own environment; its output, or Failed with what it said."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=settings.BASE_DIR,
            env=self.env,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Failed(f"manage.py {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def post(self, path: str, **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}"} | request.pop("headers", {})
        return httpx.post(f"{self.url}{path}", headers=headers, timeout=60, **request)

    def stay_up(self) -> None:
        self.say(
            f"\nThe console: {self.url}/admin/   user demo, password {self.password}\n"
            f"A key:       {self.key}\n\n"
            f"  curl -H 'Authorization: Bearer {self.key}' -H 'Content-Type: application/json' \\\n"
            f'       -d \'{{"text": "hello"}}\' {self.url}/v1/capabilities/text-reversal/reverse-text\n\n'
            "Ctrl-C ends it all."
        )
        assert self.gateway is not None
        self.gateway.wait()


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())


def free_port(ports: range) -> int:
    """The first of these nobody listens on. Another process may still be faster: then starting says so."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed(f"every port from {ports.start} to {ports.stop - 1} is taken")
