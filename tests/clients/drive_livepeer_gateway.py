"""Runs in the environment of `livepeer-gateway`: each line is a job for `submit_byoc_job`."""

from __future__ import annotations

import json
import sys
from typing import Any

from livepeer_gateway.byoc import ByocJobRequest, submit_byoc_job


def perform(call: dict[str, Any]) -> dict[str, Any]:
    urls = call.pop("url")
    payload = call["payload"]
    if "zeros" in payload:  # long ones are made here
        call["payload"] = {**payload, "zeros": "0" * payload["zeros"]}
    try:
        found = submit_byoc_job(ByocJobRequest(**call), orch_url=urls)
    except Exception as exc:
        reasons = [each.reason for each in getattr(exc, "rejections", None) or []]
        return {"raised": type(exc).__name__, "message": str(exc), "reasons": reasons}
    return {
        "status": found.status_code,
        "data": found.data if isinstance(found.data, dict) else None,
        "bytes": len(found.raw_body),
        "balance": found.balance,
        "image": found.image_url,
        "audio": found.audio_url,
        "by": found.orchestrator_url,
    }


for line in sys.stdin:
    print(json.dumps(perform(json.loads(line))), flush=True)
