"""Protocol name to the code that speaks it.

Models take `PROTOCOLS` for their choices, so importing this loads no HTTP; making `Upstreams` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrators.upstream.base import Upstream
from orchestrators.upstream.signing import Offline

if TYPE_CHECKING:
    from orchestrators.upstream.transport import Pool

PROTOCOLS = ("byoc", "live-runner", "direct")
# Those that have a word for a request's method; the others know POST alone.
KEEPS_METHOD = frozenset({"live-runner"})


class Upstreams:
    """`upstreams[protocol]`. `sender`: the address this gateway shows to BYOC orchestrators."""

    def __init__(self, pool: Pool, sender: str) -> None:
        from orchestrators.upstream.byoc import Byoc
        from orchestrators.upstream.direct import Direct
        from orchestrators.upstream.live_runner import LiveRunner

        self._by_name: dict[str, Upstream] = {
            "byoc": Byoc(pool, Offline(sender)),
            "live-runner": LiveRunner(pool),
            "direct": Direct(pool),
        }

    def __getitem__(self, protocol: str) -> Upstream:
        """KeyError: a sentence for the operator."""
        try:
            return self._by_name[protocol]
        except KeyError:
            known = ", ".join(self._by_name)
            raise KeyError(f"{protocol!r} is not a protocol this gateway speaks ({known})") from None
