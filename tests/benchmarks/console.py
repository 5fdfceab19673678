"""Every screen of the console on a full database: how long it takes, what it asks, how large it is.

    .venv/bin/python -m tests.benchmarks.console [--scale 1] [--runs 5] [--who admin] [ADDRESS...]

Times and sizes are those of the product as it runs: gunicorn with two workers, asked over HTTP by one who is
logged in; queries are counted in this process. A SQLite file of its own is seeded in the temporary directory
(0.5 GB, a minute), unless DATABASE_URL names a database that `python -m tests.browser.seed` has filled. Exit
status 1: a screen took more than 300 ms (the median of the runs), 15 queries, or 50 ms for one of them. A first
run, not counted, reads what a process keeps, such as the routing table.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import django
import httpx

MOST_MS, MOST_QUERIES, MOST_MS_OF_ONE = 300, 15, 50
UNMEASURED = ("jsi18n/", "autocomplete/", "logout/", "nothing")  # no screens


@dataclass(frozen=True, slots=True)
class Screen:
    """`sent`: of a page that answers a form, and changes nothing."""

    address: str
    sent: dict[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Measured:
    """`ms`: the median; `slowest`: the slowest query, ms; `size`: bytes of HTML as it is sent."""

    screen: Screen
    ms: float
    queries: int
    slowest: float
    size: int

    @property
    def is_within(self) -> bool:
        is_quick = self.ms <= MOST_MS and self.slowest <= MOST_MS_OF_ONE
        return is_quick and self.queries <= MOST_QUERIES

    def __str__(self) -> str:
        sign, method = (" " if self.is_within else "!"), ("POST" if self.screen.sent else "")
        numbers = f"{self.ms:7.0f}{self.queries:9}{self.slowest:9.0f}{self.size:9,}"
        return f"{sign} {method:5}{self.screen.address[:90]:92}{numbers}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--who", default="admin", help="a person of the seed, by group")
    parser.add_argument("addresses", nargs="*", help="these alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
        is_ours = "DATABASE_URL" not in os.environ
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/console.sqlite3")
        django.setup()
        if is_ours:
            _seed(given.scale)
        return measure(given.who, given.runs, given.addresses, Path(folder))


def _seed(scale: float) -> None:
    from django.core.management import call_command

    from tests.browser.seed import seed

    began = time.perf_counter()
    call_command("migrate", verbosity=0)
    seed(scale)
    print(f"seeded in {time.perf_counter() - began:.0f} s", flush=True)


def measure(who: str, runs: int, addresses: list[str], folder: Path) -> int:
    from django.contrib.auth.models import User
    from django.test import Client
    from django.test.utils import setup_test_environment

    logging.disable()  # of what this person may not open
    setup_test_environment()  # so that pages tell what they were made of
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username=who))
    found = list(map(Screen, addresses) if addresses else screens(client, client.get))
    print(f"{'':99}{'ms':>7}{'queries':>9}{'slowest':>9}{'bytes':>9}")
    with browsing(client, folder) as browser:
        told = [one(client, browser, each, runs) for each in found]
    for each in sorted(told, key=lambda each: each.ms, reverse=True):
        print(each)
    beyond = sum(not each.is_within for each in told)
    bounds = f"{MOST_MS} ms, {MOST_QUERIES} queries or {MOST_MS_OF_ONE} ms for one"
    print(f"{len(told)} screens, {beyond} beyond {bounds}; median {median(each.ms for each in told):.0f} ms")
    return int(beyond > 0)


@contextmanager
def browsing(client: Any, folder: Path) -> Iterator[httpx.Client]:
    """The product on this database, as whoever the client has logged in sees it."""
    from django.conf import settings
    from django.core.management import call_command

    from tests.support.served import Served

    call_command("collectstatic", interactive=False, verbosity=0)
    known = {"DATABASE_URL": os.environ["DATABASE_URL"], "SECRET_KEY": settings.SECRET_KEY}
    served = Served(folder, {}, WEB_CONCURRENCY="2", **known)
    session = {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}
    try:
        served.start()
        with httpx.Client(base_url=served.url, cookies=session, timeout=60, trust_env=False) as browser:
            browser.get("/admin/")  # sets the cookie that forms are sent with
            browser.headers["x-csrftoken"] = browser.cookies[settings.CSRF_COOKIE_NAME]
            yield browser
    finally:
        served.stop()


def screens(client: Any, look: Callable[[str], Any]) -> Iterator[Screen]:
    """Those that this person may open: each address, its other views, and the pages that answer forms. `look`:
    gets an address, to find out."""
    from tests.support.screens import addresses, views_of

    for address in addresses():
        if address.endswith(UNMEASURED):
            continue
        answer = look(address + ("?id=1&id=2" if "/steer/" in address else ""))
        if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
            yield Screen(answer.wsgi_request.get_full_path())
            yield from map(Screen, views_of(address, answer.content.decode()))
    yield from map(Screen, BESIDES)
    yield from answers(client)


BESIDES = (
    *("/admin/search/?q=gpu", "/admin/playground/?capability=depth", "/admin/routing/job/?q=nobody"),
    *("/admin/routing/job/?code=failed", "/admin/routing/job/?code=ok&client=acme"),
    *("/admin/routing/job/?capability=depth", "/admin/routing/job/?client=initech&capability=upscale"),
    *("/admin/routing/job/?orchestrator=ams-gpu-01", "/admin/routing/job/?code=deadline"),
)


ANSWER = {
    "protocol": "byoc",
    "status": "500",
    "content_type": "application/json",
    "headers": "",
    "body": '{"error": "CUDA out of memory"}',
    "seconds": "0.5",
    "path_known": "on",
}


def answers(client: Any) -> Iterator[Screen]:
    """Pages that a POST shows and that write nothing."""
    from orchestrators.models import Capability
    from tests.support.forms import shown

    for capability in Capability.objects.filter(slug__in=("depth", "depth-to-image")):
        page = f"/admin/orchestrators/capability/{capability.pk}/change/"
        yield Screen(f"{page}preview/", shown(client, page) | {"ceilings-0-price": "200 gwei/second"})
    yield Screen("/admin/orchestrators/failuresignature/classify/", ANSWER)
    rows = {"index": "0", "_selected_action": ["1", "2", "3"]}
    for name, action in (("orchestrator", "drain"), ("orchestrator", "delete_selected"), ("offer", "disable")):
        yield Screen(f"/admin/orchestrators/{name}/", {"action": action, **rows})


def one(client: Any, browser: httpx.Client, screen: Screen, runs: int) -> Measured:
    queries, slowest = asked(client, screen)
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        method = "POST" if screen.sent else "GET"
        answer = browser.request(method, screen.address, data=screen.sent)
        times.append(1000 * (time.perf_counter() - began))
        assert answer.status_code == 200, (screen, answer.status_code)
    return Measured(screen, median(times[1:]), queries, slowest, answer.num_bytes_downloaded)


def asked(client: Any, screen: Screen) -> tuple[int, float]:
    """(queries, milliseconds of the slowest), the second time."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            answer = client.post(screen.address, screen.sent) if screen.sent else client.get(screen.address)
        assert answer.status_code == 200, (screen, answer.status_code)
    return len(queries), 1000 * max((float(each["time"]) for each in queries.captured_queries), default=0.0)


if __name__ == "__main__":
    sys.exit(main())
