"""One file of the journal, open and locked for as long as this object lives.

Its first line says its name, `<node>-<time_ns>-<uuid>.journal`, by which its mark is kept: a file that
somebody renames stays the same file.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
import uuid
from pathlib import Path

from routing.journal.records import seal, unseal

SUFFIX = ".journal"


class Segment:
    """A file whose lock we hold.

    `name`: what its mark is kept under. `whole`: where its last whole line ends. `drained`: the bytes
    known to be in the database; the mark may be further if a commit's answer was lost. Bytes both.
    """

    def __init__(self, path: Path, fd: int, name: str) -> None:
        self.path = path
        self.name = name
        self.whole = 0
        self.drained = 0
        self._fd = fd
        self._torn = False
        self._synced = 0

    def __repr__(self) -> str:
        return f"<Segment {self.name} {self.drained}/{self.whole}>"

    @classmethod
    def create(cls, folder: Path, node: str) -> Segment:
        """A new file of this node. OSError if the disk will not."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            name = f"{node}-{time.time_ns():020d}-{uuid.uuid4().hex}{SUFFIX}"
            path = folder / name
            flags = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC
            segment = cls(path, os.open(path, flags, 0o600), name)
            try:
                # An adopter that came in between has the lock, or has unlinked the file already.
                if segment._lock() and os.fstat(segment._fd).st_nlink:
                    segment.append(seal(json.dumps({"file": name}).encode()))
                    segment.drained = segment.whole
                    return segment
            except OSError:
                path.unlink(missing_ok=True)
                segment.close()
                raise
            segment.close()

    @classmethod
    def adopt(cls, path: Path) -> Segment | None:
        """A file nobody holds any more; None if its owner lives, or it is gone."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        segment = cls(path, fd, path.name)
        try:
            if not segment._lock() or not os.fstat(fd).st_nlink:
                segment.close()
                return None
            segment.whole = os.fstat(fd).st_size
            segment.name, segment.drained = _first_line(fd) or (path.name, 0)
        except OSError:
            segment.close()
            raise
        return segment

    def append(self, line: bytes) -> None:
        """One line, in one write. OSError if not all of it went to the disk.

        What a short write left has no newline, so nobody reads it; the next line takes its place.
        """
        if self._torn:
            os.ftruncate(self._fd, self.whole)
            self._torn = False
        if os.write(self._fd, line) < len(line):
            self._torn = True
            raise OSError(errno.ENOSPC, "The disk took only part of a line.")
        self.whole += len(line)

    def sync(self) -> None:
        """Wait until the disk itself has every whole line, and the file's name."""
        whole = self.whole
        if self._synced == whole:
            return
        os.fdatasync(self._fd)
        if not self._synced:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            os.fsync(folder)
            os.close(folder)
        self._synced = whole

    def lines(self, start: int, most: int) -> tuple[list[bytes], int]:
        """The whole lines among `most` bytes from `start`, without newlines, and where they end; no blanks."""
        chunk = os.pread(self._fd, most, start)
        end = chunk.rfind(b"\n") + 1
        if not end and len(chunk) == most:
            end = most  # no line of ours is that long: damage, and it must not block what follows
        return [line for line in chunk[:end].split(b"\n") if line and not line.isspace()], start + end

    def reject(self, line: bytes) -> None:
        """Set a line aside, for people. OSError as ever."""
        aside = self.path.with_name(f"{self.name}.rejected")
        fd = os.open(aside, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, line + b"\n") <= len(line):
                raise OSError(errno.ENOSPC, "The disk took only part of a rejected line.")
        finally:
            os.close(fd)

    def in_place(self) -> bool:
        """Whether our file is still what stands at its path: not renamed, not deleted by somebody."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def remove(self) -> None:
        """The end of a drained file. Emptied first: were it renamed, nobody could apply it once more."""
        os.ftruncate(self._fd, 0)
        if self.in_place():
            self.path.unlink()

    def close(self) -> None:
        """Give up the file and its lock."""
        os.close(self._fd)

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def name_in(path: Path) -> str:
    """The name a file gives itself, or the one it has."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return path.name
    try:
        first = _first_line(fd)
        return first[0] if first else path.name
    finally:
        os.close(fd)


def _first_line(fd: int) -> tuple[str, int] | None:
    """The name in a file's first line, and where that line ends; None without a good one."""
    line, newline, _ = os.pread(fd, 4096, 0).partition(b"\n")
    try:
        return str(unseal(line)["file"]), len(line) + len(newline)
    except (ValueError, TypeError, KeyError):
        return None
