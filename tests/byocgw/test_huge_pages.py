"""A worker's heap is on huge pages once it has started, where the kernel does that."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import pytest

from byocgw import huge_pages


def on_huge_pages(pid: int | str) -> int:
    """Bytes of a process that are on huge pages."""
    found = re.search(r"AnonHugePages: *(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text())
    return int(found[1]) * 1024 if found else 0


@pytest.fixture
def memory() -> mmap.mmap:
    """16 MB, of which each page was written to."""
    made = mmap.mmap(-1, 8 * huge_pages.SIZE, flags=mmap.MAP_PRIVATE)
    made.write(b"x" * len(made))
    return made


def test_it_gathers_what_is_there(memory: mmap.mmap):
    before = on_huge_pages("self")
    gathered = huge_pages.gather()
    if not gathered:
        pytest.skip("this kernel gathers no pages: it takes Linux 6.1")
    assert gathered % huge_pages.SIZE == 0
    assert on_huge_pages("self") - before >= huge_pages.SIZE
    assert memory[:] == b"x" * len(memory)
