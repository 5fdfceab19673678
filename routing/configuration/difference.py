"""Two documents -> what differs, object by object and field by field, with defaults written out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from routing.configuration.sections import OFFERS, ORCHESTRATORS, SECTIONS, Section, default_of, same

UNSAID = ""  # an entry that is not there, or a key of its own that decides nothing
LONGEST = 400  # characters of a value

Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """Values as a document writes them; empty: there was none."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """`verb`: added | removed | changed. `section`: the document's name of it."""

    verb: str
    section: str
    name: str
    fields: tuple[FieldChange, ...]


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ObjectChange]:
    """In the document's order. What one of them does not know counts as its default."""
    return [
        change
        for section in SECTIONS
        for change in _objects(section, _by_name(section, before), _by_name(section, after))
    ]


def _objects(section: Section, before: Entries, after: Entries, prefix: str = "") -> Iterator[ObjectChange]:
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        verb = "added" if old is None else "removed" if new is None else "changed"
        fields = tuple(_fields(section, old, new))
        if fields or verb != "changed":
            yield ObjectChange(verb, section.name, f"{prefix}{name}", fields)
        if section is ORCHESTRATORS:
            offers = [_by_name(OFFERS, each or {}) for each in (old, new)]
            yield from _objects(OFFERS, offers[0], offers[1], prefix=f"{name}: ")


def _fields(
    section: Section, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> Iterator[FieldChange]:
    defaults = {field.name: default_of(field) for field in section.fields}
    names = [*defaults, *(name for name in section.own if name != OFFERS.name)]
    for name in names:
        was, is_now = ((each or {}).get(name, defaults.get(name)) for each in (old, new))
        if name != section.key and not same(was, is_now):
            yield FieldChange(name, *(_text(value, each) for value, each in ((was, old), (is_now, new))))


def _by_name(section: Section, document: Mapping[str, Any]) -> Entries:
    return {each[section.key]: each for each in document.get(section.name, ())}


def _text(value: Any, entry: Mapping[str, Any] | None) -> str:
    if entry is None or value is None:
        return UNSAID
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
