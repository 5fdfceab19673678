"""Other gateways, installed into folders of their own under .local/peers; whoever cannot be is skipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable

from tests.benchmarks.bench.stage import WORKERS, Peer, Stage, free_ports, proxying
from tests.support.served import ROOT

HOME = ROOT / ".local/peers"
INSTALLING = 900.0  # seconds
CHAT = "/v1/chat/completions"


class Skipped(Exception):
    """Why a peer takes no part."""


def nginx(stage: Stage, upstream: int) -> Peer:
    """One worker, as many as the upstream has: it is the measure for what a proxy costs at least."""
    if not shutil.which("nginx"):
        raise Skipped("nginx is not installed")
    port = free_ports(1)[0]
    process = stage.nginx(f"nginx-{port}", [proxying(port, upstream)])
    peer = Peer("nginx", f"http://127.0.0.1:{port}", "/process/request/{}", {}, process)
    process.wait_for(peer.url(), data=b"{}")
    return peer


def litellm(stage: Stage, upstream: int) -> Peer:
    binary = HOME / "litellm/bin/litellm"
    if not binary.exists():
        _install([sys.executable, "-m", "venv", str(HOME / "litellm")])
        _install([str(HOME / "litellm/bin/pip"), "install", "--quiet", "litellm[proxy]"])
    model = {"model": "openai/bench", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    configuration = stage.folder / "litellm.json"  # JSON is YAML
    configuration.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": "bench", "litellm_params": model}],
                "general_settings": {"master_key": "sk-bench"},
                "litellm_settings": {"telemetry": False},
            }
        )
    )
    port = free_ports(1)[0]
    process = stage.start(
        "litellm",
        *(str(binary), "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port)),
        *("--num_workers", str(WORKERS)),
        LITELLM_LOG="ERROR",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )
    peer = Peer("litellm", f"http://127.0.0.1:{port}", CHAT, {"authorization": "Bearer sk-bench"}, process)
    process.wait_for(peer.url(), seconds=120, data=ASKING, headers=peer.headers)
    return peer


def portkey(stage: Stage, upstream: int) -> Peer:
    if not (shutil.which("node") and shutil.which("npm")):
        raise Skipped("node and npm are not installed")
    server = HOME / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    if not server.exists():
        (HOME / "portkey").mkdir(parents=True, exist_ok=True)
        _install(["npm", "install", "--silent", "--prefix", str(HOME / "portkey"), "@portkey-ai/gateway"])
    port = free_ports(1)[0]
    process = stage.start("portkey", "node", str(server), f"--port={port}", "--headless")
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
        "authorization": "Bearer none",
    }
    peer = Peer("portkey", f"http://127.0.0.1:{port}", CHAT, headers, process)
    process.wait_for(peer.url(), data=ASKING, headers=peer.headers)
    return peer


# Some 1 KB, as a model would be asked.
ASKING = json.dumps(
    {"model": "bench", "messages": [{"role": "user", "content": "all work and no play " * 44}]}
).encode()

PEERS: dict[str, Callable[[Stage, int], Peer]] = {"nginx": nginx, "litellm": litellm, "portkey": portkey}


def _install(command: list[str]) -> None:
    HOME.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLING)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Skipped(f"cannot be installed: {exc}") from exc
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Skipped(f"cannot be installed: {said[-1][:200] if said else done.returncode}")
