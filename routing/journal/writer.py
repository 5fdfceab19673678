"""Journal: the segments of one worker. The event loop appends, one background thread drains."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from django.db import Error

from routing.journal import store
from routing.journal.records import JobRecord, beginning_of, job_of, line_of
from routing.journal.sample import Sample
from routing.journal.segment import SUFFIX, Segment

logger = logging.getLogger(__name__)

# More than come between two drains: a few megabytes.
REMEMBERED = 2000
# Bytes that wait, at 250 a line. Few are drained at once. A drain has costs of its own, so more are left to
# gather, but not for longer than `PATIENCE` seconds, nor until they are no longer remembered.
FEW = 8 * 1024
MANY = 256 * 1024
PATIENCE = 1.0
# A disk that takes so many bytes again is no longer full: more than most records have.
PROBE = 4096


class State(StrEnum):
    WRITING = "writing"
    DROPPING = "dropping"  # the disk takes no records: they are counted, and their calls answered all the same


class Journal:
    """Make it after the fork: the lock of its file would be shared with every child.

    `folder`: on a local disk (flock), made if missing; OSError if it cannot be. A disk that is merely
    full does not stop the start. `node`: this machine's name, unique on its database.
    `segment_bytes`: a file that grew over it is followed by a new one. `rows_a_second`: see Sample.
    `clock`: monotonic seconds.

    To be read from any thread: `state`, `backlog`, `lag`, `due`, and counts since the start: `dropped`, records
    that could not be written; `rejected`, lines the database will never take; `adopted`, files of the dead.
    """

    def __init__(
        self,
        folder: Path,
        node: str,
        segment_bytes: int = 64 * 1024 * 1024,
        *,
        rows_a_second: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.node = node
        self.segment_bytes = segment_bytes
        self.dropped = 0
        self.rejected = 0
        self.adopted = 0
        self._sample = Sample(rows_a_second)
        self._clock = clock
        self._level_at = clock()  # what was written before is in the database
        self._latest: deque[bytes] = deque(maxlen=REMEMBERED)  # lines: a tenth of what the records take
        self._live: Segment | None = None
        self._queue: deque[Segment] = deque()  # rolled and adopted: locked by us until they are drained
        self._complained: set[Path] = set()
        self._forgot = False
        self._dropping = False
        self._closed = False
        self._writing = threading.Lock()  # guards _live and the counting of what is written
        self._draining = threading.Lock()  # one drain at a time; close() waits for it
        self._started()

    def __repr__(self) -> str:
        return f"<Journal {self.folder} {self.state} backlog={self.backlog} dropped={self.dropped}>"

    @property
    def state(self) -> State:
        return State.DROPPING if self._dropping else State.WRITING

    @property
    def backlog(self) -> int:
        """Bytes that wait for the database, in the files we hold."""
        return sum(each.whole - each.drained for each in self._held())

    @property
    def lag(self) -> float:
        """For how many seconds, at most, the oldest waiting line has waited; 0 if none does."""
        return self._clock() - self._level_at if self.backlog else 0.0

    @property
    def due(self) -> bool:
        """Whether a drain is worth its cost; when nothing waits it looks for files of the dead."""
        return not FEW < self.backlog < MANY or self.lag >= PATIENCE

    def append(self, record: JobRecord) -> bool:
        """Write one line. Never raises: False means it is dropped, counted and logged."""
        self._writing.acquire()  # `with` takes a thousand instructions more
        try:
            line = line_of(record)
            self._latest.append(line)
            self._segment().append(line)
        except Exception as exc:  # bookkeeping must not cost the client its answer
            self.dropped += 1
            self._drop(exc)
            return False
        else:
            if self._dropping:
                self._write_again()
            return True
        finally:
            self._writing.release()

    def recall(self, request_id: str) -> JobRecord | None:
        """One of the latest records of this worker, drained or not, as its line has it."""
        start = beginning_of(request_id)
        for line in reversed(tuple(self._latest)):  # a copy: `append` goes on meanwhile
            if line.startswith(start, 9):
                return job_of(line)
        return None

    def drain(self) -> bool:
        """One batch: rolled and adopted files first, then our live one. True when there is more.

        django.db.Error when the database is away: nothing is lost or applied twice; call again later, with
        a fresh connection.
        """
        with self._draining:
            if self._closed:
                return False
            began = self._clock()
            if self._dropping:
                self._recover()
            if not self._forgot:
                store.forget(self.folder, self.node)
                self._forgot = True
            if self._queue and self._advance():
                return True
            if self._drain_live():
                return True
            if not self._queue:
                self._level_at = began
            return self._adopt()

    def sync(self) -> None:
        """Let the disk itself have what is written, against a loss of power. For a thread of its own: it may
        take long, and neither `append` nor `drain` waits for it."""
        for segment in self._held():
            try:
                segment.sync()
            except OSError as exc:
                if segment in self._held():  # else its file was closed meanwhile: all of it is drained
                    self._complain(segment.path, exc)

    def close(self, *, drain: bool = False) -> None:
        """Give up every file; those that are drained go. What is left is adopted by another worker.

        `drain`: apply first what can be applied; then call it where a drain may run. Without it no
        database is touched, and if a drain is under way its files stay locked until the process ends.
        An error of database or disk is logged, not raised. Later records are dropped.
        """
        with self._writing:
            self._closed = True
        if not self._draining.acquire(blocking=drain):
            return
        with self._writing:
            if self._live:
                self._queue.append(self._live)
            self._live = None
        if drain:
            self._last_drain()
        while self._queue:
            self._give_up(self._queue.popleft())
        self._draining.release()

    def _held(self) -> list[Segment]:
        live = self._live
        return [*self._queue, *([live] if live else [])]

    def _last_drain(self) -> None:
        try:
            while self._queue and self._advance():
                pass
        except Error as exc:
            logger.warning("journal: %d bytes are left for another worker: %s", self.backlog, exc)

    def _started(self) -> None:
        """Open the first file now, while file descriptors are plenty."""
        try:
            self._segment()
        except OSError as exc:
            self._drop(exc)

    def _segment(self) -> Segment:
        """The file to write to; a new one when the last is full. Called with `_writing` held."""
        if self._closed:
            raise OSError("The journal is closed.")
        if self._live is None:
            self._live = Segment.create(self.folder, self.node)
        elif self._live.whole > self.segment_bytes:
            try:
                following = Segment.create(self.folder, self.node)
            except OSError:
                return self._live  # better too long a file than a lost record
            self._queue.append(self._live)
            self._live = following
        return self._live

    def _drop(self, why: Exception) -> None:
        """One line per change of state, not per record."""
        if not self._dropping:
            self._dropping = True
            logger.error("journal: records are being dropped (%d so far): %s", self.dropped, why)

    def _write_again(self) -> None:
        self._dropping = False
        logger.warning("journal: writes again; %d records were dropped so far", self.dropped)

    def _advance(self) -> bool:
        """One batch of the first file in the queue; the file goes when nothing is left in it.

        False if the disk fails: the file is tried again after the others.
        """
        segment = self._queue[0]
        try:
            if not self._drain(segment):
                store.finish(segment)
                self._queue.popleft().close()
        except OSError as exc:
            self._complain(segment.path, exc)
            self._queue.rotate(-1)
            return False
        return True

    def _drain_live(self) -> bool:
        live = self._live
        if live is None:
            return False
        if not live.in_place():
            self._abandon(live)
        return live.drained < live.whole and self._drain(live)

    def _abandon(self, live: Segment) -> None:
        """Somebody moved or deleted the live file: write to a new one. Its lines are still drained."""
        logger.error("journal: %s was moved or deleted; a new file follows", live.path)
        with self._writing:
            if self._live is live:  # else it has just been rolled
                self._queue.append(live)
                self._live = None

    def _recover(self) -> None:
        """Without traffic nobody would notice that the disk has room again, and a gateway that says it is
        not ready gets none. A live file that is drained goes: its room may be all there is."""
        with self._writing:
            live = self._live
            if live and live.drained == live.whole > PROBE:
                self._queue.append(live)
                self._live = None
                return  # this drain removes it, the next one looks
            try:
                self._segment().append(b"%*s\n" % (PROBE, b""))
            except OSError:
                return
            if self._dropping:
                self._write_again()

    def _drain(self, segment: Segment) -> bool:
        drained = store.drain_batch(segment, self._sample)
        self.rejected += drained.rejected
        return drained.more

    def _adopt(self) -> bool:
        """Take over one file that nobody holds. Our own are locked: passed over like anybody's."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                segment = Segment.adopt(path)
            except OSError as exc:
                self._complain(path, exc)
                continue
            if segment:
                logger.info("journal: adopted %s", path.name)
                self.adopted += 1
                self._queue.append(segment)
                return True
        return False

    def _complain(self, path: Path, why: OSError) -> None:
        if path not in self._complained:
            self._complained.add(path)
            logger.error("journal: %s cannot be read, synced or removed: %s", path, why)

    def _give_up(self, segment: Segment) -> None:
        """Its mark, if any, is forgotten at this node's next start."""
        try:
            if segment.drained == segment.whole:
                segment.remove()
        except OSError as exc:
            logger.warning("journal: %s stays: %s", segment.path, exc)
        segment.close()
