"""How the gateway fares, on the console's first page: the checks of /readyz, of the worker that makes it."""

from __future__ import annotations

import time
from typing import Any

from django import template
from django.utils.translation import gettext as _

from orchestrators.display.states import word
from routing.readiness import Check, State, checks, overall
from routing.runtime import Runtime

register = template.Library()


@register.inclusion_tag("admin/gateway_state.html")
def gateway_state() -> dict[str, Any]:
    """Empty outside of a gateway: `runserver` serves no calls."""
    runtime = Runtime.running
    if runtime is None:
        return {}
    found = checks(runtime, time.monotonic(), time.time())
    rows = [(name.replace("_", " "), check.state.value, _told(check)) for name, check in found.items()]
    return {"overall": overall(found).value, "checks": rows, "well": overall(found) is State.OK}


def _told(check: Check) -> str:
    return ", ".join(
        f"{word(name).replace('_', ' ')} {_in_words(value)}" for name, value in check.figures.items()
    )


def _in_words(value: object) -> str:
    match value:
        case None:
            return _("never")
        case bool():
            return _("yes") if value else _("no")
        case list():
            return ", ".join(map(str, value)) or _("none")
    return str(value)
