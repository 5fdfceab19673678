"""Every screen of the console, found where Django finds them: a new one is looked at unnamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver

MODELS = list(admin.site._registry)


def addresses() -> Iterator[str]:
    """Every address of the admin, with the first row's key where one is asked for."""
    resolver = get_resolver()
    inner = next(each for each in resolver.url_patterns if getattr(each, "app_name", "") == "admin")
    yield from _addresses(inner, "/admin/")


def views_of(address: str, page: str) -> list[str]:
    """Other views of the same page that it links to: one for each set of parameters, such as a filter, an order
    and the next page."""
    found: dict[frozenset[str], str] = {}
    for link in re.findall(rf'href="(?:{re.escape(address)})?(\?[^"#]+)"', page):
        names = frozenset(re.findall(r"[?;&](\w+)=", link))
        found.setdefault(names, address + link.replace("&amp;", "&"))
    return list(found.values())


def _addresses(resolver: Any, base: str) -> Iterator[str]:
    for each in resolver.url_patterns:
        route = base + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _addresses(each, route)
        elif isinstance(each, URLPattern):
            yield _filled(route)


def _filled(route: str) -> str:
    """The pattern with values: the key of a row of the model that the route names."""
    parts = route.removeprefix("/admin/").split("/")
    key: Any = 1
    if len(parts) > 1 and (parts[0], parts[1]) in {(m._meta.app_label, m._meta.model_name) for m in MODELS}:
        key = getattr(apps.get_model(parts[0], parts[1])._default_manager.first(), "pk", 1)
    for name in ("path:object_id", "int:object_id", "int:pk", "str:pk", "path:pk", "int:content_type_id"):
        route = route.replace(f"<{name}>", str(key))
    route = route.replace("<slug:step>", "drain").replace("<slug:act>", "reset")
    return route.replace("<id>", str(key)).replace("<slug:slug>", "depth").replace("(?P<url>.*)$", "nothing")
