"""What the tests of the supply side may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asgiref.sync import SyncToAsync
from django.db import connections


@pytest.fixture
def registry(shipped: None) -> Iterator[None]:
    """The shipped profiles and capabilities, for tests whose database work happens in a thread.

    That thread outlives the test and keeps a connection, which PostgreSQL would not let the database go for.
    """
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
