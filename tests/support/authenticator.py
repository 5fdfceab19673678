"""The app on a person's phone, as far as the gateway can tell."""

from __future__ import annotations

import time
from base64 import b32decode

from django_otp.oath import TOTP

STEP = 30  # seconds


class Authenticator:
    """Made of the secret as the page shows it. No code is shown twice, since none is taken twice.

    What it shows is taken at least half a minute long, on either side of a boundary between two steps.
    """

    def __init__(self, secret: str) -> None:
        self._key = b32decode(secret.replace(" ", ""))
        self._last = -1

    def code(self) -> str:
        """Of this step, or of the first that is later than the last one shown: one ahead is taken too."""
        self._last = max(self._last + 1, int(time.time() // STEP))
        return self._of(self._last)

    def wrong_code(self) -> str:
        """None of those near now."""
        now = int(time.time() // STEP)
        near = {self._of(step) for step in range(now - 3, now + 4)}
        return next(text for text in map("{:06}".format, range(len(near) + 1)) if text not in near)

    def _of(self, step: int) -> str:
        made = TOTP(self._key, step=STEP)
        made.time = step * STEP
        return f"{made.token():06}"
