"""What there is, by name: the configuration as objects in memory, on which a plan is made.

Read from the rows by whoever writes to them; made of the document in force for whoever only wants to see. No
document holds secrets, so what has any is read from its rows all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db import models

from orchestrators.models import Capability, Offer, Orchestrator
from orchestrators.models.secret import SecretField
from routing.configuration.sections import (
    CAPABILITIES,
    NAMED,
    OFFERS,
    ORCHESTRATORS,
    SECTIONS,
    TIERS,
    Section,
    default_of,
    is_relation,
    read_ceiling,
    read_value,
    shown,
)
from routing.models import PriceCeiling, Tier

Kind = type[models.Model]


class Present:
    """`offers`: by orchestrator and capability. `ceilings`: by capability and tier (None: all). `related`: whom
    a many-to-many field names, by the object and the field."""

    def __init__(self) -> None:
        self.by_name: dict[Kind, dict[str, models.Model]] = {}
        self.offers: dict[tuple[str, str], Offer] = {}
        self.ceilings: dict[tuple[str, str | None], PriceCeiling] = {}
        self.related: dict[tuple[Kind, str, str], list[str]] = {}
        self._by_key: dict[Kind, dict[Any, models.Model]] = {}  # of what was read

    @classmethod
    def stored(cls) -> Present:
        present = cls()
        for section in SECTIONS:
            present._read(section)
        for row in (*Offer.objects.all(), *PriceCeiling.objects.all()):
            present._link(row)
            present.add(row)
        return present

    @classmethod
    def told(cls, document: Mapping[str, Any]) -> Present:
        """The rows that applying this document has brought about."""
        present = cls()
        for section in SECTIONS:
            if any(isinstance(each, SecretField) for each in section.model._meta.fields):
                present._read(section)
            else:
                present.by_name[section.model] = {}
                for said in document.get(section.name, ()):
                    present._make(section, said)
        return present

    def add(self, instance: models.Model) -> None:
        if isinstance(instance, Offer):
            self.offers[instance.orchestrator.name, instance.capability.slug] = instance
        elif isinstance(instance, PriceCeiling):
            self.ceilings[_limits(instance)] = instance
        else:
            self.by_name[type(instance)][name_of(instance)] = instance

    def remove(self, instance: models.Model) -> None:
        """With what a database deletes with it."""
        if isinstance(instance, Offer):
            del self.offers[instance.orchestrator.name, instance.capability.slug]
            return
        if isinstance(instance, PriceCeiling):
            del self.ceilings[_limits(instance)]
            return
        kind, name = type(instance), name_of(instance)
        del self.by_name[kind][name]
        self.related = {key: names for key, names in self.related.items() if key[:2] != (kind, name)}
        for place, owner in enumerate((Orchestrator, Capability)):
            if kind is owner:
                self.offers = {key: each for key, each in self.offers.items() if key[place] != name}
        for place, owner in enumerate((Capability, Tier)):
            if kind is owner:
                self.ceilings = {key: each for key, each in self.ceilings.items() if key[place] != name}

    def holds(self, instance: models.Model) -> bool:
        return name_of(instance) in self.by_name[type(instance)]

    def related_to(self, kind: Kind, field: str, name: str) -> Iterator[str]:
        """Names of the objects of a kind that name this one in that field."""
        return (key[1] for key, names in self.related.items() if key[::2] == (kind, field) and name in names)

    # --- where it is from ----------------------------------------------------------------------------

    def _read(self, section: Section) -> None:
        many = [each for each in section.fields if each.many_to_many]
        rows = section.model._default_manager.order_by(section.key)
        rows = rows.prefetch_related(*(each.name for each in many))
        self.by_name[section.model] = {name_of(row): row for row in rows}
        self._by_key[section.model] = {row.pk: row for row in rows}
        for row in rows:
            self._link(row)
            for each in many:
                self.related[section.model, name_of(row), each.name] = shown(row, each)

    def _link(self, row: models.Model) -> None:
        """To the very objects that are here: what is planned for one of them is seen from the other."""
        for each in row._meta.local_concrete_fields:
            key = getattr(row, each.attname)
            if is_relation(each) and key is not None:
                kind: Any = each.related_model
                setattr(row, each.name, self._by_key[kind][key])

    def _make(self, section: Section, said: Mapping[str, Any]) -> None:
        instance = self._filled(section, section.model(), said)
        self.add(instance)
        for each in section.fields:
            if each.many_to_many:
                self.related[section.model, name_of(instance), each.name] = sorted(said.get(each.name, ()))
        if section is ORCHESTRATORS:
            for offered in said.get(OFFERS.name, ()):
                self.add(self._filled(OFFERS, Offer(orchestrator=instance), offered))
        elif section is CAPABILITIES and "price_ceiling" in said:
            self._limit(instance, None, said["price_ceiling"])
        elif section is TIERS:
            for name, price in said.get("price_ceilings", {}).items():
                self._limit(self.by_name[Capability][name], instance, price)

    def _filled(self, section: Section, instance: Any, said: Mapping[str, Any]) -> Any:
        for column in section.fields:
            if column.many_to_many:
                continue
            value = said.get(column.name)
            if column.name not in said:
                value = default_of(column)
            elif is_relation(column):
                value = None if value is None else self.by_name[column.related_model][value]  # type: ignore[index]
            else:
                value = read_value(column, value)
            setattr(instance, column.name, value)
        return instance

    def _limit(self, capability: Any, tier: Any, said: str) -> None:
        price: Any = read_ceiling(said)
        self.add(PriceCeiling(capability=capability, tier=tier, price=price))


def name_of(instance: models.Model) -> str:
    name: str = getattr(instance, NAMED[type(instance)])
    return name


def _limits(ceiling: PriceCeiling) -> tuple[str, str | None]:
    return ceiling.capability.slug, None if ceiling.tier is None else ceiling.tier.slug
