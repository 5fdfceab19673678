"""Text of others, as any database takes it."""

from __future__ import annotations


def storable(text: str) -> str:
    """Of the same length, without NUL, which PostgreSQL refuses, and lone surrogates, which nothing encodes."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
