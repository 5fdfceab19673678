"""Document -> entries: the objects of a section that have a usable name, with the path of each.

Looks at the document alone: lists where there should be lists, no unknown keys, no name twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from routing.configuration.sections import OFFERS, ORCHESTRATORS, SECTIONS, Section

Complain = Callable[[str, str], None]  # (path, sentence)


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: where it stands, its name, and what it says."""

    path: str
    name: str
    said: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """The names of each section that the document has, and of each orchestrator's own list of offers."""

    names: dict[str, set[str]]
    offers: dict[str, set[str]]


def entries_of(document: dict[str, Any], complain: Complain) -> dict[str, list[Entry]]:
    """By section name, in the document's order."""
    known = [each.name for each in SECTIONS]
    for name in document:
        if name not in known:
            complain(name, f"is no section; there are {', '.join(known)}.")
    return {each.name: list(items(each, document, "", complain)) for each in SECTIONS}


def offers_of(entry: Entry, complain: Complain) -> list[Entry]:
    return list(items(OFFERS, entry.said, f"{entry.path}.", complain))


def items(section: Section, parent: dict[str, Any], prefix: str, complain: Complain) -> Iterator[Entry]:
    listed = parent.get(section.name, [])
    if not isinstance(listed, list):
        complain(f"{prefix}{section.name}", "must be a list.")
        return
    places: dict[str, str] = {}
    for index, said in enumerate(listed):
        path = f"{prefix}{section.name}[{index}]"
        name = _name(section, path, said, complain)
        if name is None:
            continue
        if name in places:
            complain(f"{path}.{section.key}", f'"{name}" is already at {places[name]}.')
            continue
        places[name] = path
        yield Entry(path, name, said)


def _name(section: Section, path: str, said: Any, complain: Complain) -> str | None:
    if not isinstance(said, dict):
        complain(path, f"must be an object such as {{{section.key}: ...}}.")
        return None
    allowed = [*(each.name for each in section.fields), *section.own]
    for key in said:
        if key not in allowed:
            complain(f"{path}.{key}", f"is no key here; there are {', '.join(allowed)}.")
    name = said.get(section.key)
    if isinstance(name, str) and name:
        return name
    complain(f"{path}.{section.key}", "is required, as text.")
    return None


def listed(document: dict[str, Any], entries: dict[str, list[Entry]]) -> Listed:
    """For pruning: what a section does not name is left out of it, what has no section is left alone."""
    return Listed(
        {name: {entry.name for entry in found} for name, found in entries.items() if name in document},
        {
            entry.name: {each.name for each in items(OFFERS, entry.said, "", lambda path, sentence: None)}
            for entry in entries[ORCHESTRATORS.name]
            if OFFERS.name in entry.said
        },
    )
