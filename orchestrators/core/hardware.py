"""What a container says of the GPU it runs on, and of the number format of its model. Only ever observed.

The AI worker API answers `GET /hardware/info` with {"model_id", "gpu_info": {"0": {name, memory_total,
memory_free, ...}}}, memory in bytes. Of the model's name only the number format is read; nothing is routed
on the name itself (R30).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_MIB = 1024 * 1024
_MOST_MIB = 2**31 - 1
_LONGEST_NAME = 100
_PRECISION = re.compile(
    r"(?<![a-z0-9])(fp4|fp8|fp16|fp32|bf16|nf4|int4|int8|float16|float32|awq|gptq)(?![0-9])"
)
_SAME = {"float16": "fp16", "float32": "fp32"}

# Half of single precision and less: what real time prefers (R55).
LIGHT = frozenset({"fp16", "bf16", "fp8", "fp4", "nf4", "int8", "int4", "awq", "gptq"})


@dataclass(frozen=True, slots=True)
class Hardware:
    """`gpu`: names, "" unknown. `total`, `free`: MiB of memory of all its GPUs together, None unknown.
    `precision`: number format of the model, "" unknown."""

    gpu: str = ""
    total: int | None = None
    free: int | None = None
    precision: str = ""


def parse(document: object) -> Hardware:
    """Read defensively: what cannot be understood is unknown."""
    if not isinstance(document, Mapping):
        return Hardware()
    info = document.get("gpu_info")
    gpus = [each for each in info.values() if isinstance(each, Mapping)] if isinstance(info, Mapping) else []
    names = dict.fromkeys(name for each in gpus if isinstance(name := each.get("name"), str))
    return Hardware(
        gpu=", ".join(names)[:_LONGEST_NAME],
        total=_sum(each.get("memory_total") for each in gpus),
        free=_sum(each.get("memory_free") for each in gpus),
        precision=precision_of(document.get("model_id")),
    )


def precision_of(model: object) -> str:
    """The number format that a model's name tells, "" if none: "org/Model-fp16" is fp16."""
    found = _PRECISION.search(model.lower()) if isinstance(model, str) else None
    return _SAME.get(found[0], found[0]) if found else ""


def _sum(sizes: Iterator[object]) -> int | None:
    """MiB; None if one of them is no number of bytes, or there is none."""
    found = list(sizes)
    whole = [each for each in found if isinstance(each, int) and not isinstance(each, bool) and each >= 0]
    return min(sum(whole) // _MIB, _MOST_MIB) if found and len(whole) == len(found) else None
