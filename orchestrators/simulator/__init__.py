"""A real local orchestrator: real sockets, real containers, and faults on demand.

It speaks the BYOC protocol as a Go orchestrator does off-chain, or, with `protocol="direct"`, a
container's own API. Tests run it in their event loop (`Simulator`); the demo, live-server tests and
benchmarks run it in a process of its own (`SimulatorProcess`, `python -m orchestrators.simulator`).

    wire         a bounded HTTP/1.1 server protocol
    server       Simulator: lifecycle, control routes        process   SimulatorProcess
    byoc         routes of an orchestrator                   direct    routes of bare containers
    credentials  Livepeer headers                            tokens    GET /process/token
    registry     capabilities, slots, jobs seen              jobs      POST /process/request
    containers   what runs behind it (images: the heavy two; ai_worker: the stock pipelines)
    faults       what can go wrong, on purpose
    delivery     how an answer goes out, or breaks off

It imports nothing of the project: what it says is written down a second time, on purpose, so that a
gateway which misreads the protocol does not meet a simulator with the same misreading.
"""

from orchestrators.simulator.containers import Container
from orchestrators.simulator.faults import Fault, FaultError, FaultKind
from orchestrators.simulator.process import SimulatorProcess
from orchestrators.simulator.registry import Job
from orchestrators.simulator.server import Simulator

__all__ = ["Container", "Fault", "FaultError", "FaultKind", "Job", "Simulator", "SimulatorProcess"]
