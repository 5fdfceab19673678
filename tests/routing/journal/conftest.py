from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routing.journal import Journal
from tests.routing.journal.cast import MakeJournal


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[MakeJournal]:
    """Journals in one folder; each is a worker of its own as far as locks are concerned."""
    made: list[Journal] = []

    def make(node: str = "here", **options: Any) -> Journal:
        made.append(Journal(tmp_path, node, **options))
        return made[-1]

    yield make
    for journal in made:
        journal.close()
