"""What operators do, in a real browser, with the product as it runs: from a new orchestrator to a revoked key.
And what they must be able to answer from the screens alone. About half a minute.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.browser.served import CHROMIUM, Running
from tests.browser.test_screens import logged_in

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing: apt-get install chromium"),
]
WITHIN = 120.0  # seconds for whatever follows a change; usually one


class Container(ThreadingHTTPServer):
    """A direct container that echoes JSON. After `hold` it keeps one call, the next, until `free`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.free, self.arrived = threading.Event(), threading.Event()
        self._next = threading.Semaphore(0)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def hold(self) -> None:
        self._next.release()

    def came(self) -> None:
        if self._next.acquire(blocking=False):
            self.arrived.set()
            self.free.wait(2 * WITHIN)


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Container

    def do_GET(self) -> None:
        self._answer(b'{"status": "OK"}' if self.path == "/health" else b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came()
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests are quiet."""


@pytest.fixture
def page(gateway: Running, browser: Any) -> Iterator[Any]:
    """Ada at the dashboard. Whatever the console of her browser calls an error fails the test."""
    opened, errors = logged_in(browser, gateway.url, "ada", "light")
    opened.set_default_timeout(WITHIN * 1000)
    yield opened
    opened.context.close()
    assert errors == []


@pytest.fixture
def container() -> Iterator[Container]:
    with Container() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.free.set()
        server.shutdown()


def until(told: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WITHIN
    while not told():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def said(page: Any) -> str:
    return " ".join(page.inner_text("#content").split())


def link(page: Any, name: str | re.Pattern[str], within: str = "body") -> None:
    with page.expect_navigation(wait_until="domcontentloaded"):
        page.locator(within).get_by_role("link", name=name, exact=True).first.click()


def press(page: Any, name: str, within: str = "body") -> None:
    with page.expect_navigation(wait_until="domcontentloaded"):
        page.locator(within).get_by_role("button", name=name, exact=True).first.click()


def test_from_a_new_orchestrator_to_a_revoked_key(gateway: Running, page: Any, container: Container) -> None:
    """Issue 5, bar 3: from the first page on, by links alone."""
    key = gateway.manage("create_api_key", "acme", "--quiet").strip()

    def call() -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{gateway.url}/v1/capabilities/mirror"
        return httpx.post(url, headers=headers, json={"hello": "there"}, timeout=2 * WITHIN)

    _add_capability(page)
    _add_orchestrator(page, container.uri)
    _try(page)
    assert call().status_code == 503, "a trial alone lets nobody in"
    _approve(page)
    until(lambda: call().status_code == 200, "it serves")
    _is_said_on_the_dashboard(page, "mirror alder 1 / 1")

    _lower_the_ceiling(page)
    until(lambda: call().status_code == 503, "refused over its price")
    assert "price_ceiling" in call().text
    _is_said_on_the_dashboard(page, "mirror: none of its 1 offers may serve now 1 price ceiling")
    _lower_the_ceiling(page, "1000 wei/second")
    until(lambda: call().status_code == 200, "it serves again")

    _drain_while_a_call_is_under_way(page, container, call)
    assert call().json()["reasons"] == {"mode_orchestrator": 1}

    link(page, "API keys", "#menu")
    page.fill("#searchbar", "acme")
    press(page, "Search", "#changelist-search")
    for box in page.query_selector_all("#result_list .action-select"):
        box.check()
    page.select_option("select[name=action]", "revoke")
    press(page, "Go", ".actions")
    with page.expect_navigation(wait_until="domcontentloaded"):
        page.click(".ask .button.danger")
    until(lambda: call().status_code == 401, "the key is refused")


def _add_capability(page: Any) -> None:
    link(page, "Capabilities", "#menu")
    link(page, "Add capability")
    page.fill("#id_slug", "mirror")
    page.select_option("#id_profile", label="warm")
    page.fill("#id_attempt_timeout", str(2 * WITHIN))  # nothing here may depend on how busy a machine is
    page.fill("#id_sample_request", json.dumps({"content_type": "application/json", "body": {"hi": "you"}}))
    page.click("#ceilings-group .add-row a")
    page.fill("#id_ceilings-0-price", "1000 wei/second")
    press(page, "Save", ".submit-row")


def _add_orchestrator(page: Any, uri: str) -> None:
    link(page, "Orchestrators", "#menu")
    link(page, "Add orchestrator")
    page.fill("#id_name", "alder")
    page.fill("#id_service_uri", uri)
    page.select_option("#id_protocol", "direct")
    page.select_option("#id_mode", "discovered")
    page.click("#offers-group .add-row a")
    page.select_option("#id_offers-0-capability", label="mirror")
    page.select_option("#id_offers-0-mode", "discovered")
    page.fill("#id_offers-0-price", "10 wei/second")
    press(page, "Save and continue editing", ".submit-row")
    assert "mirror" in page.inner_text(".offers")


def _try(page: Any) -> None:
    link(page, re.compile("^Candidates"), "#menu")
    assert "Nobody can serve mirror now: it would be the only one." in said(page)
    press(page, "Run trial alder / mirror")
    assert "lder / mirror: pass" in page.inner_text(".messagelist"), said(page)
    row = page.locator("tbody", has=page.get_by_role("link", name="alder", exact=True))
    assert "All 9 calls in a row were answered." in row.inner_text() and "pass" in row.inner_text()


def _approve(page: Any) -> None:
    """With a share, from the page of candidates."""
    link(page, "Approve… alder / mirror")
    assert "so all of its calls go there, whatever the share" in said(page)
    page.fill("#id_share", "20")
    page.fill("#id_reason", "passed its trial")
    press(page, "Approve", ".steering")
    assert "1 approved, for 20 % of the traffic at the most" in page.inner_text(".messagelist"), said(page)
    assert "alder" not in page.inner_text(".candidates"), "it waits no more"


def _is_said_on_the_dashboard(page: Any, told: str) -> None:
    link(page, "Dashboard", "#menu")
    assert told in said(page)


def _lower_the_ceiling(page: Any, price: str = "1 wei/second") -> None:
    link(page, "Dashboard", "#menu")
    link(page, "mirror", "#dashboard")
    with page.expect_response("**/preview/"):
        page.fill("#id_ceilings-0-price", price)
    if price == "1 wei/second":
        page.wait_for_selector("text=With this change nobody can serve mirror")
        assert "10 wei/s is above the ceiling of 1 wei/s" in page.inner_text("#preview")
    press(page, "Save", ".submit-row")


def _drain_while_a_call_is_under_way(
    page: Any, container: Container, call: Callable[[], httpx.Response]
) -> None:
    link(page, "Orchestrators", "#menu")
    page.locator("#result_list a", has_text="alder").first.click()
    container.hold()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(call)
        assert container.arrived.wait(WITHIN)
        link(page, "Drain…", ".heading")
        told = said(page)
        assert "nobody else can serve it now" in told and "1 call will finish" in told, told
        page.fill("#id_reason", "new fans")
        press(page, "Drain", ".steering")
        until(lambda: call().status_code == 503, "nothing new goes there")
        assert not under_way.done()
        container.free.set()
        assert under_way.result(WITHIN).status_code == 200, "what was under way has finished"
    link(page, "Dashboard", "#menu")
    assert "admin: drain: new fans (orchestrator)" in said(page)


def test_the_screens_alone_tell_who_fails_who_serves_and_what_a_ceiling_would_do(page: Any) -> None:
    """Issue 5, bar 5: from the first page on, by links alone."""
    with page.expect_navigation(wait_until="domcontentloaded"):
        page.locator(".matrix td a:has(.shape.bad)").first.click()
    row = page.locator(f"#{page.url.partition('#')[2]}")
    assert "claimed, down" in row.inner_text() or "not claimed" in row.inner_text()
    assert re.search(r"gpu_oom|timeout|unreachable|api_mismatch|claim", row.locator(".why").inner_text())

    link(page, "Dashboard", "#menu")
    link(page, "depth", "#dashboard")
    told = page.inner_text("#preview")
    assert "Would serve depth" in told and re.search(r"The cheapest, \S+ at \S+ gwei/s,", told), told

    link(page, "Spend", "#menu")
    link(page, "Yesterday", ".segmented")
    assert re.search(r"Spent [\d,.]+ (gwei|ETH) [\d,]{9,} wei", said(page)), "what yesterday cost"

    link(page, "Dashboard", "#menu")
    link(page, "depth", "#dashboard")
    now, unit = page.input_value("#id_ceilings-0-price").split(maxsplit=1)
    with page.expect_response("**/preview/"):
        page.fill("#id_ceilings-0-price", f"{int(now) // 2} {unit}")
    page.wait_for_selector("text=would not be asked any more")
    told = page.inner_text("#preview")
    assert "is above the ceiling of" in told and "recorded decisions" in told and "Unserved" in told, told
