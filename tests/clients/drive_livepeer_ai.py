"""Runs in the environment of `livepeer-ai`: each line names an operation and its request."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from livepeer_ai import Livepeer


def perform(call: dict[str, Any]) -> dict[str, Any]:
    request = {
        name: {"file_name": "a.bin", "content": value["bytes"].encode()} if isinstance(value, dict) else value
        for name, value in call["request"].items()
    }
    with_key = Livepeer(http_bearer=call["key"], server_url=call["url"])
    operation = getattr(with_key.generate, call["operation"])
    try:
        found = asyncio.run(operation(request=request)) if call.get("later") else operation(request=request)
    except Exception as exc:
        data = getattr(exc, "data", None)
        return {
            "raised": f"{type(exc).__module__.partition('.')[0]}.{type(exc).__name__}",
            "status": getattr(exc, "status_code", None),
            "body": getattr(exc, "body", None),
            "data": None if data is None else data.model_dump(),
        }
    return {"status": found.http_meta.response.status_code, "result": found.model_dump(exclude={"http_meta"})}


for line in sys.stdin:
    print(json.dumps(perform(json.loads(line))), flush=True)
