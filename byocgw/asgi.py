"""The front door: the data plane and the process's life go to `routing`, everything else to Django.

.venv/bin/gunicorn -c python:byocgw.gunicorn byocgw.asgi:application
"""

from __future__ import annotations

import os
import sys

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Django REST framework loads PostgreSQL's driver wherever it is installed: 8 MB of each worker.
    sys.modules.setdefault("psycopg", None)  # type: ignore[arg-type]
django_application = get_asgi_application()

# Models are importable only now.
from routing.api.door import Door, Receive, Send  # noqa: E402
from routing.api.request import Scope  # noqa: E402
from routing.api.routes import is_data_plane  # noqa: E402
from routing.runtime import Runtime  # noqa: E402

door = Door(Runtime())


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3."""
    if scope["type"] == "http":
        if is_data_plane(scope["path"]):
            await door(scope, receive, send)
        else:
            await django_application(scope, receive, send)  # type: ignore[arg-type]
    elif scope["type"] == "lifespan":
        await door.lifespan(scope, receive, send)
    # WebSockets are refused by returning: the server closes the handshake with 403
