"""The time of one call: a single deadline, and the window in which another attempt may start.

    started            retry_until                              deadline
       |------ may start ----|--- an attempt that runs may finish ---|

The window is the retry timeout, which an operator of the stock gateway knows as
`-aiProcessingRetryTimeout`. Behind it there is room for one whole attempt, cold grace included, so that
an attempt started at the last moment is not cut short.
"""

from __future__ import annotations

import msgspec


class Budget(msgspec.Struct, frozen=True, gc=False):
    """All times in seconds: `retry_until`, `deadline` on the caller's clock, the rest lengths.

    `attempt_timeout`: one attempt's time to the commit point. `cold_grace`: added to it for an offer that
    is not known warm, which may have to load its model first.
    """

    retry_until: float
    deadline: float
    attempt_timeout: float
    cold_grace: float

    @classmethod
    def of(
        cls,
        now: float,
        retry_timeout: float,
        attempt_timeout: float,
        cold_grace: float,
        client_timeout: float | None = None,
        search_timeout: float | None = None,
    ) -> Budget:
        """The budget of a call that starts now. What a client asks for may only shorten it.

        `client_timeout`: the client's own time for the whole call. `search_timeout`: its time until an
        attempt starts (Livepeer-Orch-Search-Timeout).
        """
        search, whole = retry_timeout, retry_timeout + attempt_timeout + cold_grace
        if search_timeout is not None:
            # Of no time at all not even its first moment is left.
            search = min(search, search_timeout) if search_timeout > 0 else -1.0
        if client_timeout is not None:
            whole = max(0.0, min(whole, client_timeout))
        return cls(now + search, now + whole, attempt_timeout, cold_grace)

    def may_start(self, now: float) -> bool:
        """True while another attempt may start; the last moment of the retry timeout still counts."""
        return now <= self.retry_until and now < self.deadline

    def wait_until(self, since: float, seat_wait: float, *, tried: bool) -> float:
        """Until when a call that waits for a seat `since` then may go on: `seat_wait` seconds, so that a client
        is told early that all are busy. One that somebody failed already waits as long as another attempt may
        start: the only other way out for it is to fail.
        """
        last = min(self.retry_until, self.deadline)
        return last if tried else min(since + seat_wait, last)

    def allowance(self, now: float, warm: bool) -> float:
        """Seconds an attempt that starts now has to reach the commit point."""
        longest = self.attempt_timeout if warm else self.attempt_timeout + self.cold_grace
        return longest if now + longest < self.deadline else self.left(now)

    def left(self, now: float) -> float:
        """Seconds to the deadline, never below zero."""
        left = self.deadline - now
        return left if left > 0 else 0.0
