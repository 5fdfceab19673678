"""Document -> database: all of it or nothing, and only what differs.

One code path for real and for show: a dry run is undone at the end, and so is an apply with errors. That
lets every entry be judged with the entries before it in place, and every error be told at once: what can
be saved is saved, and what refers to a broken entry is judged all the same, in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db import models

from orchestrators.changes import change_set, rehearsal
from orchestrators.models import Capability, Offer, Orchestrator, RoutingProfile
from orchestrators.models.advice import about_capability, about_profile
from routing.configuration.document import misfits
from routing.configuration.entries import Entry, entries_of, listed, offers_of
from routing.configuration.pruning import Pruned, prune_orchestrators, prune_others
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
from routing.models import PriceCeiling, Tier
from routing.models.ceiling import about_ceilings

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


class _Undo(Exception):
    """Rolls everything back; never seen outside."""


def plan(document: object, *, prune: bool = False) -> Plan:
    """What `apply` would do. Nothing stays written."""
    result = _readable(document)
    if not result.errors:
        with rehearsal():
            _Application(cast(dict[str, Any], document), result).run(prune=prune)
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

    `confirm`: asked before the end, with nobody else writing; False, and nothing is kept.
    """
    result = _readable(document)
    if result.errors:
        return result
    try:
        with change_set(who, why, via) as changes:
            _Application(cast(dict[str, Any], document), result).run(prune=prune)
            changes.summary.extend(result.changes)
            if result.errors or not confirm(result):
                raise _Undo
    except _Undo:
        pass
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
    """One document on its way in. The instances live as long as this: after an undo they would lie."""

    def __init__(self, document: dict[str, Any], result: Plan) -> None:
        self.document = document
        self.result = result
        self.entries = entries_of(document, self.complain)
        # by name: the rows there are, and those the document declares, saved or not
        self.known = {section.model: _rows(section) for section in SECTIONS}
        for section in SECTIONS:
            for entry in self.entries[section.name]:
                self.known[section.model].setdefault(entry.name, section.model(**{section.key: entry.name}))
        self.offers = {
            (each.orchestrator_id, each.capability.slug): each
            for each in Offer.objects.select_related("capability")
        }
        self.ceilings = {(each.capability_id, each.tier_id): each for each in PriceCeiling.objects.all()}

    def run(self, *, prune: bool) -> None:
        names, pruned = listed(self.document, self.entries), Pruned(self.result.changes, self.result.kept)
        for section in SECTIONS:
            if prune and section is ORCHESTRATORS:  # first, since a new one may take over the address
                prune_orchestrators(names, pruned)
            found = [(entry, self.known[section.model][entry.name]) for entry in self.entries[section.name]]
            for entry, instance in found:
                self.store(section, entry, instance)
            for entry, instance in found:  # once all are there: they may name each other
                self.relate(section, entry, instance)
                self.go_into(entry, instance)
        if prune:
            prune_others(names, pruned)
        if not self.result.errors:
            self.result.advice.extend(self.advise())

    def advise(self) -> Iterator[str]:
        """On what the document names; as the admin says it after saving."""
        for entry in self.entries[PROFILES.name]:
            yield from about_profile(cast(RoutingProfile, self.known[RoutingProfile][entry.name]))
        for entry in self.entries[CAPABILITIES.name]:
            capability = cast(Capability, self.known[Capability][entry.name])
            yield from about_capability(capability)
            yield from about_ceilings(capability)

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

    def store(self, section: Section, entry: Entry, instance: models.Model) -> None:
        """Compare, judge what differs, and save it if it and what it refers to are sound."""
        columns = [each for each in section.fields if not each.many_to_many]
        is_new = instance.pk is None
        before = {each.name: default_of(each) if is_new else shown(instance, each) for each in columns}
        refused = {each.name for each in columns if not self.assign(entry, instance, each)}
        if not (is_new or refused) and same(before, _all_shown(instance, columns)):
            return
        if not self.judge(entry, instance, refused) or not _is_anchored(instance):
            return
        after = _all_shown(instance, columns)  # cleaning may have brought it back to what it was
        if is_new or not same(before, after):
            instance.save()
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

    def judge(self, entry: Entry, instance: models.Model, refused: set[str]) -> bool:
        """The model's own validation. Relations were looked up; what was refused is not told twice."""
        relations = {each.name for each in instance._meta.local_concrete_fields if is_relation(each)}
        try:
            instance.full_clean(exclude=refused | relations)
        except ValidationError as exc:
            for name, messages in exc.message_dict.items():
                for message in messages:
                    self.complain(entry.path if name == "__all__" else f"{entry.path}.{name}", message)
            return False
        return not refused

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
            before = shown(instance, many) if instance.pk else []
            if sorted(names) != before and all(each and each.pk for each in (instance, *others)):
                getattr(instance, many.name).set(others)
                self.tell(
                    f"~ {section.label} {instance}: {many.name} {_text(before)} -> {_text(sorted(names))}"
                )

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
        found = self.offers.get((orchestrator.pk, entry.name)) or Offer(orchestrator=orchestrator)
        self.store(OFFERS, entry, found)

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
        row = self.ceilings.get((capability.pk, None if tier is None else tier.pk))
        before = UNDECIDED if row is None else NO_CEILING if row.price is None else str(row.price)
        if said is ABSENT:
            after = UNDECIDED
        else:
            worked, price = self.attempt(path, read_ceiling, said)
            if not worked:
                return
            after = NO_CEILING if price is None else str(price)
        if after == before or capability.pk is None or (tier is not None and tier.pk is None):
            return
        if after == UNDECIDED:
            assert row is not None
            row.delete()
        else:
            row = row or PriceCeiling(capability=capability, tier=tier)
            row.price = price
            row.save()
        self.tell(f"~ {label} {before} -> {after}")


def _rows(section: Section) -> dict[str, models.Model]:
    rows = section.model._default_manager.all()
    for each in section.fields:
        if each.many_to_many:
            rows = rows.prefetch_related(each.name)
        elif is_relation(each):
            rows = rows.select_related(each.name)
    return {getattr(each, section.key): each for each in rows}


def _all_shown(instance: models.Model, columns: list[models.Field[Any, Any]]) -> dict[str, Any]:
    return {each.name: shown(instance, each) for each in columns}


def _is_anchored(instance: models.Model) -> bool:
    """Everything it refers to is saved."""
    related = (getattr(instance, each.name, None) for each in instance._meta.fields if is_relation(each))
    return all(each.pk is not None for each in related if each is not None)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
