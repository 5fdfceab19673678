"""The processes of a measurement, each on ports of its own, all ended when the stage is left."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from tests.benchmarks.bench import usage
from tests.benchmarks.bench.upstream import ANSWER, SCHEMA, TOKEN
from tests.support.served import ROOT, Served

OFFERS = 5
WORKERS = 2
SLUG = "bench"


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Process:
    """A child in a session of its own, so that leaving ends it with all of its workers."""

    def __init__(self, log: Path, *command: str, **environment: str) -> None:
        self.log = log
        self._file = log.open("wb")
        self._child = subprocess.Popen(
            command,
            cwd=ROOT,
            # DATABASE_URL is ours; LiteLLM would take it for its own.
            env={name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | environment,
            stdout=self._file,
            stderr=self._file,
            start_new_session=True,
        )

    @property
    def pids(self) -> list[int]:
        return [self._child.pid, *usage.children(self._child.pid)]

    def wait_for(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        seconds: float = 20.0,
    ) -> None:
        """RuntimeError with the end of the log if nothing answers 200 in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._child.poll() is None:
            try:
                with urlopen(Request(url, data, dict(headers or {})), timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.1)  # noqa: TID251  another process starts: there is nothing to wait on
        self.stop()
        said = self.log.read_text(errors="replace").strip().splitlines()
        raise RuntimeError(f"does not serve within {seconds:.0f} s: {said[-1][:200] if said else 'no word'}")

    def stop(self) -> None:
        if self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGTERM)
            try:
                self._child.wait(timeout=40)
            except subprocess.TimeoutExpired:
                os.killpg(self._child.pid, signal.SIGKILL)
                self._child.wait()
        self._file.close()


class Peer:
    """Something that answers `POST url`. `workers`: the pids whose CPU and memory are its price."""

    def __init__(
        self, name: str, base: str, path: str, headers: Mapping[str, str], process: Process | None
    ) -> None:
        self.name = name
        self.base = base
        self.path = path
        self.headers = {"content-type": "application/json", **headers}
        self.process = process

    def __repr__(self) -> str:
        return f"<Peer {self.name} at {self.base}>"

    @property
    def workers(self) -> list[int]:
        """Without the first, which only watches over the others; a process without children is its own."""
        if self.process is None:
            return []
        first, *others = self.process.pids
        return others or [first]

    def url(self, behaviour: str = "now") -> str:
        """`behaviour`: what the upstream is asked for, see there."""
        return self.base + self.path.replace("{}", behaviour)


class Stage:
    """`folder`: for files and logs. `descriptors`: how many each process of it, and this one, may have open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.descriptors = usage.descriptors()
        self._processes: list[Process] = []
        self._served: list[Served] = []

    def __enter__(self) -> Self:
        self.slow_ports = free_ports(OFFERS)
        slow = self.start("upstream", *python("tests.benchmarks.bench.upstream"), *map(str, self.slow_ports))
        slow.wait_for(f"http://127.0.0.1:{self.slow_ports[-1]}/seen")
        self.fast_ports, self.fast_process = self.slow_ports, slow
        if shutil.which("nginx"):
            self.fast_ports = free_ports(OFFERS)
            self.fast_process = self.nginx("at-once", [answering(port) for port in self.fast_ports])
            self.fast_process.wait_for(f"http://127.0.0.1:{self.fast_ports[-1]}/process/token")
        return self

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for served in self._served:
            served.stop()
        for process in reversed(self._processes):
            process.stop()

    def start(self, name: str, *command: str, **environment: str) -> Process:
        process = Process(self.folder / f"{name}.log", *command, **environment)
        self._processes.append(process)
        return process

    def nginx(self, name: str, servers: list[str]) -> Process:
        prefix = self.folder / name
        prefix.mkdir()
        (prefix / "nginx.conf").write_text(NGINX.format(prefix=prefix, servers="\n".join(servers)))
        return self.start(name, "nginx", "-p", str(prefix), "-c", str(prefix / "nginx.conf"), "-e", "stderr")

    def gateway(self, name: str, ports: list[int], **environment: str) -> Peer:
        """byocgw as it is run, everything switched on: key, limits, five offers, contract, journal."""
        folder = self.folder / name
        folder.mkdir()
        served = Served(folder, configuration(ports), WEB_CONCURRENCY=str(WORKERS), **environment)
        self._served.append(served)
        served.__enter__()
        served.manage("shell", "--no-imports", "-c", LIMITS)
        return Peer(name, served.url, f"/v1/capabilities/{SLUG}/{{}}", served.headers(), _Gunicorn(served))

    def passing(self, port: int) -> Peer:
        own = free_ports(1)[0]
        process = self.start(
            f"passing-{own}",
            *(str(Path(sys.executable).parent / "gunicorn"), "-c", "python:byocgw.gunicorn"),
            "tests.benchmarks.bench.passing:application",
            UPSTREAM=f"http://127.0.0.1:{port}",
            BIND=f"127.0.0.1:{own}",
            WEB_CONCURRENCY=str(WORKERS),
        )
        peer = Peer("raw ASGI", f"http://127.0.0.1:{own}", "/process/request/{}", {}, process)
        process.wait_for(peer.url(), data=b"{}")
        return peer

    def direct(self, ports: list[int]) -> Peer:
        return Peer("direct", f"http://127.0.0.1:{ports[0]}", "/process/request/{}", {}, None)


class _Gunicorn(Process):
    """What `Served` has started."""

    def __init__(self, served: Served) -> None:
        assert served.process is not None
        self._child = served.process


def python(module: str) -> tuple[str, str, str]:
    return sys.executable, "-m", module


LIMITS = """
from routing.models import Client, Tier
tier = Tier.objects.create(slug="bench", requests_per_minute=10_000_000, burst=1_000_000, max_in_flight=10_000)
Client.objects.update(tier=tier)
"""


def configuration(ports: list[int]) -> dict[str, Any]:
    capability = {
        "slug": SLUG,
        "profile": "warm",
        "price_ceiling": "1000 wei/second",
        "attempt_timeout": 30,
        "retry_timeout": 30,
        "response": {"content_types": ["application/json", "text/event-stream"], "schema": SCHEMA},
        "sample_request": {"content_type": "application/json", "path": "now", "body": {"prompt": "play"}},
    }
    orchestrators = [
        {
            "name": f"node-{number}",
            "service_uri": f"http://127.0.0.1:{port}",
            "protocol": "byoc",
            "offers": [{"capability": SLUG, "max_in_flight": 2000}],
        }
        for number, port in enumerate(ports, 1)
    ]
    return {"capabilities": [capability], "orchestrators": orchestrators, "clients": [{"name": "acme"}]}


NGINX = """daemon off;
worker_processes 1;
pid {prefix}/pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_max_body_size 64m;
  client_body_temp_path {prefix}/body;
  proxy_temp_path {prefix}/proxy;
  fastcgi_temp_path {prefix}/fastcgi;
  uwsgi_temp_path {prefix}/uwsgi;
  scgi_temp_path {prefix}/scgi;
{servers}
}}
"""


def answering(port: int) -> str:
    return f"""server {{
    listen 127.0.0.1:{port} backlog=2048;
    default_type application/json;
    location /process/token {{ return 200 '{TOKEN.decode()}'; }}
    location / {{ return 200 '{ANSWER.decode()}'; }}
  }}"""


def proxying(port: int, upstream: int) -> str:
    """As a plain proxy is set up for inference: kept connections, nothing buffered."""
    return f"""upstream u{port} {{ server 127.0.0.1:{upstream}; keepalive 2048; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://u{port}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_buffering off; proxy_read_timeout 60s;
    }}
  }}"""
