"""The scoreboard: seats, health from outcomes, and how changes of state travel between processes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import inf

import pytest
from django.db import DatabaseError, connection
from msgspec import structs

from orchestrators.core.health import Source, State
from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.models import Advert, Capability, HealthSnapshot, Offer, OfferHealth, Orchestrator, Revision
from orchestrators.scoreboard import LONGEST_PATH, SERVED_PATHS, News, Scoreboard, Written, beat, write

NOW = 1_800_000_000.0
OK = Outcome(OutcomeClass.OK, status=200, latency=0.02)
OOM = Outcome(OutcomeClass.GPU_OOM, status=500, detail="out of memory")
TIMEOUT = Outcome(OutcomeClass.TIMEOUT)


def new_board() -> Scoreboard:
    return Scoreboard(lambda: 0.0)


def take_down(board: Scoreboard, offer_id: int, *, now: float = NOW, outcome: Outcome = TIMEOUT) -> None:
    for _ in range(2):
        board.observe(offer_id, outcome, now=now)


def collected(board: Scoreboard) -> News:
    news = board.collect()
    assert news is not None
    return news


def store(board: Scoreboard, news: News) -> Written:
    """As a worker does when nobody else was first."""
    written = write(news, NOW)
    assert written.lost == []
    board.settle(news, written)
    return written


def stored(offer: Offer) -> OfferHealth:
    return OfferHealth.objects.get(offer=offer)


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


@pytest.fixture
def alder(db: None) -> Offer:
    """Its orchestrator offers depth, with health and advert as a prober leaves them."""
    home = Orchestrator.objects.create(name="alder", service_uri="https://127.0.0.1:9101")
    return with_rows(Offer.objects.create(orchestrator=home, capability=Capability.objects.get(slug="depth")))


def with_rows(offer: Offer) -> Offer:
    OfferHealth.objects.create(offer=offer, sampled_at=moment(NOW), next_probe_at=moment(NOW + 30))
    Advert.objects.create(offer=offer, claimed=True)
    return offer


def sibling_of(offer: Offer, slug: str = "pose") -> Offer:
    capability = Capability.objects.get(slug=slug)
    return with_rows(Offer.objects.create(orchestrator=offer.orchestrator, capability=capability))


# --- seats -------------------------------------------------------------------------------------------


def test_it_gives_as_many_seats_as_there_are() -> None:
    board = new_board()
    first, second = board.seat(1, 2), board.seat(1, 2)
    assert first is not None and second is not None
    assert board.seat(1, 2) is None
    assert board.seat(2, 1) is not None  # another offer's are its own
    assert board.in_flight == 3
    assert board.busy_offers() == [1, 2]
    first.release()
    assert board.seat(1, 2) is not None


def test_it_takes_a_seat_back_once() -> None:
    board = new_board()
    first, second = board.seat(1, 2), board.seat(1, 2)
    assert first is not None and second is not None
    first.release()
    first.release()
    assert board.live(1).in_flight == 1
    assert repr(first) == "<Seat at 1 released>"
    assert repr(second) == "<Seat at 1 taken>"


# --- what one process sees ---------------------------------------------------------------------------


def test_it_makes_one_transition_of_two_faults() -> None:
    board = new_board()
    board.observe(7, TIMEOUT, now=NOW)
    assert board.collect() is None  # one fault alone proves little
    board.observe(7, TIMEOUT, now=NOW + 1)
    news = collected(board)
    [transition] = news.transitions
    assert (transition.offer_id, transition.before, transition.epoch) == (7, State.UNKNOWN, 0)
    assert (transition.health.state, transition.outcome, transition.at) == (State.DOWN, TIMEOUT, NOW + 1)
    assert board.live(7).unpublished
    assert board.collect() is None
    assert repr(board) == "<Scoreboard 1 offers, 0 in flight, 1 down>"


def test_it_sends_the_latest_of_several_changes() -> None:
    """From the state before all of them; so an outage of the database costs no memory."""
    board = new_board()
    board.observe(7, OK, now=NOW)
    for second in range(1000):
        take_down(board, 7, now=NOW + second * 400)
    [transition] = collected(board).transitions
    health = board.live(7).health
    assert transition.before is State.UNKNOWN
    assert (transition.health.state, transition.health.until) == (State.DOWN, health.until)


def test_it_is_silent_about_what_changes_no_state() -> None:
    board = new_board()
    board.observe(7, OK, now=NOW)
    collected(board)
    for second in range(20):
        board.observe(7, OK, now=NOW + second)
    board.observe(7, Outcome(OutcomeClass.BUSY, retry_after=30.0), now=NOW)
    board.observe(7, Outcome(OutcomeClass.CLIENT_ERROR, status=422), now=NOW)
    assert board.collect() is None
    assert board.live(7).health.busy_until == NOW + 30
    assert board.live(7).latency.samples == 21
    assert board.live(7).heard_at == NOW


def test_a_look_starts_no_work() -> None:
    board = new_board()
    board.observe(7, OK, now=NOW, source=Source.LOOK)
    assert board.live(7).health.state is State.UNKNOWN


def test_it_forgets_offers_that_are_gone() -> None:
    board = new_board()
    seat = board.seat(1, 1)
    board.live(2)
    board.live(3)
    board.forget([3])
    assert repr(board).startswith("<Scoreboard 2 offers")  # the first has a call in flight
    assert seat is not None
    seat.release()
    board.forget([3])
    assert repr(board).startswith("<Scoreboard 1 offers")


def test_it_remembers_a_bounded_number_of_paths() -> None:
    board = new_board()
    board.observe(7, OK, NOW, served=b"x" * (LONGEST_PATH + 1))
    assert not board.live(7).served
    for number in range(SERVED_PATHS + 50):
        board.observe(7, OK, NOW, served=b"path/%d" % number)
    assert len(board.live(7).served) == SERVED_PATHS


def test_three_capabilities_out_of_reach_have_the_others_looked_at() -> None:
    """R59, R60: a look at the rest of that orchestrator, and nobody is down by association."""
    gone = Outcome(OutcomeClass.UNREACHABLE, began=False)
    board = new_board()
    board.know({1: 100, 2: 100, 3: 100, 4: 100, 5: 200})
    for offer_id, at in ((1, NOW), (1, NOW + 1), (2, NOW + 5), (5, NOW + 5)):
        board.observe(offer_id, gone, now=at)
    assert collected(board).starved == ()
    board.observe(3, gone, now=NOW + 10.9)
    assert collected(board).starved == (3,)
    assert board.live(4).health.state is State.UNKNOWN


def test_faults_too_far_apart_are_no_sign_of_each_other() -> None:
    gone = Outcome(OutcomeClass.UNREACHABLE, began=False)
    board = new_board()
    board.know({1: 100, 2: 100, 3: 100})
    for offer_id, at in ((1, NOW), (2, NOW + 5), (3, NOW + 10.1)):
        board.observe(offer_id, gone, now=at)
    assert board.collect() is None


# --- to the database ---------------------------------------------------------------------------------


def test_it_stores_a_change_and_its_history(alder: Offer) -> None:
    """R10, R51: one row, moved by one epoch, and one snapshot of it."""
    board = new_board()
    take_down(board, alder.pk)
    numbers = Revision.objects.get()
    news = collected(board)
    store(board, news)

    row = stored(alder)
    assert (row.state, row.cause, row.streak, row.ejections, row.epoch) == ("down", "timeout", 2, 1, 1)
    assert row.as_health().until == board.live(alder.pk).health.until
    [snapshot] = HealthSnapshot.objects.all()
    assert (snapshot.offer_id, snapshot.source, snapshot.outcome) == (alder.pk, "traffic", "timeout")
    assert (snapshot.before, snapshot.after) == ("unknown", "down")
    live = board.live(alder.pk)
    assert (live.epoch, live.unpublished) == (1, False)
    moved = Revision.objects.get()
    assert (moved.policy, moved.health > numbers.health) == (numbers.policy, True)


def test_it_makes_the_row_that_no_prober_has_made(alder: Offer) -> None:
    """A direct offer is called before it was ever looked at."""
    OfferHealth.objects.all().delete()
    board = new_board()
    take_down(board, alder.pk)
    news = collected(board)
    store(board, news)
    assert (stored(alder).state, stored(alder).epoch, board.live(alder.pk).epoch) == ("down", 1, 1)
    assert HealthSnapshot.objects.count() == 1


def test_it_takes_over_the_state_of_who_was_faster(alder: Offer) -> None:
    board = new_board()
    take_down(board, alder.pk)
    OfferHealth.objects.update(state="healthy", epoch=5, last_outcome_at=moment(NOW + 3))
    news = collected(board)
    written = write(news, NOW)
    board.settle(news, written)

    assert [row.offer_id for row in written.lost] == [alder.pk]
    assert (stored(alder).state, stored(alder).epoch) == ("healthy", 5)
    assert not HealthSnapshot.objects.exists()
    live = board.live(alder.pk)
    assert (live.health.state, live.epoch, live.unpublished) == (State.HEALTHY, 5, False)
    assert live.heard_at == NOW + 3


@pytest.mark.parametrize("lost_the_race", [False, True])
def test_it_builds_on_the_row_when_more_happens_while_writing(alder: Offer, lost_the_race: bool) -> None:
    board = new_board()
    board.observe(alder.pk, OK, now=NOW)
    news = collected(board)
    take_down(board, alder.pk, now=NOW + 1)
    if lost_the_race:
        OfferHealth.objects.update(state="degraded", epoch=8)
    board.settle(news, write(news, NOW))
    assert board.live(alder.pk).unpublished
    assert board.live(alder.pk).health.state is State.DOWN  # ours is the newer

    later = collected(board)
    store(board, later)
    assert (stored(alder).state, stored(alder).epoch) == ("down", 9 if lost_the_race else 2)
    assert (board.live(alder.pk).epoch, board.live(alder.pk).unpublished) == (stored(alder).epoch, False)


def test_it_survives_an_offer_that_is_gone(alder: Offer) -> None:
    board = new_board()
    take_down(board, alder.pk, outcome=OOM)
    board.claim(alder.pk, False)
    news = collected(board)
    Orchestrator.objects.all().delete()
    store(board, news)
    assert not HealthSnapshot.objects.exists()


def test_it_stores_nothing_of_news_that_fails(alder: Offer) -> None:
    """All or nothing, and the same news can be written again."""
    board = new_board()
    take_down(board, alder.pk)
    board.claim(alder.pk, False)
    news = collected(board)
    [transition] = news.transitions
    broken = replace(transition, outcome=structs.replace(OOM, cold=None))  # type: ignore[arg-type]
    with pytest.raises(DatabaseError):
        write(replace(news, transitions=(broken,)), NOW)
    assert (stored(alder).epoch, Advert.objects.get().claimed) == (0, True)
    assert not connection.needs_rollback
    assert write(news, NOW).lost == []
    assert (stored(alder).epoch, Advert.objects.get().claimed) == (1, False)


def test_it_stores_claims(alder: Offer) -> None:
    """R71: a revocation stands until a table knows of it; a success claims it again."""
    board = new_board()
    board.claim(alder.pk, False)
    assert board.live(alder.pk).revoked_before == inf
    before = Revision.objects.get().policy
    written = store(board, collected(board))
    assert not Advert.objects.get().claimed
    assert board.live(alder.pk).revoked_before == written.policy == before + 1
    board.claim(alder.pk, False)
    assert store(board, collected(board)).policy == written.policy  # nothing new to say
    board.claim(alder.pk, True)
    assert board.live(alder.pk).revoked_before == 0
    store(board, collected(board))
    assert Advert.objects.get().claimed


@pytest.mark.parametrize(("claimed", "revoked_before"), [(False, inf), (True, 0)])
def test_what_it_is_told_while_writing_counts(alder: Offer, claimed: bool, revoked_before: float) -> None:
    """R71"""
    board = new_board()
    board.claim(alder.pk, False)
    news = collected(board)
    board.claim(alder.pk, claimed)
    store(board, news)
    assert board.live(alder.pk).revoked_before == revoked_before


def test_another_database_counts_its_own_numbers(alder: Offer) -> None:
    board = new_board()
    board.claim(alder.pk, False)
    store(board, collected(board))
    board.forget_epochs()
    assert board.live(alder.pk).revoked_before == 0


def test_it_has_siblings_probed_after_an_exhausted_memory(alder: Offer) -> None:
    """R64: their sample requests are due at once, whenever they were last sent; its own is not."""
    pose = sibling_of(alder)
    board = new_board()
    board.observe(alder.pk, OOM, now=NOW)
    news = collected(board)
    assert (news.transitions, news.starved) == ((), (alder.pk,))
    write(news, NOW)
    assert (stored(pose).next_probe_at, stored(pose).sampled_at) == (moment(NOW), None)
    assert (stored(alder).next_probe_at, stored(alder).sampled_at) == (moment(NOW + 30), moment(NOW))


def test_it_notes_calls_in_flight(alder: Offer) -> None:
    pose = sibling_of(alder)
    beat([alder.pk], NOW)
    assert (stored(alder).called_at, stored(pose).called_at) == (moment(NOW), None)


# --- from the database -------------------------------------------------------------------------------


def row(offer_id: int = 7, **fields: object) -> OfferHealth:
    return OfferHealth(offer_id=offer_id, **fields)


def test_it_adopts_newer_states_only() -> None:
    board = new_board()
    until = moment(NOW + 60)
    board.adopt([row(state="down", until=until, cause="unreachable", ejections=3, epoch=4)])
    live = board.live(7)
    assert (live.health.state, live.health.until, live.health.ejections) == (State.DOWN, NOW + 60, 3)
    board.adopt([row(state="healthy", epoch=4)])
    board.adopt([row(state="healthy", epoch=3)])
    assert live.health.state is State.DOWN
    board.adopt([row(state="healthy", epoch=5)])
    assert (live.health.state, live.epoch) == (State.HEALTHY, 5)
    assert board.collect() is None  # hearing is not saying


def test_it_keeps_what_a_row_does_not_know() -> None:
    board = new_board()
    board.observe(7, OK, now=NOW)
    collected(board)
    board.settle(News((), (), ()), Written([], 0))
    board.live(7).unpublished = False
    board.observe(7, Outcome(OutcomeClass.BUSY, retry_after=9.0), now=NOW)
    board.observe(7, Outcome(OutcomeClass.TIMEOUT), now=NOW)
    before = board.live(7).health
    board.adopt([row(state="degraded", epoch=2)])
    health = board.live(7).health
    assert (health.state, health.busy_until) == (State.DEGRADED, NOW + 9)
    assert (health.recent, health.faults) == (before.recent, before.faults)
    assert (health.recent.times(), health.faults.times()) == ([NOW, NOW], [NOW])


def test_it_does_not_let_others_overwrite_what_it_has_not_said_yet() -> None:
    board = new_board()
    take_down(board, 7)
    board.adopt([row(state="healthy", epoch=9)])
    assert board.live(7).health.state is State.DOWN
    assert board.live(7).epoch == 0  # so that the write finds out who was first


def test_it_hears_news_without_a_change_of_state() -> None:
    """A probe of an unchanged offer keeps it fresh; old rows do not make it older."""
    board = new_board()
    board.adopt([row(probed_at=moment(NOW))])
    assert board.live(7).heard_at == NOW
    board.adopt([row(probed_at=moment(NOW - 50), last_outcome_at=moment(NOW - 60))])
    assert board.live(7).heard_at == NOW


def test_it_takes_stored_latencies_until_it_has_its_own() -> None:
    """R51: what another process measured is a start, our own calls are what counts."""
    board = new_board()
    board.adopt([row(warm_ms=200.0, cold_ms=12_000.0)])
    assert (board.live(7).latency.ewma, board.live(7).latency.cold) == (0.2, 12.0)
    board.observe(8, OK, now=NOW)
    board.adopt([row(8, warm_ms=900.0)])
    assert board.live(8).latency.ewma == OK.latency
