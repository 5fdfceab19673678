"""Filling in the admin's forms as a browser would: what the page shows, with some fields changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.contrib.messages import get_messages
from django.forms import BaseForm
from django.test import Client

from orchestrators.models.secret import Secret


def shown(client: Client, url: str) -> dict[str, Any]:
    """Every field of the page's form and of its inlines, by name, with the value it shows."""
    response = client.get(url)
    assert response.status_code == 200, f"{url}: {response.status_code}"
    data = _values(response.context["adminform"].form)
    for inline in response.context["inline_admin_formsets"]:
        data |= _values(inline.formset.management_form)
        for form in inline.formset.forms:
            data |= _values(form)
    return data


def submit(client: Client, url: str, /, **changes: Any) -> list[str]:
    """Save the page with these changes; returns what the admin says. AssertionError: it was refused."""
    _forget_messages(client)
    response = client.post(url, shown(client, url) | changes | {"_save": "Save"})
    if response.status_code == 200:
        inlines = [inline.formset.errors for inline in response.context["inline_admin_formsets"]]
        raise AssertionError(f"{response.context['errors']} {inlines}")
    assert response.status_code == 302, f"{url}: {response.status_code}"
    return [str(message) for message in get_messages(response.wsgi_request)]


_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


def act(
    client: Client,
    url: str,
    action: str,
    *rows: Any,
    why: str = "as agreed",
    meanwhile: Callable[[], object] = bool,
) -> list[str]:
    """Run a list's action on these rows; returns what the admin says. `why`: where a reason is asked for.
    `meanwhile`: what happens while the list is looked at."""
    data: dict[str, Any] = dict(_HIDDEN.findall(client.get(url).content.decode()))
    data |= {"action": action, "index": "0", "_selected_action": [str(row.pk) for row in rows]}
    meanwhile()
    _forget_messages(client)
    response = client.post(url, data)
    if response.status_code == 200 and "told" in (response.context or ()):
        asked = {"id": data["_selected_action"], "reason": why}
        response = client.post(response.context["action"], asked)
    assert response.status_code == 302, f"{url}: {response.status_code}"
    return [str(message) for message in get_messages(response.wsgi_request)]


def _forget_messages(client: Client) -> None:
    """Of the page before: nobody has opened the one that would have shown them."""
    client.cookies.pop("messages", None)


def _values(form: BaseForm) -> dict[str, Any]:
    values = {}
    for field in form:
        value = field.value()
        if value is not None and value is not False and not isinstance(value, Secret):
            values[field.html_name] = "on" if value is True else value
    return values
