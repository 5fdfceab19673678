"""What a container says of its GPU and its model's number format, read defensively."""

from __future__ import annotations

import pytest

from orchestrators.core.hardware import Hardware, parse, precision_of

GIB = 1024**3


def gpu(**said: object) -> dict[str, object]:
    return {"name": "RTX 4090", "memory_total": 24 * GIB, "memory_free": 8 * GIB, **said}


def test_it_adds_up_the_memory_of_all_its_gpus() -> None:
    """R54"""
    document = {"model_id": "org/Depth-fp16", "gpu_info": {"0": gpu(), "1": gpu(memory_free=GIB)}}
    assert parse(document) == Hardware("RTX 4090", total=48 * 1024, free=9 * 1024, precision="fp16")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"gpu_info": None},
        {"gpu_info": {"0": "a GPU"}},
        {"gpu_info": {"0": gpu(name=7, memory_total=True, memory_free=-1)}},
        {"gpu_info": {"0": {}}, "model_id": 7},
    ],
)
def test_what_it_cannot_understand_is_unknown(document: object) -> None:
    assert parse(document) == Hardware()


def test_one_gpu_of_unknown_size_makes_the_sum_unknown() -> None:
    found = parse({"gpu_info": {"0": gpu(), "1": gpu(memory_free="8 GiB")}})
    assert (found.total, found.free) == (48 * 1024, None)


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        ("org/SDXL-Turbo-fp16", "fp16"),
        ("org/model_float16", "fp16"),
        ("Depth (BF16)", "bf16"),
        ("llama-3.1-8b-instruct-awq-int4", "awq"),
        ("org/Point4D", ""),
        ("org/print8000", ""),
        (None, ""),
    ],
)
def test_it_reads_the_number_format_of_a_models_name(model: object, precision: str) -> None:
    """R55"""
    assert precision_of(model) == precision
