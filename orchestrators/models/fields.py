"""Columns and validators that several models share."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from orchestrators.core import amount
from orchestrators.core.addresses import refusal_of_host
from orchestrators.core.price import Price, PriceError
from orchestrators.core.slug import check_name


def is_key(text: str) -> bool:
    """Whether a text, as of an address, may be a row's number: digits, and no more than any database takes."""
    return text.isascii() and text.isdecimal() and len(text) < 19


def validate_slug(text: str) -> None:
    """A name of any kind; the sentence of `core.slug` becomes the form's error."""
    try:
        check_name(text)
    except ValueError as exc:
        raise ValidationError(str(exc), code="slug") from exc


def validate_allowed(url: str) -> None:
    """Its host is no address outside the public internet and the allowed networks. A name may turn out to
    be one: that is judged at every connection."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return  # no URL at all, which others say
    if sentence := refusal_of_host(host, settings.BYOCGW_ALLOWED_NETWORKS):
        raise ValidationError(sentence, code="address")


def exact_wei(wei: int, vendor: str) -> int | bytes:
    """What a column of wei is given. SQLite's integers end below 2**63, and of a longer number it would make
    a float; a blob stays as it is. Its 40 digits sort as the numbers do, after all integers."""
    return b"%040d" % wei if vendor == "sqlite" and wei >= 2**63 else wei


def teach_sqlite_wei(connection: BaseDatabaseWrapper, **_: object) -> None:
    """The SQL functions `wei_sum(a, b)` and `wei_total(column)`, exact for whatever a WeiField holds."""
    if connection.vendor == "sqlite":
        connection.connection.create_function("wei_sum", 2, _wei_sum, deterministic=True)
        connection.connection.create_aggregate("wei_total", 1, _WeiTotal)


def _wei_sum(one: int | bytes, other: int | bytes) -> int | bytes:
    return exact_wei(int(one) + int(other), "sqlite")


class _WeiTotal:
    def __init__(self) -> None:
        self._wei = 0

    def step(self, wei: int | bytes | None) -> None:
        self._wei += int(wei or 0)

    def finalize(self) -> int | bytes:
        return exact_wei(self._wei, "sqlite")


class WeiSum(models.Sum):
    """Of a WeiField: exact on SQLite too, where SUM ends at 2**63; 0 of no rows there."""

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return super().as_sql(compiler, connection, function="wei_total", **more)


class WeiField(models.Field):  # type: ignore[type-arg]
    """A whole number of wei, not negative, as `int`. Exact to 40 digits; Django's DecimalField would round
    what it reads from SQLite to 15. Sums in SQL: by `WeiSum`."""

    description = "an amount of wei"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "numeric(40, 0)"

    def from_db_value(self, value: object, *_: object) -> int | None:
        return None if value is None else int(value)  # type: ignore[call-overload]

    def to_python(self, value: object) -> int | None:
        return None if value is None else int(value)  # type: ignore[call-overload]

    def get_prep_value(self, value: object) -> int | None:
        return self.to_python(value)

    def get_db_prep_value(
        self, value: object, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> int | bytes | None:
        wei = self.get_prep_value(value)
        return None if wei is None else exact_wei(wei, connection.vendor)


class PriceField(models.CharField):  # type: ignore[type-arg]
    """A `Price`, kept as its canonical text ("1000 wei/second"): exact on every database, never a float."""

    description = "an exact price in wei per unit"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 100)
        super().__init__(**kwargs)

    def from_db_value(self, value: str | None, *_: object) -> Price | None:
        return Price.parse(value) if value else None

    def to_python(self, value: object) -> Price | None:
        if value is None or value == "" or isinstance(value, Price):
            return value or None  # type: ignore[return-value]
        try:
            return Price.parse(str(value))
        except PriceError as exc:
            raise ValidationError(str(exc), code="price") from exc

    def get_prep_value(self, value: object) -> str | None:
        price = self.to_python(value)
        return None if price is None else str(price)

    def run_validators(self, value: Price | None) -> None:
        super().run_validators("" if value is None else str(value))  # the validators measure the text

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.value_from_object(obj)) or ""

    def formfield(self, **kwargs: Any) -> Any:
        kwargs.setdefault("help_text", self.help_text or "Such as 1000 wei/second or 0.3 gwei/second.")
        return models.Field.formfield(self, **{"form_class": PriceFormField, **kwargs})


class PriceFormField(forms.Field):
    """Shows a stored price as the shortest exact text: `500 gwei/second`."""

    widget = forms.TextInput

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Price) and value.units == 1:
            return f"{amount.shown(value.wei)}/{value.unit}"
        return value

    def to_python(self, value: Any) -> Price | None:
        if value in self.empty_values or isinstance(value, Price):
            return value or None
        try:
            return Price.parse(str(value))
        except PriceError as exc:
            raise ValidationError(str(exc), code="price") from exc


class AmountField(models.CharField):  # type: ignore[type-arg]
    """An amount as `int` of wei, kept as its digits and written as people do: `0.02 eth`. Exact everywhere."""

    description = "an exact amount of money"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 40)
        super().__init__(**kwargs)

    def from_db_value(self, value: str | None, *_: object) -> int | None:
        return int(value) if value else None

    def to_python(self, value: object) -> int | None:
        if value is None or value == "" or isinstance(value, int):
            return None if value == "" else value  # type: ignore[return-value]
        try:
            return amount.parse(str(value))
        except amount.AmountError as exc:
            raise ValidationError(str(exc), code="amount") from exc

    def get_prep_value(self, value: object) -> str | None:
        wei = self.to_python(value)
        return None if wei is None else str(wei)

    def run_validators(self, value: int | None) -> None:
        super().run_validators("" if value is None else str(value))  # the validators measure the text

    def value_to_string(self, obj: models.Model) -> str:
        wei = self.to_python(self.value_from_object(obj))
        return "" if wei is None else amount.shown(wei)

    def formfield(self, **kwargs: Any) -> Any:
        kwargs.setdefault("form_class", AmountFormField)
        return super().formfield(**{"empty_value": None, **kwargs})


class AmountFormField(forms.CharField):
    """Shows stored wei as the shortest exact amount."""

    def prepare_value(self, value: Any) -> Any:
        return amount.shown(value) if isinstance(value, int) else value


class NetworksField(models.JSONField):
    """A list of networks as text, such as `["10.0.0.0/8", "192.0.2.7/32"]`."""

    description = "a list of IP networks"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"default": list, "blank": True, **kwargs})

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        super().validate(value, model_instance)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValidationError("Must be a list of networks: [10.0.0.0/8, 192.0.2.7].", code="networks")
        for text in value:
            try:
                ip_network(text)
            except ValueError as exc:
                raise ValidationError(f"{exc}; write networks such as 10.0.0.0/8.", code="networks") from exc

    def formfield(self, **kwargs: Any) -> Any:
        return models.Field.formfield(self, **{"form_class": NetworksFormField, "required": False, **kwargs})


class NetworksFormField(forms.CharField):
    """Networks separated by commas or spaces."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [text for text in re.split(r"[\s,]+", super().to_python(value) or "") if text]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))
