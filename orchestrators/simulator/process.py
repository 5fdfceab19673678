"""A simulator in a process of its own, for callers that are not asyncio or must not share a core's time."""

from __future__ import annotations

import json
import select
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


class SimulatorProcess:
    """`python -m orchestrators.simulator <arguments>`, from its ready line to its end.

        with SimulatorProcess("--capability", "depth:price=10", "--endpoints", "3") as simulator:
            simulator.uris  # three of them
            simulator.fault("depth", "slow", seconds=2, endpoint=1)

    Raises RuntimeError when it is not ready in `ready_within` seconds, with what it said. It ends
    with the block, and also when this process dies.
    """

    def __init__(self, *arguments: str, ready_within: float = 15.0) -> None:
        self.arguments = arguments
        self.ready_within = ready_within
        self.uris: tuple[str, ...] = ()
        self.names: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<SimulatorProcess {self.pid or 'stopped'} {len(self.uris)} endpoints>"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def service_uri(self) -> str:
        """Of the first endpoint."""
        return self.uris[0]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        command = [sys.executable, "-m", "orchestrators.simulator", "--exit-with-parent", *self.arguments]
        # Its standard input is a pipe that nobody writes to: the end of this process is its end.
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            ready = json.loads(self._ready_line(self._process))
        except RuntimeError as error:
            self.stop()
            raise RuntimeError(f"The simulator did not get ready: {' '.join(command)} ({error})") from None
        self.uris, self.names = tuple(ready["uris"]), tuple(ready["names"])

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def fault(self, capability: str, kind: str, *, endpoint: int = 0, **options: object) -> None:
        """As `Simulator.fault`. Raises ValueError with the simulator's sentence."""
        wanted = {"capability": capability, "fault": kind, **options}
        answer = self._ask("/simulator/faults", endpoint, json.dumps(wanted, default=str).encode())
        if "error" in answer:
            raise ValueError(answer["error"])

    def state(self, *, endpoint: int = 0) -> dict[str, Any]:
        """As `Simulator.state`."""
        return self._ask("/simulator/state", endpoint, None)

    def _ready_line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], self.ready_within)[0]:
            raise RuntimeError(f"nothing said in {self.ready_within:g} s")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"exit status {process.wait()}")
        return line

    def _ask(self, path: str, endpoint: int, body: bytes | None) -> dict[str, Any]:
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(self.uris[endpoint] + path, data=body)
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified), _Plain()
        )
        with direct.open(request, timeout=10) as answer:
            document: dict[str, Any] = json.load(answer)
        return document


class _Plain(urllib.request.HTTPErrorProcessor):
    """Statuses are not exceptions here: a refusal carries its sentence."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return response

    https_response = http_response
