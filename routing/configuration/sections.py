"""What may stand in each section: the fields of its model, by their names, and a few keys of its own.

The models decide: a field added there is at once part of the document, with its default, its type and
its validation; secrets alone are left out. What a person writes for a field, and how it is stored,
differs for two kinds only: a relation is the other's name, a price is its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import models

from orchestrators.core import amount
from orchestrators.core.price import Price, PriceError
from orchestrators.models import (
    Capability,
    DiscoverySource,
    FailureSignature,
    Offer,
    Orchestrator,
    RoutingProfile,
)
from orchestrators.models.fields import AmountField, PriceField
from orchestrators.models.secret import SecretField
from routing.models import AlertChannel, AlertRule, Client, Pipeline, Rate, Tier

NO_CEILING = "none"

_TYPES: tuple[tuple[type[models.Field[Any, Any]], tuple[type, ...], str], ...] = (
    (models.BooleanField, (bool,), "true or false"),
    (models.IntegerField, (int,), "a whole number"),
    (models.FloatField, (int, float), "a number"),
    (models.CharField, (str,), "text; put it in quotes"),
    (models.TextField, (str,), "text; put it in quotes"),
)


@dataclass(frozen=True, slots=True)
class Section:
    """`key`: the field that names an entry. `own`: keys that are no fields. `left_out`: the reverse."""

    name: str
    model: type[models.Model]
    key: str
    own: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def fields(self) -> list[models.Field[Any, Any]]:
        meta = self.model._meta
        return [
            each
            for each in (*meta.local_concrete_fields, *meta.local_many_to_many)
            if not (each.primary_key or each.name in self.left_out or isinstance(each, SecretField))
        ]

    @property
    def label(self) -> str:
        return self.model._meta.verbose_name_raw


PROFILES = Section("profiles", RoutingProfile, "slug")
CAPABILITIES = Section("capabilities", Capability, "slug", own=("price_ceiling",))
TIERS = Section("tiers", Tier, "slug", own=("price_ceilings",))
CLIENTS = Section("clients", Client, "name")
ORCHESTRATORS = Section("orchestrators", Orchestrator, "name", own=("offers",))
SIGNATURES = Section("signatures", FailureSignature, "name")
DISCOVERY = Section("discovery", DiscoverySource, "name")
RATES = Section("rates", Rate, "currency")
PIPELINES = Section("pipelines", Pipeline, "path")
CHANNELS = Section("channels", AlertChannel, "name")
ALERTS = Section("alerts", AlertRule, "name")
# `ignored_until` passes by itself: going back to an older configuration must not bring it back. When an offer
# was added is a fact of its row.
OFFERS = Section("offers", Offer, "capability", left_out=("orchestrator", "ignored_until", "added_at"))

# In the order in which they are applied: each refers to earlier ones only.
SECTIONS = (
    *(PROFILES, CAPABILITIES, TIERS, CLIENTS, ORCHESTRATORS, SIGNATURES, DISCOVERY, RATES, PIPELINES),
    *(CHANNELS, ALERTS),
)

# Who can be referred to, by which field.
NAMED: Mapping[type[models.Model], str] = {each.model: each.key for each in SECTIONS}


def is_relation(field: models.Field[Any, Any]) -> bool:
    return field.remote_field is not None


def default_of(field: models.Field[Any, Any]) -> Any:
    """What an omitted key means, as it would be written."""
    return [] if field.many_to_many else field.get_default()


def is_required(field: models.Field[Any, Any]) -> bool:
    return not (field.many_to_many or field.has_default() or field.null or field.blank)


def shown(instance: models.Model, field: models.Field[Any, Any]) -> Any:
    """The field's value as a document has it."""
    if field.many_to_many:
        named = NAMED[field.related_model]  # type: ignore[index]
        return sorted(getattr(each, named) for each in getattr(instance, field.name).all())
    value = getattr(instance, field.name, None)
    if isinstance(value, models.Model):
        return getattr(value, NAMED[type(value)])
    if isinstance(value, Price):
        return str(value)
    if isinstance(field, AmountField) and value is not None:
        return amount.shown(value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_value(field: models.Field[Any, Any], value: Any) -> Any:
    """What a person wrote for a field that is no relation, as the model takes it. Raises ValueError."""
    if value is None:
        if field.null:
            return None
        raise ValueError("must not be empty; leave the key out for its default.")
    if isinstance(field, PriceField):
        return read_price(value)
    if isinstance(field, AmountField):
        return read_amount(value)
    if isinstance(field, models.DecimalField):
        return read_amount_of(value)
    if isinstance(field, models.DateTimeField):
        return read_moment(value)
    for kind, types, wanted in _TYPES:
        if isinstance(field, kind) and not _is_a(value, types):
            raise ValueError(f"must be {wanted}.")
    if isinstance(field, models.FloatField):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("is too large.") from None
    return value


def read_price(value: Any) -> Price:
    if not isinstance(value, str):
        raise ValueError("must be text such as 1000 wei/second.")
    try:
        return Price.parse(value)
    except PriceError as exc:
        raise ValueError(str(exc)) from exc


def read_amount(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("must be text such as 0.02 eth or 1000 wei.")
    return amount.parse(value)


def read_amount_of(value: Any) -> Decimal:
    """Of money other than wei: exact, so a number with a point is written as text."""
    try:
        amount = Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except InvalidOperation:
        amount = None
    if amount is not None and amount.is_finite():
        return amount
    raise ValueError('must be a decimal number in quotes, such as "3600.50".')


def read_moment(value: Any) -> datetime:
    try:
        if isinstance(value, str) and (moment := datetime.fromisoformat(value)).tzinfo is not None:
            return moment
    except ValueError:
        pass
    raise ValueError("must be a date and time with a time zone, such as 2026-11-25T12:00:00Z.")


def read_ceiling(value: Any) -> Price | None:
    """None: decided that there is no ceiling."""
    if value == NO_CEILING:
        return None
    if not isinstance(value, str):
        raise ValueError("must be text such as 1000 wei/second, or none for no ceiling.")
    return read_price(value)


def read_names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("must be a list of names.")
    twice = next((each for index, each in enumerate(value) if each in value[:index]), None)
    if twice is not None:
        raise ValueError(f'names "{twice}" twice.')
    return value


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 3 is 3.0, but 1 is not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _is_a(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
