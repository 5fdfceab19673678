"""What models and the admin call things, in the reader's language.

They say it once, in English, and know nothing of languages: here every such label becomes a look into the
catalogue (`locale/`) at the moment when it is shown. What is written down, as history is, stays English.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Field, Model
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy, override

from orchestrators.display.states import word

OURS = ("orchestrators", "routing")


def translate() -> None:
    """Once, when every model and every page is there."""
    for thing, name in labels():
        setattr(thing, name, _lazy(getattr(thing, name)))
    for field in (each for model in models() for each in model._meta.local_fields if each.choices):
        field.choices = [(value, _of_choice(value, told)) for value, told in field.flatchoices]
    for site in sites():
        if site.fieldsets:
            site.fieldsets = tuple((_lazy(title), options) for title, options in site.fieldsets)


def labels() -> Iterator[tuple[Any, str]]:
    """Each as an object and the name of its attribute, where there is a text."""
    for thing, names in _things():
        yield from ((thing, name) for name in names if getattr(thing, name, None))


def _things() -> Iterator[tuple[Any, tuple[str, ...]]]:
    yield from ((apps.get_app_config(label), ("verbose_name",)) for label in OURS)
    for model in models():
        yield model._meta, ("verbose_name", "verbose_name_plural")
        for field in fields(model):
            yield field, ("verbose_name", "help_text")
    for site in sites():
        yield site, ("search_help_text", "none_yet")
        yield from ((each, ("short_description",)) for each in functions(site))
        yield from ((each, ("title",)) for each in site.list_filter if isinstance(each, type))
        for inline in site.inlines:
            yield inline, ("verbose_name", "verbose_name_plural")
            yield from ((each, ("short_description",)) for each in functions(inline))


def models() -> Iterator[type[Model]]:
    for label in OURS:
        yield from apps.get_app_config(label).get_models()


def fields(model: type[Model]) -> list[Field[Any, Any]]:
    return [*model._meta.local_fields, *model._meta.local_many_to_many]


def sites() -> list[Any]:
    """Pages of ours: of our models, and of people."""
    return [site for site in admin.site._registry.values() if not type(site).__module__.startswith("django.")]


def functions(page: Any) -> Iterator[Any]:
    """Columns and actions of a page or of an inline, those of its bases too."""
    cls = page if isinstance(page, type) else type(page)
    named = (member for base in cls.__mro__ for member in vars(base).values())
    lists = (getattr(cls, name, None) or () for name in ("list_display", "fields", "readonly_fields"))
    listed = (each for members in lists for each in members)
    yield from (each for each in (*named, *listed) if callable(each) and hasattr(each, "short_description"))


def _lazy(text: Any) -> Any:
    with override(None):  # plurals that Django makes are put together when they are read
        plain = str(text or "")
    return gettext_lazy(plain) if plain else plain


def _of_choice(value: Any, label: Any) -> Any:
    """A word of the wire or of logs is the same everywhere, unless the reader's language has one for it."""
    with override(None):
        plain = str(label or "")
    return gettext_lazy(plain) if plain.strip("/").lower() != str(value) else _word(str(value), plain)


def _told(value: str, label: str) -> str:
    shown = word(value)
    return label if shown == value else shown


_word = lazy(_told, str)
