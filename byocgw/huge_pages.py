"""A worker's heap on huge pages.

What one request touches lies scattered over some 40 MB. On pages of 4 KB a core forgets from one request to
the next where they are, and looks most of them up anew: 5 % of a request's CPU at 2,000 a second, and a tenth
of its time.

Once, and only what is there when a worker has started: with MADV_HUGEPAGE the kernel would go on by itself, and
a worker would grow by what it has freed.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

SIZE = 2 * 1024 * 1024  # bytes, on x86 and ARM with pages of 4 KB
MADV_COLLAPSE = 25  # Linux 6.1, whatever /sys/kernel/mm/transparent_hugepage says; older ones answer EINVAL
# In /proc/self/maps: private memory of no file, to be written to. Where it lies, and "[heap]" or nothing.
_HEAP = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *(?:\[heap\])?$", re.MULTILINE)


def gather() -> int:
    """How many bytes are on huge pages now; 0 where the kernel does not do that."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:  # no Linux, or a container that hides it
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return sum(SIZE for place in _places(maps) if madvise(place, SIZE, MADV_COLLAPSE) == 0)


def _places(maps: str) -> Iterator[int]:
    for start, end in _HEAP.findall(maps):
        first = -(-int(start, 16) // SIZE) * SIZE
        yield from range(first, int(end, 16) - SIZE + 1, SIZE)
