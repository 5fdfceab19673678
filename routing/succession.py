"""Does this worker take another's place? gunicorn's master says so before it forks (byocgw/gunicorn.py).

The first workers of a server may fail to start: somebody is there to read why. A later one must not fail
because the database is away: gunicorn stops the whole server when a worker cannot boot.
"""

from __future__ import annotations

takes_a_place = False
