"""Whoever leaves the console alone for BYOCGW_SESSION_IDLE minutes logs in again.

The moment of the latest request is kept in the session, to the minute: one write a minute at most. The
dashboard fetches itself again and again, which is nobody's doing and keeps no session alive.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

LATEST = "latest"
MINUTE = 60.0


class IdleMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.limit = settings.BYOCGW_SESSION_IDLE * MINUTE

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if self.limit and request.user.is_authenticated:
            idle = time.time() - request.session.get(LATEST, 0.0)
            if idle > self.limit:
                logout(request)
            elif idle > MINUTE and request.path != reverse("admin:dashboard"):
                request.session[LATEST] = time.time()
        return self.get_response(request)


@receiver(user_logged_in)
def note_log_in(request: HttpRequest, **_: Any) -> None:
    request.session[LATEST] = time.time()
