"""`gunicorn -c python:byocgw.gunicorn`: what it reads, what it refuses, how it runs, stops and restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from byocgw import huge_pages
from tests.byocgw.test_huge_pages import on_huge_pages

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds: on a busy machine a worker takes its time to start
COMMAND = [sys.executable, "-m", "gunicorn", "-c", "python:byocgw.gunicorn"]
APP = """
import asyncio, os, pathlib

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while pathlib.Path("locked").exists():
            pathlib.Path(f"starting.{os.getpid()}").touch()
            await asyncio.sleep(0.01)
        while True:
            event = (await receive())["type"]
            if pathlib.Path("damaged").exists():
                await send({"type": "lifespan.startup.failed", "message": "It cannot start."})
                return
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                pathlib.Path(f"stopped.{os.getpid()}").touch()
                return
    if scope["path"] == "/slow":
        pathlib.Path("slow").touch()
        while not pathlib.Path("go").exists():
            await asyncio.sleep(0.01)
    length = str(max((len(value) for name, value in scope["headers"] if name == b"livepeer"), default=0))
    head = [(b"content-length", str(len(length)).encode()), (b"x-worker", str(os.getpid()).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": length.encode()})
"""


def environment(**values: str) -> dict[str, str]:
    """The tests' environment without what would configure the server, and with `values`."""
    kept = {k: v for k, v in os.environ.items() if k not in {"BIND", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"}}
    return {**kept, "PYTHONPATH": str(ROOT), **values}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with an application in it, from which gunicorn is started."""
    (tmp_path / "tiny.py").write_text(APP)
    return tmp_path


def run(home: Path, *arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
    """gunicorn to its end."""
    command = [*COMMAND, *arguments, "tiny"]
    return subprocess.run(command, cwd=home, env=environment(**values), capture_output=True, text=True)


def settings(home: Path, **values: str) -> dict[str, str]:
    """What gunicorn says it would run with."""
    said = run(home, "--print-config", **values)
    assert said.returncode == 0, said.stderr
    return dict(re.findall(r"^(\w+) += (.*)$", said.stdout, re.MULTILINE))


def test_it_has_safe_defaults(home: Path) -> None:
    read = settings(home, BIND="", WEB_CONCURRENCY="1")
    assert read["bind"] == "['127.0.0.1:8000']"
    assert read["workers"] == "1"
    assert read["worker_class"] == "<Worker()>"
    assert read["forwarded_allow_ips"] == "['127.0.0.1']"
    assert (read["control_socket_disable"], read["accesslog"], read["errorlog"]) == ("True", "None", "-")


def test_it_reads_the_environment(home: Path) -> None:
    read = settings(home, BIND="[::1]:9000", WEB_CONCURRENCY="3")
    assert (read["bind"], read["workers"]) == ("['[::1]:9000']", "3")


def test_it_reads_the_env_file_where_the_environment_says_nothing(home: Path) -> None:
    (home / "byocgw").mkdir()
    for name in ("__init__.py", "gunicorn.py", "huge_pages.py", "listening.py", "logs.py", "protocol.py"):
        shutil.copy(ROOT / "byocgw" / name, home / "byocgw")
    (home / "routing").symlink_to(ROOT / "routing")
    (home / ".env").write_text("BIND=127.0.0.1:8111\nWEB_CONCURRENCY=5\n")
    read = settings(home, PYTHONPATH=str(home), WEB_CONCURRENCY="2")
    assert (read["bind"], read["workers"]) == ("['127.0.0.1:8111']", "2")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY: '0' is not a whole number of at least 1."),
        ({"BIND": "localhost:http"}, "BIND: 'localhost:http' is not an address such as 127.0.0.1:8000"),
    ],
)
def test_it_stops_at_a_wrong_value_with_a_sentence(home: Path, values: dict[str, str], sentence: str) -> None:
    said = run(home, **values)
    assert said.returncode == 1
    assert f"Error: {sentence}" in said.stderr
    assert "Traceback" not in said.stderr


def test_it_ends_once_when_no_worker_can_start(home: Path) -> None:
    """However many fail together: the end is told once, and the exit code says that it never ran."""
    (home / "damaged").touch()
    command = [*COMMAND, "tiny:application"]
    values = environment(BIND="127.0.0.1:0", WEB_CONCURRENCY="4")
    ended = subprocess.run(command, cwd=home, env=values, capture_output=True, text=True, timeout=2 * PATIENCE)
    assert (ended.returncode, ended.stderr.count("Traceback")) == (3, 0), ended.stderr
    assert ended.stderr.count("Reason: Worker failed to boot.") == 1


def test_its_times_lie_inside_each_other() -> None:
    """Answers, then the stop of the background tasks, then the master's kill; a drain is no hang."""
    code = (
        "import sys, byocgw.gunicorn as g; drain = g.Worker.CONFIG_KWARGS['timeout_graceful_shutdown']\n"
        "assert drain + 2 <= g.graceful_timeout\n"
        "assert g.graceful_timeout < g.timeout\n"
        "assert g.Worker.CONFIG_KWARGS['timeout_keep_alive'] == g.keepalive\n"
        "assert 'byocgw.settings' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)


class Gunicorn:
    """A running master with the application of `home`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = ""

    async def line(self) -> str:
        """The next of its log."""
        assert self.process.stderr is not None
        line = (await self.process.stderr.readline()).decode()
        assert line, "gunicorn stopped"
        return line

    async def until_said(self, text: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while text not in await self.line():
                pass

    async def listen(self) -> None:
        booted = False
        while not (self.url and booted):
            line = await self.line()
            if found := re.search(r"Listening at: (http://\S+)", line):
                self.url = found[1]
            booted = booted or "Application startup complete" in line

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextlib.asynccontextmanager
async def gunicorn(home: Path, *arguments: str) -> AsyncIterator[Gunicorn]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        "tiny:application",
        cwd=home,
        env=environment(BIND="127.0.0.1:0"),
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    running = Gunicorn(process)
    try:
        async with asyncio.timeout(30):
            await running.listen()
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def until_refused(url: str) -> None:
    """Nobody listens any more: it drains."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            while True:
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                await asyncio.sleep(0.01)


async def test_it_serves_within_its_bounds_and_finishes_what_it_began(home: Path) -> None:
    async with gunicorn(home) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        answer = await client.get("/", headers={"Livepeer": "x" * 2**20})
        assert answer.text == str(2**20)
        assert "server" not in answer.headers
        worker = int(answer.headers["x-worker"])
        assert os.sched_getscheduler(worker) == os.SCHED_BATCH
        assert on_huge_pages(worker) > 0 or not huge_pages.gather()
        with contextlib.suppress(httpx.TransportError):
            assert (await client.get("/", headers={"Livepeer": "x" * 2**23})).status_code == 431
        slow = asyncio.create_task(client.get("/slow"))
        while not (home / "slow").exists():
            await asyncio.sleep(0.01)
        server.send(signal.SIGTERM)
        await until_refused(server.url)
        (home / "go").touch()
        answer = await slow
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert await asyncio.wait_for(server.process.wait(), 20) == 0
        assert (home / f"stopped.{answer.headers['x-worker']}").exists()


async def test_it_restarts_without_losing_a_call(home: Path) -> None:
    """A new worker takes over (SIGHUP) while eight clients call without a pause on kept connections. Who is so
    slow that its idle connection was closed meanwhile asks once more, on a fresh one."""
    done, seen, calling = asyncio.Event(), set[str](), set[asyncio.Task[None] | None]()

    async def get(url: str, client: httpx.AsyncClient) -> httpx.Response:
        try:
            return await client.get(url)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            async with httpx.AsyncClient(timeout=PATIENCE) as fresh:
                return await fresh.get(url)

    async def call(url: str) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            while not done.is_set():
                answer = await get(url, client)
                assert answer.status_code == 200
                seen.add(answer.headers["x-worker"])
                calling.add(asyncio.current_task())

    async with gunicorn(home) as server:
        clients = [asyncio.create_task(call(server.url)) for _ in range(8)]
        async with asyncio.timeout(PATIENCE):
            while len(calling) < len(clients) and not any(each.done() for each in clients):
                await asyncio.sleep(0.01)
            server.send(signal.SIGHUP)
            while not (list(home.glob("stopped.*")) and len(seen) == 2) and not any(
                each.done() for each in clients
            ):
                await asyncio.sleep(0.05)
        done.set()
        await asyncio.gather(*clients)
    assert len(seen) == 2


async def worker_of(client: httpx.AsyncClient) -> str:
    """Who answers. A connection of its own: a kept one would stay with who has it."""
    return str((await client.get("/", headers={"Connection": "close"})).headers["x-worker"])


async def until(home: Path, pattern: str) -> list[str]:
    """The ids of those who left such a file."""
    async with asyncio.timeout(PATIENCE):
        while not (found := list(home.glob(f"{pattern}.*"))):
            await asyncio.sleep(0.01)
    return [each.suffix[1:] for each in found]


async def test_in_a_rolling_restart_the_old_serve_until_the_new_could(home: Path) -> None:
    """However long a start takes; what began with the old one is finished there."""
    async with gunicorn(home) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        old = await worker_of(client)
        (home / "locked").touch()
        server.send(signal.SIGHUP)
        (new,) = await until(home, "starting")
        assert [await worker_of(client) for _ in range(20)] == [old] * 20
        await asyncio.sleep(0.3)  # it has been asked to end, and looks ten times a second whether it should
        assert [await worker_of(client) for _ in range(20)] == [old] * 20
        (home / "locked").unlink()
        assert await until(home, "stopped") == [old]
        assert await worker_of(client) == new


@pytest.mark.parametrize("cannot", ["start", "be loaded"])
async def test_who_cannot_take_over_leaves_the_old_at_work(home: Path, cannot: str) -> None:
    """Until it is mended, and asked for once more. One that starts without being asked for ends the server."""
    async with (
        gunicorn(home, "--graceful-timeout", "1") as server,  # so long gunicorn hears nothing after a SIGHUP
        httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client,
    ):
        old = await worker_of(client)
        (home / "damaged").touch() if cannot == "start" else (home / "tiny.py").write_text("raise OSError")
        server.send(signal.SIGHUP)
        await server.until_said("This worker cannot start. The old ones serve on")
        await asyncio.sleep(2)  # meanwhile gunicorn asks the old one to end once more
        assert [await worker_of(client) for _ in range(20)] == [old] * 20

        (home / "damaged").unlink(missing_ok=True)
        (home / "tiny.py").write_text(APP)
        server.send(signal.SIGHUP)
        assert await until(home, "stopped") == [old]
        assert await worker_of(client) != old

        (home / "damaged").touch()
        os.kill(int(await worker_of(client)), signal.SIGKILL)
        assert await asyncio.wait_for(server.process.wait(), PATIENCE) == 3


async def test_who_stands_aside_does_not_hold_up_a_stop(home: Path) -> None:
    async with (
        gunicorn(home, "--graceful-timeout", "1") as server,
        httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client,
    ):
        await worker_of(client)  # there is one that serves: else the server ends
        (home / "damaged").touch()
        server.send(signal.SIGHUP)
        await server.until_said("This worker cannot start. The old ones serve on")
        server.send(signal.SIGTERM)
        assert await asyncio.wait_for(server.process.wait(), PATIENCE) == 0
