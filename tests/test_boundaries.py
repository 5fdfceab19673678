"""What the code never does, read from the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).resolve().parents[1]
OURS = ("byocgw", "orchestrators", "routing")

# R2, R15: models, GPUs and containers are the orchestrators' business.
HOSTING = {
    *("torch", "torchvision", "tensorflow", "keras", "jax", "flax", "onnx", "onnxruntime", "tensorrt"),
    *("transformers", "diffusers", "accelerate", "safetensors", "huggingface_hub", "vllm", "triton"),
    *("cupy", "numba", "pycuda", "pynvml", "cuda", "nvidia", "openvino", "sklearn", "ray"),
    *("docker", "podman", "kubernetes", "containerd", "compose"),
}
STARTS_PROCESSES = {"subprocess", "multiprocessing", "pty", "pexpect", "sh"}
STARTERS = {
    *("system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "startfile", "spawnl", "spawnv"),
    *("execl", "execle", "execlp", "execlpe", "execv", "execve", "execvp", "execvpe", "spawnle", "spawnve"),
    *("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"),
    "ProcessPoolExecutor",
}
# The simulator's own process and the demo's gateway: neither is part of a gateway that serves.
MAY_START_PROCESSES = {"orchestrators/simulator/process.py", "routing/demo/stage.py"}
MAY_IMPORT_HTTPX = ("orchestrators/upstream/transport/", "routing/demo/")
# What the simulated containers compute their pictures with, imported nowhere else.
MAY_IMPORT_PICTURES = {"orchestrators/simulator/images.py"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    """(path from the root, syntax tree) of every module of the product."""
    for folder in OURS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(), str(file))


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of all imports, also of those inside functions, and of `import_module("...")`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            found |= {str(each.value).partition(".")[0] for each in node.args if isinstance(each, ast.Constant)}
    return found


def called(call: ast.Call) -> str:
    """The last name of what is called."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def offenders(banned: set[str], allowed: set[str]) -> dict[str, set[str]]:
    found = {path: imported(tree) & banned for path, tree in sources() if path not in allowed}
    return {path: names for path, names in found.items() if names}


def test_the_sources_are_found() -> None:
    paths = {path for path, _ in sources()}
    assert {"byocgw/settings.py", "routing/service.py", "orchestrators/core/price.py"} <= paths
    assert paths >= MAY_START_PROCESSES | MAY_IMPORT_PICTURES


def test_nothing_hosts_a_model() -> None:
    """R2, R15, R16: no ML, CUDA or container SDK anywhere."""
    assert offenders(HOSTING, set()) == {}


def test_no_requirement_hosts_a_model() -> None:
    """R2: not even installed, in any of the sets."""
    for file in ROOT.glob("requirements*.txt"):
        names = {line.partition("==")[0].lower() for line in file.read_text().splitlines() if "==" in line}
        assert names, file
        assert not {name.replace("-", "_") for name in names} & HOSTING, file


def test_pictures_are_the_simulators_business() -> None:
    assert offenders({"PIL", "numpy"}, MAY_IMPORT_PICTURES) == {}


def test_nothing_starts_a_process() -> None:
    """R15: no code path of a serving gateway or a prober starts a process or a container."""
    assert offenders(STARTS_PROCESSES, MAY_START_PROCESSES) == {}
    for path, tree in sources():
        calls = {called(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert path in MAY_START_PROCESSES or not calls & STARTERS, path


def test_one_place_speaks_http_to_the_outside() -> None:
    """The transport, and the demo, which is a client of ours; nobody else opens a connection his own way."""
    others = {"httpx", "requests", "aiohttp", "urllib3", "httpcore"}
    found = offenders(others, {path for path, _ in sources() if path.startswith(MAY_IMPORT_HTTPX)})
    assert found == {}


@pytest.mark.parametrize("folder", ["orchestrators/core", "routing/core"])
def test_the_core_decides_from_what_it_is_given(folder: str) -> None:
    """No clock, no dice, no framework; import-linter checks the same from the other side."""
    banned = {"django", "rest_framework", "time", "datetime", "random", "secrets", "asyncio", "socket", "os"}
    found = {path: imported(tree) & banned for path, tree in sources() if path.startswith(folder)}
    assert found
    assert not any(found.values())


# The list for other gateways tells who speaks it; a stock gateway's list names none who does not.
MAY_NAME_BYOC = {"routing/roster.py", "routing/management/commands/import_orch_addr.py"}


def test_routing_has_no_branch_for_byoc() -> None:
    """R6, R4: how an orchestrator is spoken to is its adapter's business; who chooses has one path for all."""
    asked = {path: said(tree) for path, tree in sources() if path.startswith("routing/")}
    found = {path for path, names in asked.items() if names & {"byoc", "BYOC"}}
    assert {path for path in found if "/simulation/" not in path and "/demo/" not in path} == MAY_NAME_BYOC


def said(tree: ast.Module) -> set[str]:
    """Every text constant, name and attribute."""
    nodes = list(ast.walk(tree))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return texts | names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


@pytest.mark.django_db
def test_no_policy_names_a_model() -> None:
    """R30: nothing by which people decide whom to ask has a field for one."""
    deciding = ("RoutingProfile", "Capability", "Orchestrator", "Offer", "PriceCeiling", "Tier", "Client")
    models = {each.__name__: each for each in apps.get_models() if each.__name__ in deciding}
    assert len(models) == len(deciding)
    for model in models.values():
        names = {field.name for field in model._meta.get_fields()}
        assert not {name for name in names if "model" in name or "weight" in name or "gpu" in name}, model


def test_the_checks_see_what_they_look_for() -> None:
    """Each of them on a piece of code that it must not let pass."""
    code = ast.parse("def f():\n    import torch.nn\n    from docker import api\n    import_module('cupy.x')\n")
    assert imported(code) & HOSTING == {"torch", "docker", "cupy"}
    (call,) = [node for node in ast.walk(ast.parse("os.system('x')")) if isinstance(node, ast.Call)]
    assert called(call) in STARTERS
