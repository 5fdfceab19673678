"""What follows from a text, remembered: few are in use at a time. Not of long ones: strangers may send them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

SHORT = 256  # characters or bytes

Text = TypeVar("Text", str, bytes)
Made = TypeVar("Made")


def if_short(most: int) -> Callable[[Callable[[Text], Made]], Callable[[Text], Made]]:
    """A decorator: what a function makes of the latest `most` texts is made once, unless they are longer than
    SHORT."""

    def remembering(make: Callable[[Text], Made]) -> Callable[[Text], Made]:
        remembered = lru_cache(maxsize=most)(make)

        @wraps(make)
        def made(text: Text) -> Made:
            return (remembered if len(text) <= SHORT else make)(text)

        return made

    return remembering
