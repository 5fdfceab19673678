"""What is remembered of the texts that clients send: a bounded number, of a bounded length."""

from __future__ import annotations

from orchestrators.core.remembered import SHORT, if_short


def test_it_remembers_short_texts_the_latest_alone() -> None:
    asked: list[str] = []

    @if_short(2)
    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    assert [length(text) for text in ("a", "bb", "a", "ccc", "bb")] == [1, 2, 1, 3, 2]
    assert asked == ["a", "bb", "ccc", "bb"]


def test_it_remembers_no_long_text() -> None:
    asked: list[int] = []

    @if_short(2)
    def first(text: bytes) -> int:
        asked.append(len(text))
        return text[0]

    for size in (SHORT, SHORT, SHORT + 1, SHORT + 1):
        assert first(b"a" * size) == ord("a")
    assert asked == [SHORT, SHORT + 1, SHORT + 1]
