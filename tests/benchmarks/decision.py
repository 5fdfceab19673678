"""One decision: view, sift, rank and decide, for 10 and for 100 offers; and 200,000 of them in a row.

    .venv/bin/python -m tests.benchmarks.decision

No network, no database. A median above its bound, or memory that grows with the number of requests, is
exit status 1. The offers are as traffic leaves them: full windows, latencies of their own, a few down; and
between two decisions there is traffic: the call before them ended, was judged, and another one is under way.
Times are CPU time of the thread.
"""

from __future__ import annotations

import gc
import os
import random
import statistics
import sys
import time
from collections import deque

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
django.setup()

from orchestrators.core.contract import Contract  # noqa: E402  Django first
from orchestrators.core.outcome import Outcome, OutcomeClass  # noqa: E402
from orchestrators.core.price import Price, Unit  # noqa: E402
from orchestrators.scoreboard import Scoreboard, Seat, Written  # noqa: E402
from orchestrators.upstream.base import Target  # noqa: E402
from routing.candidates import view  # noqa: E402
from routing.core.budget import Budget  # noqa: E402
from routing.core.failover import Deliver, GiveUp, Try, decide  # noqa: E402
from routing.core.selection import choose  # noqa: E402
from routing.table import CapabilityPolicy, Lane, OfferEntry  # noqa: E402

BOUNDS = {10: 80.0, 100: 600.0}  # offers -> microseconds, of the median
TIMED, REQUESTS, CHECKPOINTS = 5_000, 200_000, 4
MOST_GROWTH = 1_000  # blocks between the second checkpoint and the last: what any process breathes
START = 1_800_000_000.0
GWEI = 10**9

POLICY = CapabilityPolicy(
    id=1,
    slug="depth",
    description="",
    profile="per-frame",
    max_attempts=3,
    retry_timeout=12.0,
    attempt_timeout=3.0,
    cold_grace=15.0,
    latency_target=0.05,
    seat_wait=0.5,
    fresh_for=120.0,
    value_of_second=300 * GWEI,
    typical_seconds=0.05,
    stateful=False,
    contract=Contract(),
    content_types=(),
    sample_path=None,
)


def lane_of(number: int) -> Lane:
    offers = tuple(
        OfferEntry(
            id=each,
            orchestrator=f"orchestrator-{each}",
            orchestrator_id=each,
            target=Target(f"https://{each}.invalid:8935", "byoc", "depth"),
            price=Price(each * GWEI, 1, Unit.SECOND),
            claimed=True,
            seats=8,
            share=1.0,
        )
        for each in range(1, number + 1)
    )
    return Lane(POLICY, offers, (), None, True)


def lived(lane: Lane, dice: random.Random) -> Scoreboard:
    """A board on which every offer has a history of 64 contacts; one in ten is down."""
    board = Scoreboard(dice.random)
    for offer in lane.offers:
        for contact in range(64):
            answer = Outcome(OutcomeClass.OK, status=200, latency=dice.uniform(0.01, 0.04))
            board.observe(offer.id, answer, now=START - 30 + contact * 0.4)
        if offer.id % 10 == 0:
            for _ in range(2):
                board.observe(offer.id, Outcome(OutcomeClass.TIMEOUT), now=START - 1)
    board.collect()
    return board


def decided(lane: Lane, board: Scoreboard, dice: random.Random, now: float) -> Try | Deliver | GiveUp:
    candidates = view(lane, board, policy_number=1, now=now)
    ranked, _ = choose(
        candidates,
        now=now,
        stateful=False,
        draws=(dice.random(), dice.random(), dice.random()),
    )
    budget = Budget.of(
        now,
        retry_timeout=POLICY.retry_timeout,
        attempt_timeout=POLICY.attempt_timeout,
        cold_grace=POLICY.cold_grace,
    )
    return decide(ranked, (), budget=budget, max_attempts=3, stateful=False, now=now)


def timed(number: int) -> tuple[float, float]:
    """(median, 99th percentile) in microseconds."""
    dice = random.Random(number)
    lane = lane_of(number)
    board = lived(lane, dice)
    took, now, seats = [], START, deque[Seat](maxlen=2)
    for _ in range(TIMED):
        now += 0.05
        began = time.thread_time_ns()
        step = decided(lane, board, dice, now)
        took.append((time.thread_time_ns() - began) / 1000)
        if not isinstance(step, Try) or (seat := board.seat(step.candidate.offer_id, 8)) is None:
            raise RuntimeError(f"nobody can be asked: {step}")
        if len(seats) == 2:
            seats[0].release()
        seats.append(seat)
        answer = Outcome(OutcomeClass.OK, status=200, latency=dice.uniform(0.01, 0.04))
        board.observe(step.candidate.offer_id, answer, now=now)
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


def blocks_after() -> list[int]:
    """Allocated blocks of memory at every checkpoint of a long run: seats, outcomes, news and all."""
    dice = random.Random(7)
    lane = lane_of(10)
    board, now, found = lived(lane, dice), START, []
    for request in range(1, REQUESTS + 1):
        now += 0.005
        step = decided(lane, board, dice, now)
        if isinstance(step, Try):
            seat = board.seat(step.candidate.offer_id, step.candidate.seats)
            failed = dice.random() < 0.05
            outcome = Outcome(OutcomeClass.GPU_OOM if failed else OutcomeClass.OK, latency=dice.random() / 30)
            path = b"path/%d" % (request % 1000)
            board.observe(step.candidate.offer_id, outcome, now=now, served=path)
            if seat is not None:
                seat.release()
        if request % 100 == 0 and (news := board.collect()) is not None:
            board.settle(news, Written([], 1))
        if request % (REQUESTS // CHECKPOINTS) == 0:
            gc.collect()
            found.append(sys.getallocatedblocks())
    return found


def main() -> int:
    good = True
    for number, bound in BOUNDS.items():
        median, p99 = timed(number)
        good &= median <= bound
        print(f"{number:>4} offers: median {median:.1f} us (at most {bound:.0f}), p99 {p99:.1f} us")
    blocks = blocks_after()
    growth = blocks[-1] - blocks[1]
    good &= growth <= MOST_GROWTH
    print(f"{REQUESTS} requests: allocated blocks {blocks}, growth {growth} (at most {MOST_GROWTH})")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
