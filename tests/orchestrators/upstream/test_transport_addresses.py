"""Where a connection may go is judged by the address it goes to, at the moment it is made."""

from __future__ import annotations

from ipaddress import ip_network
from urllib.parse import urlsplit

import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotConnected, Target
from orchestrators.upstream.transport import Pool
from tests.orchestrators.upstream.conftest import OK, Peer, Serve, ask, saying

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def by_another_name(peer: Peer, host: str) -> Peer:
    return Peer(f"http://{host}:{urlsplit(peer.uri).port}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_forbidden_address_is_not_connected_to(serve: Serve, host: str) -> None:
    """However it is written, and also where only the name server says so."""
    peer = await serve(saying(OK))
    with pytest.raises(NotConnected, match="BYOCGW_ALLOWED_NETWORKS") as caught:
        await ask(Pool(allowed=()), by_another_name(peer, host))
    assert caught.value.fault is Fault.UNREACHABLE
    assert peer.connections == 0


async def test_a_named_network_is_connected_to(serve: Serve) -> None:
    peer = await serve(saying(OK))
    pool = Pool(allowed=LOOPBACK)
    answer = await ask(pool, by_another_name(peer, "localhost"))
    await answer.aclose()
    await pool.aclose()
    assert peer.received[0].headers[b"host"].startswith(b"localhost:"), "the name stays the name"


async def test_the_settings_say_which(serve: Serve, settings: object) -> None:
    """A private network's orchestrator is refused, with the remedy, until the setting names its network."""
    settings.BYOCGW_ALLOWED_NETWORKS = ()  # type: ignore[attr-defined]
    with pytest.raises(NotConnected, match=r"10\.1\.2\.3 is a private address; .* such as 10\.1\.2\.0/24"):
        pool = Pool()
        async with pool.client(Target("http://10.1.2.3:8935", "byoc", "depth")) as client:
            await client.get("/process/token")


async def test_who_refuses_at_every_address_has_refused(free_port: int) -> None:
    with pytest.raises(NotConnected) as caught:
        await ask(Pool(allowed=LOOPBACK), Peer(f"http://localhost:{free_port}"))
    assert caught.value.fault is Fault.REFUSED


async def test_a_name_that_leads_nowhere_is_unreachable() -> None:
    with pytest.raises(NotConnected) as caught:
        await ask(Pool(allowed=()), Peer("http://nobody.invalid:1"))
    assert caught.value.fault is Fault.UNREACHABLE
