"""The screens as pictures for the docs: `make screenshots`. A seeded gateway of its own, and Debian's Chromium.

docs/screens/<name>.webp           each screen, light
docs/screens/<name>-dark.webp      some of them, dark
docs/screens/<name>-phone.webp     and some at 390 pixels
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.served import CHROMIUM, console
from tests.browser.test_screens import VIEWS, logged_in

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screens"
SCALE = 0.02
WIDTH, QUALITY = 1200, 72
BUDGET = 1_500_000  # bytes, all together
# name -> what leads there: an address, then links by their selectors
SCREENS: dict[str, tuple[str, ...]] = {
    "dashboard": ("/admin/",),
    "orchestrators": ("/admin/orchestrators/orchestrator/",),
    "orchestrator": ("/admin/orchestrators/orchestrator/1/change/",),
    "capability": ("/admin/orchestrators/capability/", "#result_list tbody th a"),
    "playground": ("/admin/playground/?capability=depth",),
    "jobs": ("/admin/routing/job/",),
    "job": ("/admin/routing/job/?code=exhausted", "tbody th a"),
    "candidates": ("/admin/candidates/",),
    "trials": ("/admin/orchestrators/trial/",),
    "signatures": ("/admin/orchestrators/failuresignature/",),
    "prices": ("/admin/prices/",),
    "spend": ("/admin/spend/",),
    "client": ("/admin/routing/client/", "#result_list tbody th a"),
    "keys": ("/admin/routing/apikey/",),
    "changes": ("/admin/orchestrators/configrevision/",),
    "system": ("/admin/system/",),
}
ALSO = {"dark": ("dashboard", "job", "spend"), "phone": ("dashboard", "jobs", "spend")}


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.webp"):
        old.unlink()
    with (
        tempfile.TemporaryDirectory() as folder,
        console(Path(folder), SCALE) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        for view in VIEWS:
            page, _errors = logged_in(browser, url, "ada", view)
            for name in SCREENS if view == "light" else ALSO.get(view, ()):
                _take(page, url, SCREENS[name], FOLDER / f"{name}{'' if view == 'light' else f'-{view}'}.webp")
    size = sum(each.stat().st_size for each in FOLDER.glob("*.webp"))
    print(f"{size:,} bytes in {FOLDER}")
    return int(size > BUDGET)


def _take(page: Any, url: str, way: tuple[str, ...], file: Path) -> None:
    address, *links = way
    page.goto(url + address)
    for link in links:
        page.click(f"{link} >> nth=0")
        page.wait_for_load_state()
    picture = Image.open(io.BytesIO(page.screenshot()))
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, picture.height * WIDTH // picture.width))
    picture.save(file, quality=QUALITY, method=6)


if __name__ == "__main__":
    sys.exit(main())
