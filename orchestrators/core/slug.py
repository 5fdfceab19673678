"""Names. That of a capability is a contract such as `image-to-image`, never a model.

Which model serves a capability is the orchestrator's decision, and it changes without notice. A route
that carries a model's name breaks on that day, so names that look like model ids are refused: an
`org/Model_v4`, but also `stable-diffusion-v1-5` or `llama-3-8b`, which the pattern alone would pass.
"""

from __future__ import annotations

import re

_LONGEST = 63
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MODEL_ID = re.compile(
    r"/"  # org/model
    r"|[0-9]\.[0-9]"  # a dotted version: sd-1.5
    r"|_v[0-9]"  # Model_v4
    r"|-v[0-9]+(?:-[0-9]+)*$"  # a version at the end: sdxl-turbo-v2
    r"|-[0-9]+b(?:-|$)"  # billions of parameters: llama-3-8b
    r"|[A-Z].*[0-9]|[0-9].*[A-Z]",  # capitals and digits: SDXL2
    re.DOTALL,
)


def check_slug(text: str) -> None:
    """Raises ValueError, with a sentence for the person who chose the name, if `text` is no capability's."""
    check_contract(text)
    check_name(text)


def check_contract(text: str) -> None:
    """The same, if `text` is a model id; letters and length are for `check_name`."""
    shown = text[:_LONGEST]
    if _MODEL_ID.search(shown):
        raise ValueError(
            f'"{shown}" is a model id, and routing on model names breaks when an orchestrator updates'
            " its model; name the contract, such as image-to-image."
        )


def check_name(text: str) -> None:
    """The same, if `text` has other letters than a name has, or too many."""
    shown = text[:_LONGEST]
    if len(text) > _LONGEST:
        raise ValueError(f'"{shown}…" is too long; a name has at most {_LONGEST} characters.')
    if not _SLUG.fullmatch(text):
        raise ValueError(
            f'"{shown}" is not a name; use lower-case letters and digits, joined by single hyphens.'
        )
