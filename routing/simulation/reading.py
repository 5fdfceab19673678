"""Plain values of a document -> numbers and names, with the path of what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

_ABSENT = object()


class ScenarioError(ValueError):
    """Not a scenario; the text is a sentence for the person who wrote it, and names the place."""


def number(value: Any, path: str, *, least: float = 0.0, most: float = 1e12) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ScenarioError(f"{path}: {value!r} is not a number.")
    if not least <= value <= most:
        bounds = f"at least {least:g}" if most >= 1e12 else f"from {least:g} to {most:g}"
        raise ScenarioError(f"{path}: {value:g} is not {bounds}.")
    return float(value)


class Fields:
    """One mapping of the document. `end` refuses what nobody has taken: it is a misspelling."""

    def __init__(self, document: Any, path: str) -> None:
        if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
            raise ScenarioError(f"{path or 'the document'}: a mapping of names to values is wanted.")
        self.path = path
        self._document = document
        self._taken: set[str] = set()

    def __repr__(self) -> str:
        return f"<Fields {self.path or 'of the document'}: {', '.join(self._document)}>"

    def names(self) -> list[str]:
        return list(self._document)

    def has(self, name: str) -> bool:
        return name in self._document

    def take(self, name: str, default: Any = _ABSENT) -> Any:
        self._taken.add(name)
        value = self._document.get(name, default)
        if value is _ABSENT:
            raise ScenarioError(f"{self._at(name)}: is missing.")
        return value

    def number(
        self, name: str, default: float | None = None, *, least: float = 0.0, most: float = 1e12
    ) -> float:
        if default is not None and name not in self._document:
            return default
        return number(self.take(name), self._at(name), least=least, most=most)

    def text(self, name: str, default: str | None = None) -> str:
        value = self.take(name) if default is None else self.take(name, default)
        if not isinstance(value, str):
            raise ScenarioError(f"{self._at(name)}: {value!r} is not a text.")
        return value

    def choice(self, name: str, default: str | None, choices: Sequence[str]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise ScenarioError(f'{self._at(name)}: "{value}" is none of {", ".join(choices)}.')
        return value

    def table(self, name: str) -> Fields:
        return Fields(self.take(name), self._at(name))

    def tables(self, name: str) -> list[Fields]:
        """A list of mappings; none where it is left out."""
        value = self.take(name, [])
        if not isinstance(value, list):
            raise ScenarioError(f"{self._at(name)}: a list is wanted.")
        return [Fields(each, f"{self._at(name)}[{index}]") for index, each in enumerate(value)]

    def end(self) -> None:
        unknown = [name for name in self._document if name not in self._taken]
        if unknown:
            known = ", ".join(sorted(self._taken))
            raise ScenarioError(f"{self._at(unknown[0])}: there is no such key. Known here: {known}.")

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name
