"""What a gateway sends to an orchestrator, written down independently of the code under test."""

from __future__ import annotations

import base64
import json

import httpx


def encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


ADDRESS = {"Livepeer-Eth-Address": encoded({"addr": "0xabc", "sig": ""})}


def livepeer(capability: str, **changes: object) -> dict[str, str]:
    document = {
        "id": "job-1",
        "request": '{"run": "it"}',
        "parameters": "{}",
        "capability": capability,
        "capability_url": "",
        "sender": "0xabc",
        "sig": "",
        "timeout_seconds": 30,
    }
    return {"Livepeer": encoded(document | changes)}


class Caller:
    """One caller of one orchestrator, on one connection pool. An async context manager."""

    def __init__(self, service_uri: str, *, read_timeout: float = 10.0) -> None:
        patience = httpx.Timeout(10.0, read=read_timeout)
        self.http = httpx.AsyncClient(base_url=service_uri, timeout=patience, trust_env=False)

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.aclose()

    async def token(self, capability: str) -> httpx.Response:
        return await self.http.get("/process/token", headers=ADDRESS | {"Livepeer-Capability": capability})

    async def job(
        self,
        capability: str,
        body: object = b"x",
        *,
        path: str = "",
        content_type: str = "text/x",
        **changes: object,
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = livepeer(capability, **changes) | {"Content-Type": content_type}
        return await self.http.post(f"/process/request/{path}", content=content, headers=headers)
