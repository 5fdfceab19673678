"""What clients have spent of this worker's share of their budgets, in a file that outlives the worker.

    <journal folder>/<node>-<slot>-of-<slots>.purses      one line a client and period, rewritten in place

Each worker of a node holds one of as many slots as there are workers, and may spend a like share of each
budget; whoever takes a slot goes on from what was spent in it. Where there were more workers, or fewer, what
they spent is shared out evenly first. So the workers together never spend more than the budget, across
restarts and `kill -9`, and with one worker the budget is exact. A line is written by one `os.pwrite` (some
2 us) when a call of a client with a budget ends.

A worker that drains gives up its slot once no more calls begin, with what its last ones may still cost counted
as spent: its successor is waiting for it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from routing.core.limits import Purse

logger = logging.getLogger(__name__)

SUFFIX = ".purses"
_LINE = re.compile(rb" *(\d+) (\d{4}-\d\d(?:-\d\d)?) * (\d+) *\n")
_NAME = re.compile(r"\d+(-of-(?P<slots>\d+))?" + re.escape(SUFFIX))  # without a number: of an earlier version
_FORM = b"%12d %-10s %40d\n"
_WIDTH = len(_FORM % (0, b"", 0))

Key = tuple[int, str]  # client id; the day as 2026-11-25, or the month as 2026-11


class Purses:
    """`folder`: on a local disk. `slots`: workers of this node. Nothing is spent before `claim` succeeded."""

    def __init__(self, folder: Path, node: str, slots: int) -> None:
        self._folder, self._node, self._slots = folder, node, slots
        self._fd: int | None = None
        self._purses: dict[Key, Purse] = {}
        self._places: dict[Key, int] = {}  # where in the file
        self._failing = False

    def __repr__(self) -> str:
        return f"<Purses {len(self._purses)}, slot {'held' if self.held else 'not held'}>"

    @property
    def held(self) -> bool:
        return self._fd is not None

    def claim(self, periods: frozenset[str]) -> bool:
        """Take a free slot, with what was spent in it in these periods, or in later ones: a machine's clock may
        begin behind, or be ahead (`allowances.periods_since`). OSError if the disk will not."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._share_out():
            return False
        for slot in range(self._slots):
            fd = _locked(self._path(slot))
            if fd is not None:
                spent = _read(fd)
                self._begin(fd, {key: wei for key, wei in spent.items() if not _is_over(key[1], periods)})
                return True
        return False

    def purse(self, client_id: int, period: str) -> Purse:
        key = (client_id, period)
        found = self._purses.get(key)
        if found is None:
            self._forget_before(key)
            found = self._purses[key] = Purse()
        return found

    def _forget_before(self, key: Key) -> None:
        """The client's earlier days or months, but the latest, to which a clock that is ahead may be put back,
        and those that a call in flight is still to be settled with."""
        earlier = sorted(
            (client_id, period)
            for client_id, period in self._purses
            if client_id == key[0] and len(period) == len(key[1]) and period < key[1]
        )
        for each in earlier[:-1]:
            if not self._purses[each].reserved:
                del self._purses[each]
                if each in self._places and key not in self._places:
                    self._places[key] = self._places.pop(each)

    def write(self, client_id: int, period: str) -> None:
        """Keep what this purse says. A disk that refuses is told of once; memory counts on."""
        if self._fd is None:
            return  # given up: the successor counts it as spent already
        key = (client_id, period)
        place = self._places.setdefault(key, len(self._places) * _WIDTH)
        line = _FORM % (*_printed(key), self._purses[key].spent)
        try:
            os.pwrite(self._fd, line, place)
        except OSError as exc:
            if not self._failing:
                logger.error("budgets: what is spent cannot be written: %s; a restart would forget it", exc)
            self._failing = True
        else:
            self._failing = False

    def give_up(self) -> None:
        """Let the next worker have the slot; what is in flight counts as spent in full."""
        if self._fd is None:
            return
        for (client_id, period), purse in self._purses.items():
            if purse.reserved:
                purse.spent, purse.reserved = purse.spent + purse.reserved, 0
                self.write(client_id, period)
        os.close(self._fd)
        self._fd = None

    def _begin(self, fd: int, spent: dict[Key, int]) -> None:
        self._fd = fd
        self._purses = {key: Purse(wei) for key, wei in spent.items()}
        self._places = {}
        for key in spent:
            self.write(*key)
        os.ftruncate(fd, len(spent) * _WIDTH)

    def _share_out(self) -> bool:
        """What was spent in slots of another number of workers, over all of ours. False: one of them lives."""
        former = [path for path in self._folder.glob(f"{self._node}-*{SUFFIX}") if self._is_former(path)]
        if not former:
            return True
        with ExitStack() as locks:
            total: Counter[Key] = Counter()
            for path in former:
                fd = _locked(path)
                if fd is None:
                    return False
                locks.callback(os.close, fd)
                total.update(_read(fd))
            lines = [_FORM % (*_printed(key), -(-wei // self._slots)) for key, wei in total.items()]
            # Broken off anywhere, it is begun anew: the former files go last, and none of ours is made twice.
            for path in map(self._path, range(self._slots)):
                if not path.exists():
                    made = path.with_suffix(".new")
                    made.write_bytes(b"".join(lines))
                    made.rename(path)
            for path in former:
                path.unlink(missing_ok=True)
        return True

    def _is_former(self, path: Path) -> bool:
        found = _NAME.fullmatch(path.name.removeprefix(f"{self._node}-"))
        return found is not None and found["slots"] != str(self._slots)

    def _path(self, slot: int) -> Path:
        return self._folder / f"{self._node}-{slot}-of-{self._slots}{SUFFIX}"


def _printed(key: Key) -> tuple[int, bytes]:
    return key[0], key[1].encode()


def _is_over(period: str, periods: frozenset[str]) -> bool:
    return all(period < each for each in periods if len(each) == len(period))


def _locked(path: Path) -> int | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _read(fd: int) -> dict[Key, int]:
    """What can be read. A line never written whole is none; of two for one purse the larger counts."""
    spent: dict[Key, int] = {}
    for client, period, wei in _LINE.findall(os.pread(fd, os.fstat(fd).st_size, 0)):
        key = (int(client), period.decode())
        spent[key] = max(int(wei), spent.get(key, 0))
    return spent
