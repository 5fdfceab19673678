"""The list of all metrics; docs/observability.md has the same list, and a test compares the two.

`across` says what the values of several workers come to: their sum, or the greatest or the least of them;
OWN is what every worker knows alike, so that the one that is asked tells its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from routing.core.histogram import OVERHEAD, TOTAL


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    UNTYPED = "untyped"  # a count whose name an existing dashboard has without `_total`


class Across(Enum):
    SUM = "sum"
    MAX = "max"
    MIN = "min"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    across: Across = Across.SUM
    bounds: tuple[float, ...] = ()

    @property
    def outlives(self) -> bool:
        """What a worker counted stays true when it is gone; what it measured does not."""
        return self.kind is not Kind.GAUGE


C, G, H, U = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM, Kind.UNTYPED
MAX, MIN, OWN = Across.MAX, Across.MIN, Across.OWN
BY_CAPABILITY = ("capability",)
BY_OFFER = ("capability", "orchestrator")
STOCK = ("pipeline", "model_name")
STOCK_OF_OFFER = (*STOCK, "orchestrator_uri", "orchestrator_address", "orchestrator_version")

_ALL = (
    Family("byocgw_requests_total", C, ("capability", "code"), "Requests by what became of them."),
    Family(
        "byocgw_request_seconds",
        H,
        BY_CAPABILITY,
        "Answered requests: from arrival to the last byte.",
        bounds=TOTAL,
    ),
    Family(
        "byocgw_overhead_seconds",
        H,
        BY_CAPABILITY,
        "Answered requests: the gateway's own time before the answer, without attempts and waits.",
        bounds=OVERHEAD,
    ),
    Family(
        "byocgw_attempts_total",
        C,
        ("capability", "outcome"),
        "Orchestrators asked, by the class of what came of it.",
    ),
    Family("byocgw_failovers_total", C, BY_CAPABILITY, "Attempts after the first of a request."),
    Family("byocgw_admission_rejected_total", C, (), "Requests turned away because the worker was full."),
    Family("byocgw_requests_in_flight", G, (), "Requests inside the gateway."),
    Family("byocgw_kept_in_flight", G, (), "Those whose outcome is kept: asynchronous, or with a key."),
    Family("byocgw_attempts_in_flight", G, BY_CAPABILITY, "Calls under way at orchestrators."),
    Family("byocgw_calls_under_way", G, BY_OFFER, "Calls under way at each offer that has any."),
    Family(
        "byocgw_client_calls_in_flight",
        G,
        ("client",),
        "Calls of each client that has any, by its number in the console's addresses.",
    ),
    Family("byocgw_waiting", G, BY_CAPABILITY, "Requests waiting for a seat at an orchestrator."),
    Family(
        "byocgw_loop_lag_seconds",
        G,
        (),
        "By how much the event loop was late, at worst, in the last two seconds.",
        MAX,
    ),
    Family("byocgw_journal_backlog_bytes", G, (), "Bytes of the journal that wait for the database."),
    Family(
        "byocgw_journal_lag_seconds", G, (), "For how long the oldest line has waited for the database.", MAX
    ),
    Family("byocgw_journal_dropping", G, (), "1 while the disk takes no records.", MAX),
    Family("byocgw_journal_dropped_total", C, (), "Records that the disk did not take."),
    Family("byocgw_journal_rejected_total", C, (), "Lines that the database will never take."),
    Family("byocgw_database_up", G, (), "0 while the database does not answer.", MIN),
    Family("byocgw_table_revision", G, (), "The policy revision in force.", MIN),
    Family("byocgw_table_age_seconds", G, (), "Since the routing table was built.", MAX),
    Family(
        "byocgw_table_confirmed_age_seconds",
        G,
        (),
        "Since the database last said that the table is the latest.",
        MAX,
    ),
    Family("byocgw_probe_age_seconds", G, (), "Since any offer was last probed.", OWN),
    Family("byocgw_check", G, ("check",), "A check of /readyz: 1 ok, 0.5 degraded, 0 not ready.", MIN),
    Family("byocgw_build_info", G, ("version",), "1, with the version of the code.", MAX),
    Family("byocgw_workers", G, (), "Workers that serve."),
    Family("byocgw_offers", G, ("capability", "state"), "Offers that may get traffic, by state.", OWN),
    Family(
        "byocgw_ceiling_excluded_offers",
        G,
        ("capability", "tier"),
        "Of the offers with a usable price, those above the price ceiling.",
        OWN,
    ),
    Family(
        "byocgw_ceiling_offers",
        G,
        ("capability", "tier"),
        "Offers with a usable price, which the ceiling was applied to.",
        OWN,
    ),
    Family("byocgw_offer_up", G, BY_OFFER, "1 unless the offer is down.", OWN),
    Family("byocgw_offer_latency_seconds", G, BY_OFFER, "What a warm answer usually takes.", OWN),
    Family("byocgw_offer_in_flight", G, BY_OFFER, "Calls of the asked worker under way there.", OWN),
    Family(
        "byocgw_offers_left_out", G, (), "Offers without gauges of their own: over BYOCGW_METRICS_OFFERS.", OWN
    ),
    Family("livepeer_ai_models_requested", U, STOCK, "As the stock gateway: requests answered."),
    Family(
        "livepeer_ai_request_errors",
        U,
        ("error_code", *STOCK_OF_OFFER),
        "As the stock gateway: attempts that failed, and requests nobody could be asked for.",
    ),
    Family(
        "livepeer_ai_request_latency_score",
        G,
        STOCK_OF_OFFER,
        "As the stock gateway: seconds an answer usually takes.",
        OWN,
    ),
    Family("livepeer_ai_request_price", G, STOCK, "As the stock gateway: wei per unit, last paid.", MAX),
    Family("process_resident_memory_bytes", G, (), "Memory of all workers."),
    Family("process_virtual_memory_bytes", G, (), "Address space of all workers."),
    Family("process_cpu_seconds_total", C, (), "CPU time of all workers."),
    Family("process_open_fds", G, (), "Open file descriptors of all workers."),
    Family("process_max_fds", G, (), "Most file descriptors that one worker may open.", MIN),
    Family("process_start_time_seconds", G, (), "When the oldest worker began, seconds since the epoch.", MIN),
)
FAMILIES = {family.name: family for family in _ALL}
