"""Which addresses may be connected to: the table, without a connection."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from orchestrators.core.addresses import SETTING, caller, is_within, literal, refusal, refusal_of_host

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "CGNAT",
    "100.127.255.255": "CGNAT",
    "192.0.0.8": "reserved",
    "192.0.2.1": "reserved",
    "198.18.0.1": "reserved",
    "203.0.113.7": "reserved",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fc00::1": "private",
    "fd12:3456::1": "private",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "2001:db8::1": "reserved",
    "3fff::1": "reserved",
    # an IPv4 address in an IPv6 one: read through, or refused as such
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.1": "private",
    "::ffff:a9fe:a9fe": "link-local",
    "::127.0.0.1": "outdated",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b::808:808": "NAT64",
    "64:ff9b:1::a00:1": "NAT64",
    "2002:7f00:1::": "6to4",
    "2002:808:808::": "6to4",
    "2001:0:808:808::1": "Teredo",
}
AMBIGUOUS = ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "1.2.3.4.5", "0x"]
PUBLIC = ["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::1111"]


@pytest.mark.parametrize(("address", "kind"), REFUSED.items())
def test_it_refuses_and_says_what_allows_it(address: str, kind: str) -> None:
    sentence = refusal(ip_address(address), ())
    assert kind in sentence
    assert SETTING in sentence


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:8.8.8.8"])
def test_it_lets_the_public_internet_pass(address: str) -> None:
    assert refusal(ip_address(address), ()) == ""


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("::1", "::1/128"),
        ("fd12::1", "fd00::/8"),
        ("64:ff9b::808:808", "64:ff9b::/96"),
    ],
)
def test_a_named_network_is_allowed(address: str, network: str) -> None:
    assert refusal(ip_address(address), [ip_network("192.168.0.0/16"), ip_network(network)]) == ""


def test_allowing_one_network_allows_no_other() -> None:
    assert refusal(ip_address("10.2.0.1"), [ip_network("10.1.0.0/16")])
    assert refusal(ip_address("64:ff9b::a00:1"), [ip_network("10.0.0.0/8")])
    assert refusal(ip_address("::1"), [ip_network("127.0.0.0/8")])


def test_the_remedy_is_a_network_that_allows_it() -> None:
    for address in ("10.1.2.3", "fd12:3456::7"):
        sentence = refusal(ip_address(address), ())
        suggested = sentence.rsplit(" ", 1)[1].rstrip(".")
        assert refusal(ip_address(address), [ip_network(suggested)]) == ""


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "1.2.3.4.5", "0x"]
)
def test_numbers_that_are_read_in_two_ways_are_refused(host: str) -> None:
    assert "four decimal numbers" in refusal_of_host(host, [ip_network("0.0.0.0/0")])


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "gateway.localhost", "127.0.0.1", "::1"])
def test_this_machine_is_known_by_its_names(host: str) -> None:
    assert "loopback" in refusal_of_host(host, ())
    assert refusal_of_host(host, [ip_network("127.0.0.0/8"), ip_network("::1/128")]) == ""


@pytest.mark.parametrize("host", ["o1.example", "localhost.example", "7.example", "0x7f.example", "a1"])
def test_a_name_is_judged_when_it_is_looked_up(host: str) -> None:
    assert literal(host) is None
    assert refusal_of_host(host, ()) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [("127.0.0.1", "127.0.0.1"), ("::ffff:10.1.2.3", "10.1.2.3"), ("::1", "::1"), ("", None), ("unix", None)],
)
def test_who_calls_is_read_from_the_other_end_of_a_socket(text: str, found: str | None) -> None:
    assert caller(text) == (None if found is None else ip_address(found))


def test_nobody_without_an_address_is_within_a_network() -> None:
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]

    assert is_within(ip_address("192.0.2.7"), everything)
    assert not is_within(ip_address("192.0.2.7"), [ip_network("10.0.0.0/8")])
    assert not is_within(None, everything)
