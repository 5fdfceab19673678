"""A client in a process of its own: one JSON line in, what became of the call as one JSON line out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.clients.environments import bare


class Driven:
    """`async with Driven(python, script) as client: told = await client.ask(...)`."""

    def __init__(self, python: Path, script: Path) -> None:
        self._command = [str(python), str(script)]

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, env=bare(), limit=2**24
        )
        return self

    async def __aexit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        await self._process.wait()

    async def ask(self, **call: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(call).encode() + b"\n")
        told: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return told
