"""Document -> database: all of it or nothing, and only what differs.

One code path for real and for show: entries are judged in memory on what is present, each with the entries
before it in place, and every error is told at once. What is to be written is noted on the way; who only looks
ahead leaves it at that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db import models

from orchestrators.changes import change_set, configuration_in_force
from orchestrators.core.price import Price
from orchestrators.models import Capability, Offer, Orchestrator, RoutingProfile
from orchestrators.models.advice import about_capability, about_parts, about_profile
from routing.configuration.document import misfits
from routing.configuration.entries import Entry, entries_of, listed, offers_of
from routing.configuration.present import Present
from routing.configuration.pruning import Pruning
from routing.configuration.sections import (
    CAPABILITIES,
    CLIENTS,
    NO_CEILING,
    OFFERS,
    ORCHESTRATORS,
    PROFILES,
    SECTIONS,
    Section,
    default_of,
    is_relation,
    is_required,
    read_ceiling,
    read_names,
    read_value,
    same,
    shown,
)
from routing.models import Client, PriceCeiling, Tier
from routing.models.ceiling import about_chain

ABSENT = object()
UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes`: the difference, a line each. `errors`: "path: sentence"; if there are any, nothing was
    written. `kept`: what `prune` left where it is, and why. `advice`: what is seldom wise, in sentences."""

    changes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


def plan(document: object, *, prune: bool = False) -> Plan:
    """What `apply` would do. Nothing is written."""
    result = _readable(document)
    if not result.errors:
        present = Present.told(configuration_in_force())
        _Application(cast(dict[str, Any], document), present, result).run(prune=prune)
    return result


def apply(
    document: object,
    *,
    who: str,
    why: str = "",
    via: str = "apply",
    prune: bool = False,
    confirm: Callable[[Plan], bool] = lambda plan: True,
) -> Plan:
    """Make the database say what the document says; with `prune`, and nothing else in its sections.

    `confirm`: asked before anything is written, with nobody else writing; False, and nothing is.
    """
    result = _readable(document)
    if result.errors:
        return result
    with change_set(who, why, via) as changes:
        application = _Application(cast(dict[str, Any], document), Present.stored(), result)
        application.run(prune=prune)
        if not result.errors and confirm(result):
            changes.summary.extend(result.changes)
            for write in application.writes:
                write()
    return result


def _readable(document: object) -> Plan:
    """With errors, if it is no document at all."""
    result = Plan()
    if not isinstance(document, dict):
        names = ", ".join(each.name for each in SECTIONS)
        result.errors.append(f"the document: must be an object with sections: {names}.")
        return result
    result.errors.extend(misfits(document, ""))
    return result


class _Application:
    """One document on its way in. `writes`: what makes the rows say the same, in order."""

    def __init__(self, document: dict[str, Any], present: Present, result: Plan) -> None:
        self.document = document
        self.present = present
        self.result = result
        self.writes: list[Callable[[], Any]] = []
        self.entries = entries_of(document, self.complain)
        # by name: what is present, and what the document declares, sound or not
        self.known = {section.model: {**present.by_name[section.model]} for section in SECTIONS}
        for section in SECTIONS:
            for entry in self.entries[section.name]:
                self.known[section.model].setdefault(entry.name, section.model(**{section.key: entry.name}))

    def run(self, *, prune: bool) -> None:
        names = listed(self.document, self.entries)
        pruning = Pruning(names, self.present, self.result.changes, self.result.kept, self.writes)
        for section in SECTIONS:
            if prune and section is ORCHESTRATORS:  # first, since a new one may take over the address
                pruning.orchestrators()
            found = [(entry, self.known[section.model][entry.name]) for entry in self.entries[section.name]]
            for entry, instance in found:
                self.store(section, entry, instance, is_new=not self.present.holds(instance))
            for entry, instance in found:  # once all are there: they may name each other
                self.relate(section, entry, instance)
                self.go_into(entry, instance)
        if prune:
            pruning.others()
        if not self.result.errors:
            self.result.advice.extend(self.advise())

    def advise(self) -> Iterator[str]:
        """On what the document names; as the admin says it after saving."""
        for entry in self.entries[PROFILES.name]:
            yield from about_profile(cast(RoutingProfile, self.known[RoutingProfile][entry.name]))
        for entry in self.entries[CAPABILITIES.name]:
            capability = cast(Capability, self.known[Capability][entry.name])
            yield from about_capability(capability)
            parts = self.present.related.get((Capability, entry.name, "parts"), ())
            yield from about_parts(
                capability, [cast(Capability, self.known[Capability][each]) for each in parts]
            )
            yield from about_chain(entry.name, {name: self.ceiling(name) for name in (entry.name, *parts)})

    def ceiling(self, capability: str) -> Price | None:
        """That of all tiers."""
        row = self.present.ceilings.get((capability, None))
        return None if row is None else row.price

    def complain(self, path: str, sentence: str) -> None:
        self.result.errors.append(f"{path}: {sentence}")

    def tell(self, line: str) -> None:
        self.result.changes.append(line)

    def attempt(self, path: str, work: Callable[[Any], Any], said: Any) -> tuple[bool, Any]:
        """(it worked, the result); a ValueError becomes an error of the document."""
        try:
            return True, work(said)
        except ValueError as exc:
            self.complain(path, str(exc))
            return False, None

    def look_up(self, path: str, model: Any, name: Any) -> models.Model | None:
        found = self.known[model].get(name) if isinstance(name, str) else None
        if found is None:
            self.complain(path, f"there is no {model._meta.verbose_name} {_text(name)}.")
        return found

    # --- an entry and its fields -------------------------------------------------------------------

    def store(self, section: Section, entry: Entry, instance: models.Model, *, is_new: bool) -> None:
        """Compare, judge what differs, and note it if it and what it refers to are sound."""
        columns = [each for each in section.fields if not each.many_to_many]
        before = {each.name: default_of(each) if is_new else shown(instance, each) for each in columns}
        refused = {each.name for each in columns if not self.assign(entry, instance, each)}
        if not (is_new or refused) and same(before, _all_shown(instance, columns)):
            return
        if not self.judge(section, entry, instance, refused) or not self.is_anchored(instance):
            return
        after = _all_shown(instance, columns)  # cleaning may have brought it back to what it was
        if is_new or not same(before, after):
            self.present.add(instance)
            self.writes.append(instance.save)
            label = f"{section.label} {instance}"
            if is_new:
                self.tell(f"+ {label}")
            for name in after if not is_new else {}:
                if not same(before[name], after[name]):
                    self.tell(f"~ {label}: {name} {_text(before[name])} -> {_text(after[name])}")

    def assign(self, entry: Entry, instance: models.Model, column: models.Field[Any, Any]) -> bool:
        """Put what is said into the field; False after an error."""
        said, path = entry.said.get(column.name, ABSENT), f"{entry.path}.{column.name}"
        if said is ABSENT and is_required(column):
            self.complain(path, "is required.")
            return False
        value: Any = default_of(column)
        if said is not ABSENT and is_relation(column) and said is not None:
            value = self.look_up(path, column.related_model, said)
            worked = value is not None
        elif said is not ABSENT:
            worked, value = self.attempt(path, lambda said: read_value(column, said), said)
        else:
            worked = True
        if worked:
            setattr(instance, column.name, value)
        return worked

    def judge(self, section: Section, entry: Entry, instance: models.Model, refused: set[str]) -> bool:
        """The model's own validation. Relations were looked up; what was refused is not told twice."""
        relations = {each.name for each in instance._meta.local_concrete_fields if is_relation(each)}
        if isinstance(instance, Client):
            instance.others = cast(list[Client], self.beside(instance))
        found: dict[str, list[str]] = {}
        try:
            instance.full_clean(refused | relations, validate_unique=False, validate_constraints=False)
        except ValidationError as exc:
            found = exc.message_dict
        for name in {each.name for each in section.fields if each.unique} - {section.key, *refused, *found}:
            value = getattr(instance, name)
            if any(getattr(each, name) == value for each in self.beside(instance)):
                found[name] = ValidationError(instance.unique_error_message(type(instance), (name,))).messages
        for name, messages in found.items():
            for message in messages:
                self.complain(entry.path if name == "__all__" else f"{entry.path}.{name}", message)
        return not (found or refused)

    def beside(self, instance: models.Model) -> list[models.Model]:
        """The others of its kind."""
        return [each for each in self.present.by_name[type(instance)].values() if each is not instance]

    def is_anchored(self, instance: models.Model) -> bool:
        """Everything it refers to is there, or sound."""
        related = (getattr(instance, each.name, None) for each in instance._meta.fields if is_relation(each))
        return all(self.present.holds(each) for each in related if each is not None)

    def relate(self, section: Section, entry: Entry, instance: models.Model) -> None:
        """The many-to-many fields."""
        for many in section.fields:
            if not many.many_to_many:
                continue
            path = f"{entry.path}.{many.name}"
            worked, names = self.attempt(path, read_names, entry.said.get(many.name, []))
            if not worked:
                continue
            if section is CLIENTS and not names and many.name in entry.said:
                self.complain(path, "names nothing; leave it out to allow all, or set is_active: false.")
            others = [self.look_up(path, many.related_model, name) for name in names]
            key = (section.model, entry.name, many.name)
            before, after = self.present.related.get(key, []), sorted(names)
            if after != before and all(each and self.present.holds(each) for each in (instance, *others)):
                self.present.related[key] = after
                self.writes.append(partial(_relate, instance, many.name, others))
                self.tell(f"~ {section.label} {instance}: {many.name} {_text(before)} -> {_text(after)}")

    def go_into(self, entry: Entry, instance: models.Model) -> None:
        """The keys that are no fields."""
        if isinstance(instance, Capability):
            path, label = f"{entry.path}.price_ceiling", f"capability {instance}: price_ceiling"
            self.limit(path, label, entry.said.get("price_ceiling", ABSENT), instance, None)
        elif isinstance(instance, Tier):
            self.limit_tier(entry, instance)
        elif isinstance(instance, Orchestrator):
            for offered in offers_of(entry, self.complain):
                self.offer(offered, instance)

    def offer(self, entry: Entry, orchestrator: Orchestrator) -> None:
        found = self.present.offers.get((orchestrator.name, entry.name))
        self.store(OFFERS, entry, found or Offer(orchestrator=orchestrator), is_new=found is None)

    # --- price ceilings ----------------------------------------------------------------------------

    def limit_tier(self, entry: Entry, tier: Tier) -> None:
        """`price_ceilings`; those of capabilities it does not name are no longer decided."""
        path = f"{entry.path}.price_ceilings"
        said = entry.said.get("price_ceilings", {})
        if not isinstance(said, dict):
            self.complain(path, "must be an object such as {depth: 500 wei/second}.")
            return
        for name in said:
            self.look_up(f"{path}.{name}", Capability, name)
        for name, capability in sorted(self.known[Capability].items()):
            assert isinstance(capability, Capability)
            label = f"tier {tier}: price_ceilings.{name}"
            self.limit(f"{path}.{name}", label, said.get(name, ABSENT), capability, tier)

    def limit(self, path: str, label: str, said: Any, capability: Capability, tier: Tier | None) -> None:
        """Make one ceiling what is said: a price, none, or undecided (no row)."""
        row = self.present.ceilings.get((capability.slug, None if tier is None else tier.slug))
        before = UNDECIDED if row is None else NO_CEILING if row.price is None else str(row.price)
        if said is ABSENT:
            after = UNDECIDED
        else:
            worked, price = self.attempt(path, read_ceiling, said)
            if not worked:
                return
            after = NO_CEILING if price is None else str(price)
        if after == before or not all(self.present.holds(each) for each in (capability, tier) if each):
            return
        if after == UNDECIDED:
            assert row is not None
            self.present.remove(row)
            self.writes.append(row.delete)
        else:
            row = row or PriceCeiling(capability=capability, tier=tier)
            row.price = price
            self.present.add(row)
            self.writes.append(row.save)
        self.tell(f"~ {label} {before} -> {after}")


def _all_shown(instance: models.Model, columns: list[models.Field[Any, Any]]) -> dict[str, Any]:
    return {each.name: shown(instance, each) for each in columns}


def _relate(instance: models.Model, field: str, others: list[Any]) -> None:
    getattr(instance, field).set(others)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
