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
elsewhere = get_asgi_application()

# Models are importable only now.
from routing.api.door import Door  # noqa: E402
from routing.runtime import Runtime  # noqa: E402

application = door = Door(Runtime(), elsewhere)
