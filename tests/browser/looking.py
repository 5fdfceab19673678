"""What is looked for on a screen, in each view: whatever is too wide, and what axe calls serious.

Axe takes longer than all else together, so it is run where it may find something new: on a page with an element
of a kind that no page had before. A kind is an element with its parent and that one's: of each the tag, the
classes that a style sheet names, the attributes that axe cares for, and whether it says anything. Colours come
from classes alone, since the policy allows no style attributes; dark differs from light by them alone. The
whole page is judged in light, what is new on it in the other views.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
LAPTOP = {"width": 1280, "height": 800}
VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
    "laptop": {"viewport": LAPTOP, "color_scheme": "light"},
}
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# A table that does not fit its place has to be moved to be read; on a telephone some places are made for that.
ANY_PLACE = ".results, .scroll, .card, .tabular fieldset"
PLACES = {"light": ANY_PLACE, "laptop": ANY_PLACE, "phone": ".card"}
CLIPPED = """places => [...document.querySelectorAll(places)]
    .map(each => each.scrollWidth - each.clientWidth).reduce((one, other) => Math.max(one, other), 0)"""
AXE = f"if (!window.axe) {{ {AXE_SCRIPT} }}"
SERIOUS = """([kinds, rules]) => axe.run(
    kinds === null ? document : {include: kinds.flatMap(kind => window.kinds.get(kind).slice(0, 3))},
    {resultTypes: ["violations"], ...rules},
).then(found => found.violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => `${each.id}: ${each.nodes[0].html.slice(0, 200)}`))"""
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
KINDS = """() => {
    const kinds = window.kinds = new Map();
    const rules = sheet => [...sheet.cssRules].map(rule => rule.cssText).join();
    const styled = new Set([...document.styleSheets].map(rules).join().match(/\\.[\\w-]+/g));
    const telling = /^(aria-.+|alt|disabled|for|hidden|href|lang|placeholder|readonly|scope|tabindex|title)$/;
    const told = element => [
        element.tagName,
        [...element.classList].filter(name => styled.has("." + name)).sort().join("."),
        element.getAttributeNames().filter(name => telling.test(name)).sort().join(),
        ["role", "type", "aria-hidden", "aria-expanded"].map(name => element.getAttribute(name)).join(),
        element.childElementCount > 0 || element.textContent.trim() !== "",
    ].join("|");
    const walk = (element, above, highest) => {
        const own = told(element);
        const kind = `${highest} ${above} ${own}`;
        if (!kinds.has(kind)) kinds.set(kind, []);
        kinds.get(kind).push(element);
        for (const child of element.children) walk(child, own, above);
    };
    walk(document.documentElement, "", "");
    return [...kinds.keys()];
}"""


class Looking:
    """All that was looked at. `axes`: how many pages axe was run on."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self.axes = 0

    def __call__(self, page: Any) -> Iterator[str]:
        """What is wrong with the page as it is now, in every view; it is left in the first."""
        kinds = [each for each in page.evaluate(KINDS) if each not in self._known]
        self._known.update(kinds)
        self.axes += bool(kinds)
        for name, view in VIEWS.items():
            if name == "dark" and not kinds:
                continue  # nothing moves, and its colours were judged where they were new
            page.set_viewport_size(view["viewport"])
            page.emulate_media(color_scheme=view["color_scheme"], reduced_motion="reduce")
            wide = page.evaluate(TOO_WIDE)
            if wide > 0:
                yield f"{name}: {wide} px too wide"
            clipped = page.evaluate(CLIPPED, PLACES[name]) if name in PLACES else 0
            if clipped > 0:
                yield f"{name}: a table is {clipped} px wider than its place"
            if kinds and name != "laptop":  # which is light, but for its width
                rules = COLOURS if name == "dark" else {}
                found = self._axe(page, None if name == "light" else kinds, rules)
                yield from (f"{name}: {each}" for each in found)
        page.set_viewport_size(WIDE)

    def _axe(self, page: Any, kinds: list[str] | None, rules: dict[str, Any]) -> list[str]:
        """Of some elements of these kinds; None: of the whole page."""
        page.evaluate(AXE)
        found: list[str] = page.evaluate(SERIOUS, [kinds, rules])
        return found


def listed(text: str) -> list[str]:
    """Of the addresses that `tests.browser.addresses` wrote."""
    found: list[str] = json.loads(text)
    return found
