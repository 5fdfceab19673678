"""Which finished calls become rows of Job and Attempt when there are too many of them."""

from __future__ import annotations

from routing.journal.records import JobRecord


class Sample:
    """Of the plain successes of each second, the first `most`; 0: all. Whatever went wrong is always kept.

    A plain success was served at the first attempt. The exact sums of UsageHour count every call. A second is
    one of arrivals, so what is kept does not depend on when the journal is drained.
    """

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._second = 0
        self._kept = 0

    def keeps(self, record: JobRecord) -> bool:
        if not self._most or record.code != "ok" or len(record.attempts) != 1:
            return True
        second = int(record.at)
        if second != self._second:
            self._second, self._kept = second, 0
        self._kept += 1
        return self._kept <= self._most
