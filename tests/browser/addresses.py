"""Every screen of a seeded console, for browsers to open: `python -m tests.browser.addresses` writes JSON.

Those that an Administrator may open, and some further views. What was done to a row is told by the same page
for every model: one of them stands for all.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import django

BESIDES = (
    *("/admin/search/?q=gpu", "/admin/playground/?capability=depth", "/admin/routing/job/?q=nobody"),
    *("/admin/routing/job/?code=failed", "/admin/routing/attempt/?p=2", "/admin/orchestrators/offer/?p=2"),
)
# A part of a page; and what goes on to another page for whoever has no second factor.
PARTS = ("/admin/dashboard/", "/admin/verify/")


def addresses(client: Any) -> Iterator[str]:
    from tests.support.screens import addresses as of_all

    for address in of_all():
        if address in PARTS or "/history/" in address and "/orchestrator/" not in address:
            continue
        answer = client.get(address + ("?id=1&id=2" if "/steer/" in address else ""))
        if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
            yield answer.wsgi_request.get_full_path()
    yield from BESIDES


def main() -> None:
    from django.contrib.auth.models import User
    from django.test import Client

    logging.disable()  # of what nobody may open
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username="admin"))
    json.dump(list(addresses(client)), sys.stdout)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
    django.setup()
    main()
