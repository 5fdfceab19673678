"""One request over a connection of its own: whichever worker is free takes it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.served import Served


@dataclass
class Told:
    """What a client was told: a status of 0 is a connection that broke."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def code(self) -> str:
        """Of a refusal; else the status."""
        return str(self.document["code"]) if self.status >= 400 else str(self.status)


async def ask(
    gateway: Served, path: str, *, method: str = "POST", key: str = "", image: str = "a picture", **fields: str
) -> Told:
    """`key`: the gateway's, where none is given. `image`: what is in the body. `fields`: of the header."""
    body = json.dumps({"image": image}).encode() if method == "POST" else b""
    given = {"authorization": f"Bearer {key or gateway.key}", "connection": "close", "host": "gateway"}
    given |= {"content-type": "application/json", "content-length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in fields.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    writer = None
    try:
        async with asyncio.timeout(40):
            reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            found = dict(line.split(": ", 1) for line in lines[1:] if line)
            return Told(int(lines[0].split()[1]), found, await reader.readexactly(int(found["content-length"])))
    except (OSError, EOFError):
        return Told()
    finally:
        if writer is not None:
            writer.transport.abort()
