"""Where this gateway connects to: the public internet, and the networks that its operator names.

Whoever may name an address (an operator, a discovery source) could otherwise make the gateway knock on
its own machine, its neighbours and its cloud's metadata service. Forms that carry an IPv4 address in an
IPv6 one are refused as such, whatever they carry: only IPv4-mapped ones are read as what they are.
Names are looked up by whoever connects, and what came of it is judged here: a name proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SETTING = "BYOCGW_ALLOWED_NETWORKS"

# What an address is, so that a refusal can say it. Whatever else is not global is reserved.
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("an unspecified address", ("0.0.0.0/8", "::/128")),
    ("a loopback address", ("127.0.0.0/8", "::1/128")),
    ("a link-local address", ("169.254.0.0/16", "fe80::/10")),
    ("a private address", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("a carrier's shared address (CGNAT)", ("100.64.0.0/10",)),
    ("a multicast address", ("224.0.0.0/4", "ff00::/8")),
    ("an IPv4 address behind NAT64", ("64:ff9b::/96", "64:ff9b:1::/48")),
    ("an IPv4 address behind 6to4", ("2002::/16",)),
    ("an IPv4 address behind Teredo", ("2001::/32",)),
    ("an IPv4 address in an outdated form", ("::/96",)),
    # which older versions of Python take for global
    ("a reserved address", ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16")),
)
_NETWORKS = tuple((ip_network(text), kind) for kind, texts in _KINDS for text in texts)
# As browsers decide it: whose last label is a number is meant as an IPv4 address.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?")
_LOOPBACK = IPv4Address("127.0.0.1")


def refusal(address: Address, allowed: Iterable[Network]) -> str:
    """ "" if it may be connected to, else a sentence with the remedy."""
    plain = _unmapped(address)
    kind = _kind(plain)
    if not kind or is_within(plain, allowed):
        return ""
    around = ip_network((int(plain), 24 if plain.version == 4 else 64), strict=False)
    return f"{plain} is {kind}; to allow it, add its network to {SETTING}, such as {around}."


def refusal_of_host(host: str, allowed: Iterable[Network]) -> str:
    """The same for the host of a URL, as far as it can be told without looking up a name."""
    try:
        address = literal(host)
    except ValueError as exc:
        return str(exc)
    return "" if address is None else refusal(address, allowed)


def caller(text: str) -> Address | None:
    """Who calls, from the text of a socket's other end; None for a Unix socket's, which has no address.

    A socket for both families spells IPv4 addresses in an IPv6 one.
    """
    try:
        return _unmapped(ip_address(text))
    except ValueError:
        return None


def is_within(address: Address | None, networks: Iterable[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def literal(host: str) -> Address | None:
    """The address that a URL's host is, None for a name; `localhost` is one by definition.

    Raises ValueError for a number that is read differently by different readers: 2130706433, 0x7f.1,
    0177.0.0.1 and 127.1 are all 127.0.0.1 to some.
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return _LOOPBACK
    try:
        return ip_address(host)
    except ValueError:
        if _NUMBER.fullmatch(host):
            raise ValueError(
                f"{host} is a number that is no address; write four decimal numbers, such as 203.0.113.7."
            ) from None
        return None


@lru_cache(maxsize=4096)  # 20 us, for addresses that are connected to again and again
def _unmapped(address: Address) -> Address:
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _kind(address: Address) -> str:
    """ "" for an address of the public internet."""
    found = next((kind for network, kind in _NETWORKS if address in network), "")
    return found or ("" if address.is_global else "a reserved address")
