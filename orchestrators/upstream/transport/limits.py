"""How much an origin may cost us: seconds, bytes and connections. One value for a whole pool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds unless said otherwise.

    `connect`: DNS, TCP and TLS together. `wait`: for one of the `connections` an origin may have.
    `idle`: between two bytes of an answer. `total`: a whole exchange, connected to last byte.
    `keep`: an unused connection. `head`, `body`: bytes of an answer.
    """

    connect: float = 2.0
    wait: float = 1.0
    idle: float = 30.0
    total: float = 600.0
    keep: float = 60.0
    connections: int = 1024
    head: int = 64 * 1024
    body: int = 1024**3


DEFAULT = Limits()
