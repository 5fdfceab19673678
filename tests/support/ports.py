"""Ports for servers in processes of their own."""

from __future__ import annotations

import socket


def port_of_ours() -> int:
    """A port of 127.0.0.1 where nothing listens, and that no other process is given as long as this one lives:
    it stays bound here, and SO_REUSEADDR lets a server listen on it all the same."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    port: int = sock.getsockname()[1]
    sock.detach()
    return port
