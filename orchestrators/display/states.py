"""Shape + word + colour: a state is told three ways, so that nobody depends on one of them."""

from __future__ import annotations

from typing import Literal

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.scorecard import Verdict
from orchestrators.models import Mode

Tone = Literal["good", "warn", "bad", "idle", "news"]

# good: a disc; warn: a diamond; bad: a square; idle: a ring; news: a triangle. See parts.css.
_TONES: dict[str, Tone] = {
    # where an offer stands (orchestrators.standing)
    "ready": "good",
    "ready, degraded": "warn",
    "claimed, on probation": "warn",
    "claimed, down": "bad",
    "claimed, never tried": "idle",
    "not claimed": "idle",
    "not probed yet": "idle",
    "off: not active": "idle",
    # health alone
    "healthy": "good",
    "degraded": "warn",
    "probation": "warn",
    "down": "bad",
    "unknown": "idle",
    # what people decided
    Mode.ACTIVE: "good",
    Mode.DRAINING: "warn",
    Mode.DISABLED: "idle",
    Mode.RETIRED: "idle",
    Mode.TRIAL: "news",
    Mode.DISCOVERED: "news",
    # what came of a contact, and of a call
    OutcomeClass.OK: "good",
    OutcomeClass.SLOW: "warn",
    OutcomeClass.COLD_START: "warn",
    OutcomeClass.BUSY: "idle",
    OutcomeClass.NOT_CLAIMED: "idle",
    OutcomeClass.CLIENT_ERROR: "idle",
    OutcomeClass.CANCELLED: "idle",
    # a trial
    Verdict.PASS: "good",
    Verdict.WARN: "warn",
    Verdict.FAIL: "bad",
    # a key
    "valid": "good",
    "revoked": "idle",
    "expired": "idle",
    "expires soon": "warn",
    "unused": "idle",
    # a class of candidates
    "second": "warn",
    "last_resort": "bad",
}


def tone(word: str) -> Tone:
    """What is not known here is a failure: classes of outcomes and codes of refusals."""
    return _TONES.get(word, "bad")


def word(name: str) -> str:
    """A name of the wire or of logs, such as an outcome's, if the reader's language has another word for it."""
    plain = name.replace("_", " ")
    shown = gettext(plain)
    return name if shown == plain else shown


def state(name: str, told: str = "", *, colour: Tone | None = None) -> SafeString:
    """The badge. `told`: the word to show, if another one; `colour`: instead of the word's own. Where the
    reader's language has another word for it, the one of logs and of the API is in the title."""
    if not name:
        return SafeString("")
    plain = (told or name).replace("_", " ")
    shown, kind = gettext(plain), colour or tone(name)
    if shown == plain:
        return format_html('<span class="state {}">{}</span>', kind, shown)
    return format_html('<span class="state {}" title="{}">{}</span>', kind, told or name, shown)
