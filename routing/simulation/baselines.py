"""What others do with the same fleet. They see what a gateway sees; each docstring says what is left out.

None of them reads a body: an answer is what its status says. Unless told otherwise each attempt has the
profile's attempt timeout and cold grace, and a request the profile's number of attempts.
"""

from __future__ import annotations

from collections import Counter
from math import inf

from orchestrators.core.outcome import Fault
from routing.simulation.numbers import Numbers
from routing.simulation.stage import Course, Send, Sleep, Stage
from routing.simulation.world import Box, Reply

NOBODY = "nobody served it"


class Baseline:
    name = ""

    def __init__(self, stage: Stage, numbers: Numbers) -> None:
        self.stage = stage
        self.boxes = stage.boxes
        self.attempts = numbers.policy.max_attempts
        self.timeout = numbers.policy.attempt_timeout + numbers.policy.cold_grace
        self.active: Counter[int] = Counter()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.in_flight} in flight>"

    @property
    def in_flight(self) -> int:
        return self.active.total()

    def start(self) -> None:
        """Nothing runs in the background."""

    def serve(self, deadline: float) -> Course:
        raise NotImplementedError

    def send(self, box: Box, timeout: float) -> Course:
        self.active[box.id] += 1
        try:
            return (yield Send(box, timeout))
        finally:
            self.active[box.id] -= 1


class StockByoc(Baseline):
    """The stock BYOC gateway: every request asks all orchestrators for a token, and tries those with a
    free slot in the order in which the tokens came, without memory, limit of attempts or price. A 4xx is
    final; when all have failed the client gets an empty 200, which counts as a failure.

    Left out: payments; the panic after each off-chain success; tokens that come late (it waits for the
    slowest that answers, half a second where one cannot be reached).
    """

    name = "stock-byoc"

    def serve(self, deadline: float) -> Course:
        tokens = [(box.token(self.stage.now), box) for box in self.boxes]
        came = sorted(
            ((token.seconds, box.id, box) for token, box in tokens if token is not None and token.capacity)
        )
        yield Sleep(0.5 if len(came) < len(self.boxes) else came[-1][0])
        patience = deadline - self.stage.now + 5.0
        for _, _, box in came:
            reply: Reply = yield from self.send(box, patience)
            if reply.fault is None and reply.status < 500:
                return reply
        return NOBODY


class RoundRobin(Baseline):
    """Each request begins with the next in turn; a failed connection, 5xx or 429 moves on to the one
    after it. No memory of failures, no weights (nginx's default forgets a peer for 10 s after a failure:
    left out).
    """

    name = "round-robin"

    def __init__(self, stage: Stage, numbers: Numbers) -> None:
        super().__init__(stage, numbers)
        self._turn = 0

    def serve(self, deadline: float) -> Course:
        first, self._turn = self._turn, self._turn + 1
        reply: Reply | str = NOBODY
        for number in range(min(self.attempts, len(self.boxes))):
            box = self.boxes[(first + number) % len(self.boxes)]
            last: Reply = yield from self.send(box, self.timeout)
            if last.fault is None and last.status < 500 and last.status != 429:
                return last
            reply = last
        return reply


class LiteLlm(Baseline):
    """LiteLLM's router: a random one of those not cooling down, two retries, which may hit the same one.
    429, 401, 402, 404 and 408 (its time-out) cool a deployment at once; other failures when more than half
    of at least five calls of the clock minute failed; failed connections never; for 5 s. Other 4xx are
    final. All cooling down: refused.

    Left out: 100 % of 1,000 calls for a lone deployment, back-off (it sleeps only without siblings), usage
    and latency strategies.
    """

    name = "litellm"

    def __init__(self, stage: Stage, numbers: Numbers) -> None:
        super().__init__(stage, numbers)
        self._cooling: dict[int, float] = {}
        self._minute: dict[int, tuple[int, int, int]] = {}  # box -> (minute, failures, calls)

    def serve(self, deadline: float) -> Course:
        reply: Reply | str = NOBODY
        for _ in range(3):
            now = self.stage.now
            fit = [box for box in self.boxes if self._cooling.get(box.id, 0.0) <= now]
            if not fit:
                return reply
            box = fit[int(self.stage.draw() * len(fit))]
            last: Reply = yield from self.send(box, self.timeout)
            status = 408 if last.fault is Fault.NO_ANSWER else last.status
            self._note(box, status, connection=last.fault is not None and status != 408)
            if 200 <= status < 300 or (400 <= status < 500 and status not in (408, 409, 429)):
                return last
            reply = last
        return reply

    def _note(self, box: Box, status: int, *, connection: bool) -> None:
        failed = not 200 <= status < 300
        minute = int(self.stage.now // 60)
        of, failures, calls = self._minute.get(box.id, (minute, 0, 0))
        if of != minute:
            failures = calls = 0
        counts = failed and not connection and not (400 <= status < 500 and status != 408)
        failures, calls = failures + counts, calls + 1
        self._minute[box.id] = (minute, failures, calls)
        at_once = status in (401, 402, 404, 408, 429) and len(self.boxes) > 1
        cooling = self._cooling.get(box.id, 0.0) > self.stage.now
        # one that is cooling keeps its first deadline, as there
        if not cooling and (at_once or (counts and calls >= 5 and 2 * failures > calls)):
            self._cooling[box.id] = self.stage.now + 5.0


class Envoy(Baseline):
    """Envoy: least request of two drawn, outlier ejection after five 5xx in a row for 30 s times the
    number of times ejected (300 s at most), looked at every 10 s; at most 10 % of the hosts, but always
    one; below half of the hosts all are used (panic). Two retries on 5xx, reset, failed connection and
    429, with its jittered back-off; a retry may hit the same host.

    Left out: success-rate ejection (needs five hosts and 100 requests), the retry budget, active checks.
    """

    name = "envoy"

    def __init__(self, stage: Stage, numbers: Numbers) -> None:
        super().__init__(stage, numbers)
        self._in_a_row: Counter[int] = Counter()
        self._times: Counter[int] = Counter()
        self._ejected: dict[int, float] = {}

    def start(self) -> None:
        self.stage.spawn(self._sweep())

    def serve(self, deadline: float) -> Course:
        reply: Reply | str = NOBODY
        for number in range(3):
            if number:
                yield Sleep(min(0.025 * (2**number - 1), 0.25) * self.stage.draw())
            box = self._pick()
            last: Reply = yield from self.send(box, self.timeout)
            failed = last.fault is not None or last.status >= 500
            self._note(box, failed)
            if not failed and last.status != 429:
                return last
            reply = last
        return reply

    def _pick(self) -> Box:
        fit = [box for box in self.boxes if box.id not in self._ejected]
        pool = fit if 2 * len(fit) >= len(self.boxes) else self.boxes
        one, other = (pool[int(self.stage.draw() * len(pool))] for _ in range(2))
        return one if self.active[one.id] <= self.active[other.id] else other

    def _note(self, box: Box, failed: bool) -> None:
        self._in_a_row[box.id] = self._in_a_row[box.id] + 1 if failed else 0
        allowed = not self._ejected or (len(self._ejected) + 1) / len(self.boxes) <= 0.1
        if self._in_a_row[box.id] >= 5 and allowed and box.id not in self._ejected:
            self._times[box.id] += 1
            self._ejected[box.id] = self.stage.now + min(30.0 * self._times[box.id], 300.0)
            self._in_a_row[box.id] = 0

    def _sweep(self) -> Course:
        while True:
            yield Sleep(10.0)
            for box in self.boxes:
                if self._ejected.get(box.id, inf) <= self.stage.now:
                    del self._ejected[box.id]
                elif box.id not in self._ejected:
                    self._times[box.id] = max(0, self._times[box.id] - 1)


class Oracle(Baseline):
    """The bound: it knows the present state of every offer - price, faults and their rates, line, model -
    and not the future. It asks the one with the least (price x seconds + value of a second x seconds) /
    probability of success, within the ceiling; tells a wrong answer from a right one; where nobody can
    serve, it looks again ten times a second for as long as a retry may start.
    """

    name = "oracle"

    def __init__(self, stage: Stage, numbers: Numbers) -> None:
        super().__init__(stage, numbers)
        self._value = numbers.policy.value_of_second
        self._typical = numbers.policy.typical_seconds
        self._patience = numbers.policy.retry_timeout

    def serve(self, deadline: float) -> Course:
        tried: set[int] = set()
        until = self.stage.now + self._patience
        while len(tried) < self.attempts:
            box = self._best(tried)
            if box is not None:
                reply: Reply = yield from self.send(box, inf)
                if reply.good:
                    return reply
                tried.add(box.id)
            elif self.stage.now >= until:
                break
            else:
                yield Sleep(0.1)
        return NOBODY

    def _best(self, tried: set[int]) -> Box | None:
        now, ceiling = self.stage.now, self.stage.scenario.ceiling
        best, least = None, inf
        for box in self.boxes:
            price, chance = box.price_at(now), box.success(now)
            if box.id in tried or chance <= 0 or (ceiling is not None and price > ceiling):
                continue
            seconds = box.expected(now)
            adjusted = (price.wei / price.units * self._typical + self._value * seconds) / chance
            if adjusted < least:
                best, least = box, adjusted
        return best


BASELINES: dict[str, type[Baseline]] = {
    each.name: each for each in (StockByoc, RoundRobin, LiteLlm, Envoy, Oracle)
}
