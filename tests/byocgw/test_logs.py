"""Log lines: JSON, on whose behalf, never a secret, and never a flood."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections import Counter
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from django.test import Client

from byocgw.logs import LONGEST, SOME, WINDOW, Thinned, clean, configuration
from orchestrators.simulator import Container, Simulator
from routing import context
from routing.access import MOST, AccessLog
from tests.routing.inference.scenes import ask, depth_by
from tests.routing.journal.cast import job
from tests.support.gateway import Gateway

SECRET = "byoc_Zm9vYmFy-secret_0"
JOB = "eyJyZXF1ZXN0IjogInt9In0="


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Written:
    """A logger written as the product writes."""

    def __init__(self, **options: Any) -> None:
        self.stream = io.StringIO()
        config = configuration("INFO", **options)
        handler = logging.StreamHandler(self.stream)
        line = config["formatters"]["line"]
        handler.setFormatter(line.pop("()")(**line))
        self.log = logging.Logger("test")
        self.log.addHandler(handler)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def written() -> Iterator[Written]:
    yield Written()


class Somebody:
    def log_fields(self) -> dict[str, object]:
        return {"request": "r1", "client": "acme", "capability": "depth", "attempt": 2}


def test_a_line_is_one_json_object(written: Written) -> None:
    written.log.warning("it is %s\nor not", "so", extra={"client": "acme", "unheard": "of"})
    (line,) = written.lines()
    assert (line["event"], line["level"], line["logger"]) == ("it is so\nor not", "warning", "test")
    assert line["client"] == "acme" and "unheard" not in line
    assert line["timestamp"].endswith("Z")


def test_a_line_tells_on_whose_behalf(written: Written) -> None:
    def work() -> None:
        somebody = Somebody()
        context.enter(somebody)
        written.log.error("oh")
        del somebody  # its request is over, though a timer may live on in this context
        written.log.error("oh")

    copy_context().run(work)
    written.log.error("oh")
    during, *after = written.lines()
    assert Somebody().log_fields().items() <= during.items()
    assert not any("request" in line for line in after)


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"the key {SECRET} is odd",
        f"{{'authorization': 'Basic {JOB}'}}",
        f"(b'livepeer', b'{JOB}')",
        f"Livepeer-Payment: {JOB}",
        f"cookie={JOB}; x",
        f"could not connect to postgres://byocgw:{JOB}@db.example/byocgw",
    ],
)
@pytest.mark.parametrize("console", [False, True])
def test_no_line_tells_a_secret(text: str, console: bool) -> None:
    """Not as text, argument or extra, and not in the traceback of an exception that quotes it."""
    written = Written(console=console)
    written.log.error(text, extra={"client": text})
    try:
        raise ValueError(text)
    except ValueError:
        written.log.exception("%s", {"headers": [text]})
    said = written.stream.getvalue()
    assert "***" in said and "Traceback" in said
    assert SECRET not in said and JOB not in said


def test_what_is_no_secret_stays() -> None:
    for text in ("no orchestrators available for depth: down 2", "https://host:8935/process/token", "a, b: c"):
        assert clean(text) == text
    assert clean(7) == 7


def test_repeated_warnings_are_thinned_and_counted() -> None:
    clock = Clock()
    thinned = Thinned(clock)

    def passes(level: int = logging.WARNING, text: str = "again %s") -> tuple[bool, int]:
        record = logging.LogRecord("x", level, "", 0, text, ("argument",), None)
        return bool(thinned.filter(record)), getattr(record, "suppressed", 0)

    assert [passes()[0] for _ in range(SOME + 3)] == [True] * SOME + [False] * 3
    assert passes(text="another")[0] and passes(logging.INFO)[0]
    clock.now += WINDOW
    assert [passes(), passes()] == [(True, 3), (True, 0)]


@pytest.mark.django_db
def test_hosts_and_names_that_strangers_make_up_fill_no_log(
    client: Client, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a quick one
    with caplog.filtering(Thinned(Clock())):
        for number in range(SOME + 3):
            assert client.get("/admin/login/", headers={"host": f"{number}.example"}).status_code == 400
            name = {"username": f"u{number}", "password": "x"}
            assert client.post("/admin/login/", name, headers={"host": "console.example"}).status_code == 200
    names = Counter(record.name for record in caplog.records)
    assert names == {"django.security.DisallowedHost": SOME, "axes.handlers.database": SOME}


def test_a_line_has_an_end(written: Written) -> None:
    written.log.error("%s", "x" * 2**20)
    (line,) = written.lines()
    assert LONGEST < len(line["event"]) < LONGEST + 10


async def test_a_line_within_a_call_has_its_ids(gateway: Gateway, written: Written) -> None:
    async with Simulator("alder", capabilities=[Container("depth", price=10)]) as alder:
        await depth_by(gateway, alder)
        append = gateway.runtime.journal.append

        def complain(record: Any) -> bool:
            written.log.warning("noted")
            return append(record)

        gateway.runtime.service.journal.append = complain  # type: ignore[method-assign]
        answer = await ask(gateway)
    (line,) = written.lines()
    assert (line["client"], line["capability"]) == ("acme", "depth")
    assert line["request"] == answer.headers["x-request-id"]


def test_a_share_of_the_calls_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    for share in (0.0, 0.5, 1.0):
        access = AccessLog(share, clock)
        for number in range(40):
            access.note(job(f"{share}-{number}"))
    lines = [record for record in caplog.records if record.name == "routing.access"]
    by_share = [sum(record.request.startswith(f"{share}-") for record in lines) for share in (0.0, 0.5, 1.0)]  # type: ignore[attr-defined]
    assert by_share[0] == 0 and 8 < by_share[1] < 32 and by_share[2] == 40


def test_never_more_than_so_many_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    access = AccessLog(1.0, clock)
    for number in range(MOST + 50):
        access.note(job(f"job-{number}"))
    assert len(caplog.records) == MOST
    clock.now += 1
    access.note(job("later"))
    assert len(caplog.records) == MOST + 1


def test_it_is_a_configuration_that_logging_takes() -> None:
    logging.config.DictConfigurator(configuration("INFO"))
