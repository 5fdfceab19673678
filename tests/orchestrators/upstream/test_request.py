"""No value of a request can become a line of its own, and no path leaves its prefix."""

from __future__ import annotations

import pytest

from orchestrators.upstream.transport.request import end, head, join, quoted


def test_it_writes_a_head():
    assert head(b"POST", b"/a", b"h:1", [(b"x", b"y\tz\xff"), (b"e", b"")]) == (
        b"POST /a HTTP/1.1\r\nhost: h:1\r\nx: y\tz\xff\r\ne: \r\n"
    )
    assert (end(3), end(None)) == (b"content-length: 3\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb", b"\x1b", b"a\r\n"])
def test_it_refuses_control_characters_in_a_value(value: bytes):
    with pytest.raises(ValueError, match="header field"):
        head(b"POST", b"/", b"h", [(b"x", value)])


@pytest.mark.parametrize("name", [b"", b"a b", b"a\r\nb", b"a:b", b"\xff"])
def test_it_refuses_names_that_are_no_token(name: bytes):
    with pytest.raises(ValueError, match="header field"):
        head(b"POST", b"/", b"h", [(name, b"v")])


@pytest.mark.parametrize("target", [b"", b"a", b"/a b", b"/a\r\n", b"/\x00", b"/a HTTP/1.1\r\nx: y"])
def test_it_refuses_targets_with_more_than_a_target(target: bytes):
    with pytest.raises(ValueError, match="target"):
        head(b"POST", target, b"h", [])


@pytest.mark.parametrize(
    ("prefix", "parts", "path"),
    [
        (b"/process/request/", (b"", b""), b"/process/request/"),
        (b"/process/request/", (b"v1", b""), b"/process/request/v1"),
        (b"/process/request/", (b"/v1/", b"img"), b"/process/request/v1/img"),
        (b"/process/request/", (b"/v1/", b""), b"/process/request/v1/"),
        (b"/", (b"", b"a%2Fb/c%20d//e/"), b"/a%2Fb/c%20d//e/"),
        (b"/", (b"v1", b"/img?x=1#y"), b"/v1/img"),
        (b"/", (b"v1?x=1", b"..."), b"/v1/..."),
        (b"/", (b"a..b", b".well-known/x"), b"/a..b/.well-known/x"),
    ],
)
def test_it_joins_by_single_slashes(prefix: bytes, parts: tuple[bytes, ...], path: bytes):
    """R3: the worker path is not decoded."""
    assert join(prefix, *parts) == path


@pytest.mark.parametrize(
    "part", [b"..", b"../x", b"a/../../x", b"a/./b", b"%2e%2E/x", b".%2e", b"a%2f..%2Fb", b"a/."]
)
def test_it_refuses_to_climb(part: bytes):
    with pytest.raises(ValueError, match="climbs"):
        join(b"/", b"v1", part)


def test_it_quotes_what_an_operator_wrote():
    assert quoted("a b/ü%20\r\n") == b"a%20b/%C3%BC%20%0D%0A"
