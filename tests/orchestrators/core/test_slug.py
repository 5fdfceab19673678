"""A capability's name is a contract, not a model."""

from __future__ import annotations

import pytest

from orchestrators.core.slug import check_name, check_slug


@pytest.mark.parametrize(
    "slug",
    [
        "image-to-image",
        "depth",
        "subtitle-burn",
        "segment-anything-2",
        "video-2-video",
        "3d",
        "a" * 63,
        "h264-4bit",
    ],
)
def test_it_accepts_contracts(slug: str) -> None:
    """R1, R24: the vocabulary is open."""
    check_slug(slug)


@pytest.mark.parametrize(
    "slug",
    [
        "stabilityai/sdxl-turbo",
        "SG161222/RealVisXL_V4.0_Lightning",
        "org/Model_v4",
        "model_v4",
        "SDXL2",
        "2Xl",
        "sd-1.5",
        "stable-diffusion-v1-5",
        "sdxl-turbo-v2",
        "llama-3-8b",
        "wan-2-1-14b-fast",
    ],
)
def test_it_refuses_model_ids_and_says_why(slug: str) -> None:
    """R30, R23"""
    with pytest.raises(ValueError, match="is a model id, and routing on model names breaks") as refusal:
        check_slug(slug)
    assert "such as image-to-image" in str(refusal.value)


@pytest.mark.parametrize("name", ["gold-v2", "gpu-8b", "small"])
def test_a_name_that_is_no_contract_may_look_like_a_model(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("slug", ["", "Depth", "a--b", "-a", "a-", "a b", "a_b", "tiefe-ü", "depth\n"])
def test_it_refuses_what_is_no_name(slug: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        check_slug(slug)


def test_it_refuses_long_names_without_repeating_them() -> None:
    with pytest.raises(ValueError, match="at most 63") as refusal:
        check_slug("a" * 10_000)
    assert len(str(refusal.value)) < 200
