"""Which workers of this node live: each holds a lock that its death, however it comes, lets go of.

    <journal folder>/<node>-<chance>.life      empty

So `kill -9` is noticed at once, and a worker that is merely slow, or cut off from the database, is not buried.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

SUFFIX = ".life"


class Life:
    """This worker's own: begun when it is made, after the fork. OSError if the disk will not.

    `name`: unique among the workers of all nodes.
    """

    def __init__(self, folder: Path, node: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._node = folder, node
        self.name = f"{node}:{secrets.token_hex(8)}"
        path = self._path(self.name)
        unseen = path.with_suffix(".new")  # until it is locked: a file that nobody holds means a death
        self._fd = os.open(unseen, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unseen.rename(path)

    def __repr__(self) -> str:
        return f"<Life {self.name}>"

    def end(self) -> None:
        self._path(self.name).unlink(missing_ok=True)
        os.close(self._fd)

    def is_over(self, name: str) -> bool:
        """Whether a worker is dead. Of another node's nothing is known here: False."""
        if name == self.name or name.rpartition(":")[0] != self._node:
            return False
        path = self._path(name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def sweep(self) -> None:
        """Take away what dead workers of this node left behind. Their rows are to be buried first."""
        for path in self._folder.glob(f"{self._node}-*{SUFFIX}"):
            name = f"{self._node}:{path.name.removeprefix(f'{self._node}-').removesuffix(SUFFIX)}"
            if self.is_over(name):
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        node, _, chance = name.rpartition(":")
        return self._folder / f"{node}-{chance}{SUFFIX}"
