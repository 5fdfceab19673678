"""The command line: `python -m orchestrators.simulator --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import replace

from orchestrators.simulator.containers import KINDS, Container
from orchestrators.simulator.faults import MEANING, Fault
from orchestrators.simulator.server import Simulator

EVERYTHING = ("text-reversal", "segmentation", "style-transfer", "depth", "echo")

EXAMPLES = """
containers (a capability of another name runs echo; kind=... says otherwise):
  {kinds}

options of --capability: price (wei per second), capacity (slots), latency (seconds), pace (seconds
between events of a stream), kind, balance (wei), model

faults:
{faults}

options of a fault: times=N (then it goes away), probability=0..1, seconds=S, factor=F, status=400|422,
loading=true, look=true (strikes the token, or a direct container's health, instead of jobs)

examples:
  python -m orchestrators.simulator
  python -m orchestrators.simulator --name alder --port 8935 --capability depth:price=10,latency=0.05
  python -m orchestrators.simulator --fault depth=gpu_oom:times=2 --fault echo=slow:seconds=1,probability=0.1
  python -m orchestrators.simulator --endpoints 50 --bulk 20
  python -m orchestrators.simulator --direct --capability segmentation
  curl -d '{{"capability": "depth", "fault": "busy"}}' http://127.0.0.1:8935/simulator/faults
  curl http://127.0.0.1:8935/simulator/state

Once it listens it prints one line of JSON: {{"names": [...], "uris": [...], "protocol": ..., "pid": ...}}.
SIGTERM and SIGINT end it.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        simulators = _simulators(options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    try:
        asyncio.run(_serve(simulators, options.exit_with_parent))
    except OSError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {kind.value:<20}{meaning}" for kind, meaning in MEANING.items())
    parser = argparse.ArgumentParser(
        prog="python -m orchestrators.simulator",
        description="A local orchestrator: the BYOC protocol, real containers, scripted faults.",
        epilog=EXAMPLES.format(kinds=", ".join(KINDS), faults=faults),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--name", default="simulator", help="several endpoints are numbered: alder-1, alder-2, ...")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="0 takes a free one; several endpoints take the next ones")
    add("--endpoints", type=int, default=1, metavar="N", help="listen on N ports, an orchestrator each")
    add(
        "--capability",
        action="append",
        default=[],
        metavar="NAME[:OPTION=VALUE,...]",
        help="repeatable; default: all",
    )
    add("--bulk", type=int, default=0, metavar="N", help="add capabilities cap-1 ... cap-N (echo, 100 wei)")
    add("--fault", action="append", default=[], metavar="NAME=FAULT[:OPTION=VALUE,...]", help="repeatable")
    add("--direct", action="store_true", help="the containers alone, without an orchestrator in front")
    add("--live-runner", action="store_true", help="apps behind a Live Runner orchestrator; give them price=0")
    add("--secret", default="secret", help="what containers register with (default: %(default)s)")
    add("--tls-cert", metavar="FILE", help="PEM; serves https")
    add("--tls-key", metavar="FILE", help="PEM; needed unless the certificate's file holds it")
    add("--seed", type=int, default=0, help="of the dice behind probability=")
    add("--keep-jobs", type=int, default=64, metavar="N", help="jobs remembered, bodies included")
    add("--no-leaks", action="store_true", help="free every slot, unlike the Go orchestrator")
    add("--exit-with-parent", action="store_true", help="end when standard input does")
    return parser


def _simulators(options: argparse.Namespace) -> list[Simulator]:
    """Raises ValueError with a sentence for the person at the command line, OSError for a file."""
    if options.endpoints < 1:
        raise ValueError("--endpoints is at least 1.")
    containers = _containers(options)
    tls = None
    if options.tls_cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.tls_cert, options.tls_key)
    return [
        Simulator(
            options.name if options.endpoints == 1 else f"{options.name}-{number + 1}",
            port=options.port and options.port + number,
            capabilities=containers,
            protocol="direct" if options.direct else "live-runner" if options.live_runner else "byoc",
            host=options.host,
            tls=tls,
            secret=options.secret,
            seed=options.seed + number,
            leaks=not options.no_leaks,
            keep_jobs=options.keep_jobs,
        )
        for number in range(options.endpoints)
    ]


def _containers(options: argparse.Namespace) -> list[Container]:
    containers = {text.partition(":")[0]: _container(text) for text in options.capability}
    if not options.capability and not options.bulk:
        containers = {name: Container(name, price=100) for name in EVERYTHING}
    for number in range(1, options.bulk + 1):
        containers[f"cap-{number}"] = Container(f"cap-{number}", price=100)
    for text in options.fault:
        name, _, fault = text.partition("=")
        if name not in containers:
            raise ValueError(f"There is no capability {name!r}. Known: {', '.join(containers)}.")
        containers[name] = replace(containers[name], fault=Fault.parse(fault))
    return list(containers.values())


def _container(text: str) -> Container:
    """From "depth:price=10,capacity=4"."""
    name, _, rest = text.partition(":")
    readers = {
        "price": int,
        "capacity": int,
        "latency": float,
        "pace": float,
        "balance": int,
        "kind": str,
        "model": str,
    }
    values: dict[str, object] = {}
    for part in filter(None, rest.split(",")):
        option, equals, value = part.partition("=")
        if option not in readers or not equals:
            raise ValueError(f"A capability has no option {part!r}. Known: {', '.join(readers)}.")
        try:
            values[option] = readers[option](value)
        except ValueError as error:
            raise ValueError(f"{name}: {option}={value} is not a number of its kind.") from error
    return Container(name, **values)  # type: ignore[arg-type]


async def _serve(simulators: Sequence[Simulator], exit_with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if exit_with_parent:
        loop.add_reader(sys.stdin.fileno(), ended.set)
    try:
        for simulator in simulators:
            await simulator.start()
        print(json.dumps(_ready(simulators)), flush=True)
        await ended.wait()
    finally:
        for simulator in simulators:
            await simulator.stop()


def _ready(simulators: Sequence[Simulator]) -> dict[str, object]:
    return {
        "names": [simulator.name for simulator in simulators],
        "uris": [simulator.service_uri for simulator in simulators],
        "protocol": simulators[0].protocol,
        "pid": os.getpid(),
    }


if __name__ == "__main__":
    sys.exit(main())
