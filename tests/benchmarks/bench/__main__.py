"""Run it: `make bench [PEERS="nginx litellm portkey"]`, or

    python -m tests.benchmarks.bench [--quick] [--peers nginx,litellm,portkey] [--rounds 5] [--seconds 4]

Everybody is started once, and measured in turn, round after round: ratios are of one round, the figures shown
are medians. On a virtual machine lateness is its host's as well, so the open loop's rounds are repeated while
others are at work there, and the calmest are told of; if none is calm, that. Exit status 1 if byocgw answered
wrongly, or if --strict is given and a must is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")

from tests.benchmarks.bench import measures, peers, report, usage  # noqa: E402  the stage reads Django's settings
from tests.benchmarks.bench.load import REQUEST  # noqa: E402
from tests.benchmarks.bench.stage import WORKERS, Peer, Stage  # noqa: E402
from tests.benchmarks.bench.targets import Seen, judged  # noqa: E402

Round = dict[str, dict[str, float]]  # by peer
STOLEN = "stolen %"  # of the CPU, by others on the host
CALM, NOISY = 0.5, 2.0  # %
PATIENCE = 5  # times as many rounds until enough are calm
MOST_AT_ONCE = (
    4000  # calls of a worker; each takes a descriptor of the load, one of the upstream, two of its own
)
SPARE = 200  # descriptors for everything else


class Bench:
    def __init__(self, stage: Stage, options: argparse.Namespace) -> None:
        self.stage = stage
        self.options = options
        self.figures: dict[str, Seen] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.skipped: dict[str, str] = {}
        self.rounds: dict[str, list[Round]] = {}
        self.bad = 0

    def run(self) -> None:
        self.decisions()
        fast = self.stage.gateway("byocgw", self.stage.fast_ports)
        # Connections are not spread evenly: one worker may get more than its part.
        most = str(MOST_AT_ONCE * WORKERS)
        slow = self.stage.gateway("byocgw-slow", self.stage.slow_ports, BYOCGW_MAX_IN_FLIGHT=most)
        self.note("idle_memory", [measures.idle_memory(fast)])
        at_once = min(200 if self.options.quick else MOST_AT_ONCE * WORKERS, self.stage.descriptors - SPARE)
        kilobytes, seen = measures.memory_in_flight(slow, self.stage.slow_ports, at_once)
        self.note("kb_in_flight", [kilobytes])
        self.note("in_flight", [seen / WORKERS])
        fast_peers = self.peers(fast, self.stage.fast_ports)
        self.throughput(fast, fast_peers)
        nginx = [each for each in fast_peers if each.name == "nginx"]
        for each in fast_peers:
            if each.process and each not in (fast, *nginx):
                each.process.stop()  # idle, it still wakes up now and then, beside what is measured next
        self.latency(fast)
        self.uploads(fast, nginx)
        self.waiting(slow)
        self.streams(slow)
        self.gone(slow)

    def note(self, key: str, values: list[float]) -> None:
        if values:
            self.figures[key] = Seen(statistics.median(values), min(values), max(values))

    def peers(self, gateway: Peer, ports: list[int]) -> list[Peer]:
        found = [self.stage.direct(ports), self.stage.passing(ports[0]), gateway]
        for name in self.options.peers:
            try:
                found.append(peers.PEERS[name](self.stage, ports[0]))
            except (peers.Skipped, RuntimeError) as exc:
                self.skipped[name] = str(exc)
                print(f"skipped: {name}: {exc}", flush=True)
        return found

    def in_turn(
        self,
        title: str,
        everybody: list[Peer],
        measure: Callable[[Peer], dict[str, float]],
        *,
        patience: int = 1,
    ) -> None:
        """So many rounds; in each, everybody once. With `patience`: the calmest of so many times as many."""

        def round_of() -> Round:
            seen = {}
            for peer in everybody:
                stolen = usage.Stolen()
                seen[peer.name] = {**measure(peer), STOLEN: 100 * stolen.share()}
            return seen

        wanted, seen = self.options.rounds, list[Round]()
        while len(seen) < wanted or (calm(seen) < wanted and len(seen) < wanted * patience):
            seen.append(round_of())
            print(f"{title}: round {len(seen)}, {stolen_in(seen[-1]):.1f} % stolen by the host", flush=True)
        kept = self.rounds[title] = sorted(seen, key=stolen_in)[:wanted]
        keys = list(kept[0][everybody[0].name])
        rows = [[f"{wanted} of {len(seen)} rounds", *keys]]
        for peer in everybody:
            medians = [statistics.median(one[peer.name][key] for one in kept) for key in keys]
            rows.append([peer.name, *(report.number(each) for each in medians)])
        self.tables[title] = rows

    def ratio(self, key: str, title: str, field: str, over: str, of: str = "byocgw") -> None:
        rounds = [one for one in self.rounds[title] if over in one]
        self.note(key, [one[of][field] / one[over][field] for one in rounds])

    def throughput(self, gateway: Peer, everybody: list[Peer]) -> None:
        def measure(peer: Peer) -> dict[str, float]:
            body = peers.ASKING if peer.name in ("litellm", "portkey") else REQUEST
            load, cpu = measures.throughput(peer, self.stage.folder, self.options.seconds, body)
            self.bad += load.bad if peer is gateway else 0
            return {"rps": load.rate, "p50 us": load.p50 * 1e6, "p99 us": load.p99 * 1e6, "CPU us": cpu}

        title = "1 KB JSON, 32 connections"
        self.in_turn(title, everybody, measure)
        self.note("cpu", [one["byocgw"]["CPU us"] for one in self.rounds[title]])
        for key, over in (
            ("to_nginx", "nginx"),
            ("to_raw", "raw ASGI"),
            ("to_litellm", "litellm"),
            ("to_portkey", "portkey"),
        ):
            self.ratio(key, title, "rps", over)

    def latency(self, gateway: Peer) -> None:
        def measure(peer: Peer) -> dict[str, float]:
            load = measures.latency(peer, self.options.seconds)
            self.bad += load.bad if peer is gateway else 0
            return {"p50 us": load.p50 * 1e6, "p99 us": load.p99 * 1e6}

        added = {"added_p50": "p50 us", "added_p99": "p99 us"}
        self.beside_direct("2,000 requests/s, open loop", self.stage.fast_ports, gateway, measure, added)

    def beside_direct(
        self,
        title: str,
        ports: list[int],
        gateway: Peer,
        measure: Callable[[Peer], dict[str, float]],
        added: dict[str, str],
    ) -> None:
        """What the gateway adds to the upstream alone, on calm rounds. `added`: fields, by the figure's key."""
        patience = 1 if self.options.quick else PATIENCE
        self.in_turn(title, [self.stage.direct(ports), gateway], measure, patience=patience)
        rounds = self.rounds[title]
        stolen = statistics.median(map(stolen_in, rounds))
        for key, field in added.items():
            if stolen > NOISY:
                self.figures[key] = Seen(None, why=f"the host took {stolen:.1f} % of the CPU")
            else:
                self.note(key, [one[gateway.name][field] - one["direct"][field] for one in rounds])

    def uploads(self, gateway: Peer, others: list[Peer]) -> None:
        def measure(peer: Peer) -> dict[str, float]:
            load, peak = measures.uploads(peer, self.stage.folder, self.options.seconds)
            self.bad += load.bad if peer is gateway else 0
            return {"rps": load.rate, "p50 ms": load.p50 * 1000, "peak MB": peak}

        title = "2 MB multipart, 16 connections"
        self.in_turn(title, [gateway, *others], measure)
        self.note("upload_memory", [one["byocgw"]["peak MB"] for one in self.rounds[title]])
        self.ratio("upload_to_nginx", title, "rps", "nginx")

    def waiting(self, gateway: Peer) -> None:
        def measure(peer: Peer) -> dict[str, float]:
            load = measures.waiting(peer, self.stage.folder, 2 * self.options.seconds)
            self.bad += load.bad if peer.name == gateway.name else 0
            return {"rps": load.rate, "p50 ms": load.p50 * 1000, "p99 ms": load.p99 * 1000}

        everybody = [gateway]
        if "nginx" in self.options.peers and "nginx" not in self.skipped:
            everybody.append(peers.nginx(self.stage, self.stage.slow_ports[0]))
        title = "1,000 connections, 500 ms"
        self.in_turn(title, everybody, measure)
        self.ratio("waiting_to_nginx", title, "rps", "nginx", of=gateway.name)
        self.note("waiting_p50", [one[gateway.name]["p50 ms"] for one in self.rounds[title]])

    def streams(self, gateway: Peer) -> None:
        times, streams = (5, 20) if self.options.quick else (40, 200)

        def measure(peer: Peer) -> dict[str, float]:
            first = measures.first_event(peer, times)
            return {"first ms": first, "CPU us": measures.cpu_of_events(peer, streams)}

        added = {"first_event": "first ms", "cpu_event": "CPU us"}
        self.beside_direct(f"{streams} streams", self.stage.slow_ports, gateway, measure, added)

    def gone(self, gateway: Peer) -> None:
        ports = self.stage.slow_ports
        ways = (
            ("gone_waiting", "wait/5000", False),
            ("gone_streaming", "events/100/100", False),
            ("gone_uploading", "now", True),
        )
        for key, behaviour, half in ways:
            seen = [measures.gone(gateway, behaviour, ports, half=half) for _ in range(self.options.rounds)]
            if None in seen:
                self.figures[key] = Seen(None, why="not noticed within 2 s")
            else:
                self.note(key, [each for each in seen if each is not None])

    def decisions(self) -> None:
        from tests.benchmarks import decision

        for number in (10, 100):
            self.note(
                f"decide_{number}", [decision.timed(number)[0] for _ in range(1 if self.options.quick else 3)]
            )


def stolen_in(one: Round) -> float:
    return max(seen[STOLEN] for seen in one.values())


def calm(rounds: list[Round]) -> int:
    return sum(stolen_in(one) <= CALM for one in rounds)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="one short round: does it all work?")
    parser.add_argument("--peers", type=lambda text: text.replace(",", " ").split(), default=["nginx"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path(".local/bench"))
    parser.add_argument("--strict", action="store_true")
    found = parser.parse_args()
    unknown = set(found.peers) - set(peers.PEERS)
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; known: {', '.join(peers.PEERS)}")
    if found.quick:
        found.rounds, found.seconds = 1, 1
    return found


def main() -> int:
    chosen = options()
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        bench = Bench(stage, chosen)
        bench.run()
    words = report.text(bench.figures, bench.tables, bench.skipped)
    data = report.document(bench.figures, bench.rounds, bench.skipped)
    report.write(chosen.out, words, data, report.chart(bench.figures))
    print(words)
    print(f"Kept in {chosen.out}: bench.md, bench.json, bench.svg.")
    missed = [target.what for target, _, verdict in judged(bench.figures) if verdict == "missed"]
    if bench.bad:
        print(f"byocgw did not answer {bench.bad} requests with 200.")
    return 1 if bench.bad or (chosen.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
