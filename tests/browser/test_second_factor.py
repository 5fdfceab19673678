"""The second factor in a real browser: set up, asked for, lost and taken away. Some ten seconds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.seed import PASSWORD
from tests.browser.served import CHROMIUM, Running
from tests.browser.test_screens import logged_in
from tests.support.authenticator import Authenticator

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing: apt-get install chromium"),
]
REFUSED = "It is not right, or was used before."


def test_a_second_factor_from_the_secret_to_its_end(gateway: Running, browser: Any) -> None:
    """Issue 5, section 3."""
    page, errors = logged_in(browser, gateway.url, "operator", "light")
    app, codes = _set_up(page)

    _log_in_anew(page, "operator")
    _say(page, app.code())
    assert page.locator("#menu").count() == 1

    _log_in_anew(page, "operator")
    _say(page, app.wrong_code())
    assert REFUSED in page.inner_text(".errorlist")
    page.goto(f"{gateway.url}/admin/routing/job/")
    assert "/admin/verify/" in page.url and page.locator("#menu").count() == 0
    _say(page, codes[0])
    assert page.url.endswith("/admin/routing/job/") and page.locator("#menu").count() == 1

    _log_in_anew(page, "operator")
    _say(page, codes[0])
    assert REFUSED in page.inner_text(".errorlist")

    boss, other_errors = logged_in(browser, gateway.url, "admin", "light")
    _take_away(boss, gateway.url, "operator")
    page.goto(f"{gateway.url}/admin/second-factor/")
    assert page.locator("#menu").count() == 1 and page.locator("button[name=begin]").count() == 1
    for each in (page, boss):
        each.context.close()
    assert errors == other_errors == []


def _set_up(page: Any) -> tuple[Authenticator, list[str]]:
    """By the page's own links; the app that was shown the secret, and the recovery codes."""
    page.click(".account summary")
    page.click(".account-menu >> text=Second factor")
    page.click("button[name=begin]")
    app = Authenticator(page.inner_text(".setup code"))
    _say(page, app.code())
    codes = page.locator(".codes code").all_inner_texts()
    assert len(codes) == 10
    page.goto(page.url)
    assert page.locator(".setup, .codes").count() == 0, "neither is shown again"
    return app, codes


def _say(page: Any, code: str) -> None:
    page.fill("#id_code", code)
    with page.expect_navigation():
        page.press("#id_code", "Enter")


def _log_in_anew(page: Any, name: str) -> None:
    page.click(".account summary")
    with page.expect_navigation():
        page.click("#logout-form button")
    page.goto(page.url.partition("/admin/")[0] + "/admin/login/")
    page.fill("#id_username", name)
    page.fill("#id_password", PASSWORD)
    with page.expect_navigation():
        page.click("input[type=submit]")
    assert "/admin/verify/" in page.url


def _take_away(page: Any, url: str, name: str) -> None:
    page.goto(f"{url}/admin/auth/user/?q={name}")
    page.check("#result_list .action-select")
    page.select_option("select[name=action]", "take_away_second_factor")
    with page.expect_navigation():
        page.click(".actions button[type=submit]")
    assert "Done;" in page.inner_text(".messagelist")
