"""Lists of orchestrators as they are found in the wild: bytes in, entries out.

entry     Entry, Named: one endpoint, and what it is said to serve; the limits of an answer
lists     a flag's text, and JSON lists of addresses: webhook, signer, /discovery, NaaP, discovery-service
registry  network capabilities, the on-chain registry's subgraph, signed registry manifests
merging   what several sources say of one endpoint, field by field
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from orchestrators.core.discovery.entry import LARGEST, Answer, Entry, Kind, Named, NotTheFormat
from orchestrators.core.discovery.lists import orch_addr, read_addresses, read_flag
from orchestrators.core.discovery.registry import read_manifest, read_network, read_subgraph

__all__ = ["LARGEST", "Answer", "Entry", "Format", "Kind", "Named", "NotTheFormat", "orch_addr", "read"]


class Format(StrEnum):
    FLAG = "orch-addr"
    ADDRESSES = "addresses"
    NETWORK = "network-capabilities"
    SUBGRAPH = "subgraph"
    MANIFEST = "manifest"


_READERS: Mapping[Format, Callable[[bytes], Answer]] = {
    Format.FLAG: read_flag,
    Format.ADDRESSES: read_addresses,
    Format.NETWORK: read_network,
    Format.SUBGRAPH: read_subgraph,
    Format.MANIFEST: read_manifest,
}


def read(answer_format: Format, data: bytes) -> Answer:
    """Raises NotTheFormat with a sentence that says what is wrong, and where."""
    return _READERS[answer_format](data)
