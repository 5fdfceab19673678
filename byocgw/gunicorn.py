"""How gunicorn runs the gateway: `gunicorn -c python:byocgw.gunicorn byocgw.asgi:application`.

gunicorn reads the lower-case names below as its settings. This module is loaded in the master, which
only watches over the workers: Django and its settings are not loaded there, so the few variables the
master needs are read here, from the same places as in `settings.py`. A wrong one stops the start with
a sentence that names it (gunicorn prints the ValueError as `Error: ...`).

Times, each inside the next: a drain has 25 s to finish its answers and jobs, then 5 s remain to stop the
background tasks, then the master kills.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from threading import Event
from typing import Any

import environ
from gunicorn.arbiter import Arbiter
from gunicorn.util import parse_address
from uvicorn_worker import UvicornWorker

from byocgw import listening, logs
from byocgw.listening import FairServer
from routing import succession
from routing.metrics import sharing

environ.Env.read_env(Path(__file__).resolve().parent.parent / ".env")

_may_fail = os.pipe()  # holds one byte, for one worker of this master
os.set_blocking(_may_fail[0], False)


class Worker(UvicornWorker):  # type: ignore[misc]  # it ships no types
    """uvicorn on uvloop, speaking our bounded HTTP/1.1; without `lifespan` the gateway does not start."""

    CONFIG_KWARGS = {
        "http": "byocgw.protocol:BoundedProtocol",
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": 25,
        "callback_notify": None,  # by the wall clock: set back, a worker at work would count as stuck
        "access_log": False,
        "server_header": False,
    }

    place = turn = 0  # among the workers of this server; the master gives them

    def init_process(self) -> None:
        try:
            super().init_process()
        except SystemExit as exc:
            if exc.code != Arbiter.WORKER_BOOT_ERROR:
                raise
            self._stand_aside()
            # The first exit code of this kind ends the server; a second would reach the master while it
            # ends, which breaks off there, with a traceback.
            sys.exit(Arbiter.WORKER_BOOT_ERROR if _first_to_fail() else 0)
        except Exception as exc:
            if not self.booted:
                self._stand_aside(exc)
            raise

    def _stand_aside(self, why: Exception | None = None) -> None:
        """It cannot start, and the master would end the server for that. But whom it was to take over from
        serves on for as long as it is expected."""
        if not listening.is_expected(self.place):
            return
        text = "This worker cannot start. The old ones serve on: mend it, and send SIGHUP again."
        self.log.critical(text, exc_info=why)
        moment = Event()
        while os.getppid() == self.ppid and listening.anyone_serves():
            self.notify()
            moment.wait(1)

    async def _serve(self) -> None:
        # How long a thread that builds a table or drains the journal may make every call wait, in seconds.
        sys.setswitchinterval(0.0005)
        # Where cores are shared, whom we wake goes on before us and has more for us at once: an eighth more
        # requests a second. Threads made from here on are scheduled alike.
        with contextlib.suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        watch = asyncio.create_task(self._watch())
        self.config.app = self.wsgi
        self._install_sigquit_handler()
        server = FairServer(self.config, self.place)
        with contextlib.suppress(SystemExit):  # of a start that failed
            await server.serve(sockets=self.sockets)
        watch.cancel()
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _watch(self) -> None:
        """A sign of life a second, also while it drains. Without a master it drains by itself: nobody could
        stop it any more, and the next master needs its port."""
        while os.getppid() == self.ppid:
            self.notify()
            await asyncio.sleep(1)
        listening.expect_nobody()
        os.kill(os.getpid(), signal.SIGTERM)


def _first_to_fail() -> bool:
    try:
        return bool(os.read(_may_fail[0], 1))
    except BlockingIOError:
        return False


def address(name: str, default: str) -> str:
    text = os.environ.get(name, "") or default
    try:
        parse_address(text)
    except RuntimeError as exc:
        raise ValueError(f"{name}: {text!r} is not an address such as {default} or unix:/path.") from exc
    return text


def count(name: str, default: int) -> int:
    text = os.environ.get(name, "") or str(default)
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{name}: {text!r} is not a whole number of at least 1.")
    return int(text)


bind = address("BIND", "127.0.0.1:8000")
workers = count("WEB_CONCURRENCY", 1)
worker_class = Worker
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
keepalive = 75  # seconds; above what load balancers keep, so that they close first
graceful_timeout = 30
timeout = 60
control_socket_disable = True  # or each instance opens the same socket in the home folder
logconfig_dict = logs.configuration("INFO")
accesslog = None  # the journal keeps what happened, for a fraction of the cost
errorlog = "-"


# gunicorn's hooks, in the master. Workers are its forks and find what it left in these modules.


def on_starting(server: object) -> None:
    sharing.open_folder()
    os.write(_may_fail[1], b".")


def pre_fork(server: Any, worker: Worker) -> None:
    succession.takes_a_place = worker.age > server.num_workers
    others = list(server.WORKERS.values())
    worker.place = listening.free_place({each.place for each in others})
    if len(others) >= server.num_workers:  # in a rolling restart
        listening.expect(worker.place)
    worker.turn = succession.turn = succession.free_turn([each.turn for each in others], server.num_workers)


def worker_exit(server: object, worker: Worker) -> None:
    listening.leave(worker.place)  # in the worker: of one that could not start the master says nothing


def child_exit(server: Any, worker: Worker) -> None:
    listening.leave(worker.place)
    try:
        sharing.bury(worker.pid)
    except Exception:  # in the master it would end the server
        server.log.exception("what worker %s counted is lost", worker.pid)


def on_exit(server: object) -> None:
    sharing.remove_folder()
