"""Every screen in a real browser: nothing the strict policy stops, nothing axe calls serious, nothing too wide.

A database of its own is seeded and served by gunicorn, as in production. About a minute.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.browser.seed import PASSWORD
from tests.browser.served import CHROMIUM, console

SCALE = 0.005
SCREENS = (
    "/admin/",
    "/admin/search/?q=gpu",
    "/admin/orchestrators/orchestrator/",
    "/admin/orchestrators/orchestrator/1/change/",
    "/admin/orchestrators/offer/",
    "/admin/orchestrators/offer/1/change/",
    "/admin/candidates/",
    "/admin/orchestrators/trial/",
    "/admin/orchestrators/trial/1/change/",
    "/admin/orchestrators/discoverysource/",
    "/admin/orchestrators/discoverysource/discover/",
    "/admin/orchestrators/capability/",
    "/admin/orchestrators/capability/1/change/",
    "/admin/orchestrators/healthsnapshot/",
    "/admin/orchestrators/configrevision/",
    "/admin/orchestrators/configrevision/3/change/",
    "/admin/alerts/",
    "/admin/routing/alertrule/",
    "/admin/routing/alertrule/1/change/",
    "/admin/system/",
    "/admin/second-factor/",
    "/admin/routing/job/",
    "/admin/routing/job/?code=failed",
    "/admin/spend/",
    "/admin/prices/",
    "/admin/routing/usagehour/",
    "/admin/routing/priceceiling/",
    "/admin/routing/client/",
    "/admin/routing/client/1/change/",
    "/admin/routing/apikey/",
    "/admin/playground/",
    "/admin/playground/?capability=depth",
)
# What only some may open: forms, each with another kind of field.
FORMS = (
    "/admin/orchestrators/orchestrator/add/",
    "/admin/orchestrators/offer/add/",
    "/admin/orchestrators/capability/add/",
    "/admin/orchestrators/discoverysource/add/",
    "/admin/orchestrators/orchestrator/1/delete/",
    "/admin/routing/pipeline/add/",
    "/admin/routing/client/add/",
    "/admin/routing/apikey/add/",
    "/admin/routing/alertrule/add/",
    "/admin/routing/rate/add/",
    "/admin/auth/user/3/change/",
    "/admin/auth/group/add/",
)
VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with console(tmp_path_factory.mktemp("console"), SCALE) as url:
        yield url


def logged_in(browser: Any, url: str, name: str, view: str) -> tuple[Any, list[str]]:
    """A page, and the list its errors go to."""
    page = browser.new_context(**VIEWS[view]).new_page()
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{url}/admin/login/")
    page.fill("#id_username", name)
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    page.wait_for_selector("#menu", state="attached")  # a phone shows it when asked
    page.wait_for_load_state()
    return page, errors


@pytest.mark.parametrize("view", VIEWS)
def test_every_screen_is_clean(served: str, browser: Any, view: str) -> None:
    """Issue 5, bar 1: 0 console errors, 0 violations serious or worse, no horizontal overflow."""
    from axe_playwright_python.sync_playwright import Axe

    page, errors = logged_in(browser, served, "ada", view)
    axe, found = Axe(), []
    for screen in (*SCREENS, *FORMS):
        assert page.goto(served + screen).status == 200, screen
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [f"{screen}: {too_wide} px too wide"] if too_wide > 0 else []
        found += [f"{screen}: {error}" for error in errors]
        found += [
            f"{screen}: {each['id']} ({each['impact']}): {each['nodes'][0]['html'][:200]}"
            for each in axe.run(page).response["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        errors.clear()
    page.context.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", ["viewer", "operator", "policy", "keys", "admin"])
def test_every_group_opens_its_screens(served: str, browser: Any, name: str) -> None:
    page, errors = logged_in(browser, served, name, "light")
    for screen in SCREENS:
        assert page.goto(served + screen).status == 200, screen
    assert errors == []
    page.context.close()


def test_a_policy_is_rolled_back(served: str, browser: Any) -> None:
    """Issue 5, bar 3: from the list of changes to the plan, with a reason, and it holds."""
    page, errors = logged_in(browser, served, "policy", "light")
    page.click("#menu a:has-text('Changes')")
    page.click("#result_list a:has-text('changed orchestrator ams-gpu-01')")
    page.click("a:has-text('Back to here')")
    assert "capability pose: max_attempts 2 -> null" in page.inner_text(".plan")
    page.fill("#id_reason", "two were too few")
    page.click("input[type=submit]")
    page.wait_for_selector(".messagelist .success")
    latest = page.locator("#result_list tbody tr").first
    assert "back to #1: two were too few" in latest.inner_text() and "policy" in latest.inner_text()
    latest.locator("a").first.click()
    page.wait_for_selector(".difference")
    assert "max_attempts" in page.inner_text(".difference") and errors == []
    page.context.close()


def test_a_slash_goes_to_the_search(served: str, browser: Any) -> None:
    page, _errors = logged_in(browser, served, "ada", "light")
    page.keyboard.press("/")
    page.keyboard.type("ams-gpu-01")
    page.keyboard.press("Enter")
    page.wait_for_url("**/orchestrator/*/change/")
    page.context.close()


def test_what_yesterday_cost_is_two_links_away(served: str, browser: Any) -> None:
    """Issue 5, bar 5: from the first page by links alone; every table adds up to the same wei."""
    page, errors = logged_in(browser, served, "viewer", "light")
    page.click("text=By whom, where, on which day")
    page.click("nav.segmented >> text=Yesterday")
    page.wait_for_load_state()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    assert f"from={yesterday}&to={yesterday}" in page.url
    told = page.inner_text(".figure .note >> nth=0")
    wei = int(re.sub(r"\D", "", told))
    assert wei > 0 and told.endswith(" wei")
    assert page.inner_text(".figure .value >> nth=1").startswith("$")
    tables = [each.get_attribute("href") for each in page.query_selector_all("a:text-is('CSV')")]
    assert len(tables) == 4
    for table in tables:
        rows = csv.DictReader(page.request.get(f"{served}{table}").text().splitlines())
        assert sum(int(row["wei"]) for row in rows) == wei, table
    page.click(".spent tbody a >> nth=1")  # the calls behind the first row
    page.wait_for_selector("text=Served by")
    assert "capability=" in page.url and errors == []
    page.context.close()
