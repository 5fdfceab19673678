"""Secrets in columns: encrypted at rest, written by people and shown to nobody.

Fernet (AES-128-CBC and HMAC-SHA256) under the first of BYOCGW_FIELD_KEYS; each of them is tried for
reading, so that keys can be rotated: put a new one in front, run `manage.py rotate_secrets`, take the old
one away. A `Secret` is opened by `reveal()` alone: printed, logged or put into a page it is dots.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

SEALED = "f1:"  # in front of every sealed text: which way of sealing it was
REMOVE = "none"
SETTING = "BYOCGW_FIELD_KEYS"


class NoKey(Exception):
    """The key is missing that could seal or open it; the text says what to do."""


def _box() -> MultiFernet:
    if not settings.BYOCGW_FIELD_KEYS:
        raise NoKey(f"Set {SETTING} to keep secrets.")
    from cryptography.fernet import Fernet, MultiFernet  # 7 MB of each worker, where no secret is kept

    digests = (hashlib.sha256(key.encode()).digest() for key in settings.BYOCGW_FIELD_KEYS)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


@dataclass(frozen=True, slots=True)
class Secret:
    """`sealed`: as the database has it; empty for none."""

    sealed: str = ""

    @classmethod
    def of(cls, text: str) -> Secret:
        """Raises NoKey."""
        return cls(SEALED + _box().encrypt(text.encode()).decode()) if text else cls()

    def reveal(self) -> str:
        """Raises NoKey."""
        if not self:
            return ""
        from cryptography.fernet import InvalidToken

        try:
            return _box().decrypt(self.sealed.removeprefix(SEALED)).decode()
        except InvalidToken as exc:
            raise NoKey(f"None of the keys in {SETTING} opens this secret; enter it again.") from exc

    def resealed(self) -> Secret:
        """The same under the first key. Raises NoKey."""
        return Secret.of(self.reveal())

    def __bool__(self) -> bool:
        return bool(self.sealed)

    def __str__(self) -> str:
        return "••••••••" if self else ""

    __repr__ = __str__


class SecretField(models.TextField):  # type: ignore[type-arg]
    """A `Secret`. No part of configuration as code: sections leave it out, so nothing exports or resets it."""

    description = "an encrypted text"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"blank": True, "default": Secret, **kwargs})

    def from_db_value(self, value: str | None, *_: object) -> Secret:
        return Secret(value or "")

    def to_python(self, value: object) -> Secret:
        if isinstance(value, Secret):
            return value
        text = str(value or "")
        if text.startswith(SEALED):  # of a fixture
            return Secret(text)
        try:
            return Secret.of(text)
        except NoKey as exc:
            raise ValidationError(str(exc), code="key") from exc

    def get_prep_value(self, value: object) -> str:
        return self.to_python(value).sealed

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.value_from_object(obj))

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        """What was left empty keeps what there is."""
        if data:
            setattr(instance, self.attname, Secret() if data == REMOVE else self.to_python(data))

    def formfield(self, **kwargs: Any) -> Any:
        return models.Field.formfield(self, **{**kwargs, "form_class": SecretFormField, "widget": SecretInput})


class SecretInput(forms.Textarea):
    """Never shows what is stored, only that something is."""

    def __init__(self, attrs: Any = None) -> None:
        super().__init__({"rows": 2, "autocomplete": "off", "spellcheck": "false", **(attrs or {})})

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        stored = {"placeholder": str(value)} if isinstance(value, Secret) and value else {}
        return super().get_context(name, "", {**(attrs or {}), **stored})


class SecretFormField(forms.CharField):
    def __init__(self, **kwargs: Any) -> None:
        rule = _("It is not shown again. Empty: as it is; %(word)s: removed.") % {"word": REMOVE}
        kwargs["help_text"] = f"{kwargs.get('help_text', '')} {rule}".strip()
        super().__init__(**{**kwargs, "required": False, "empty_value": "", "initial": None})

    def clean(self, value: Any) -> str:
        text = str(super().clean(value))
        if text and text != REMOVE:
            try:
                Secret.of(text)
            except NoKey as exc:
                raise ValidationError(str(exc), code="key") from exc
        return text

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)
