"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio
from asgiref.sync import SyncToAsync
from django.apps import apps
from django.conf import settings as django_settings
from django.db import connection, connections
from hypothesis import settings

from orchestrators.models import RoutingProfile
from routing import dashboard
from tests.support.gateway import Gateway

# An example that takes long is one on a busy machine.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SHIPPING = ("0002_shipped_profiles_and_capabilities", "0004_shipped_signatures")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL only what touches the database: the rest would prove the same once more."""
    if connection.vendor != "sqlite":
        config.hook.pytest_deselected(items=[item for item in items if not _touches_database(item)])
        items[:] = filter(_touches_database, items)


def _touches_database(item: pytest.Item) -> bool:
    """Ours, or one that the test's own processes are given."""
    names = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(
        names & {"db", "transactional_db", "database"}
    )


def pytest_unconfigure() -> None:
    """Django removes the test database, but not what SQLite keeps beside it while a thread has it open."""
    for left in django_settings.LOCAL_DIR.glob(f"test-{os.getpid()}.*"):
        left.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def no_table_is_kept() -> None:
    """The console keeps the table of a policy number; each test's database counts from the start."""
    dashboard._kept.clear()


@pytest.fixture
def shipped(transactional_db: None) -> Iterator[None]:
    """The shipped profiles, capabilities and signatures, which the flush after another test has taken away.

    The thread of a test's own database work outlives it and keeps a connection, which PostgreSQL would not
    let the database go for.
    """
    if not RoutingProfile.objects.exists():
        for name in SHIPPING:
            migration = import_module(f"orchestrators.migrations.{name}")
            migration.ship(apps, SimpleNamespace(connection=connection))
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest_asyncio.fixture
async def gateway(tmp_path: Path, settings: object, shipped: None) -> AsyncIterator[Gateway]:
    """A running gateway on a registry of the shipped profiles and capabilities, with a key."""
    settings.BYOCGW_JOURNAL_DIR = tmp_path / "journal"  # type: ignore[attr-defined]
    async with Gateway() as running:
        await running.issue_key("acme")
        yield running
