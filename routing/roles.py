"""The groups that come with byocgw, and what each may do.

`migrate` makes them, and sets their permissions to what stands here each time: so a model that a later version
brings has its rights at once. Who wants other rights makes a group of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

OURS = ("orchestrators", "routing")
_VIEW = tuple(f"{app}.view_*" for app in OURS)

# name -> patterns of "app.codename"; one with "!" takes away what those before it gave.
ROLES: dict[str, tuple[str, ...]] = {
    "Viewer": _VIEW,
    "Operator": (*_VIEW, "orchestrators.operate"),
    "Policy editor": ("orchestrators.*", "routing.*", "!routing.[!v]*_client", "!routing.[!v]*_apikey"),
    "Key manager": (*_VIEW, "routing.*_client", "routing.*_apikey"),
    "Administrator": ("orchestrators.*", "routing.*", "auth.*_user", "auth.*_group", "auth.view_permission"),
}


def grants(role: str, permission: str) -> bool:
    """Whether the role has this permission, such as "routing.view_job"."""
    granted = False
    for pattern in ROLES[role]:
        takes_away = pattern.startswith("!")
        if fnmatchcase(permission, pattern.removeprefix("!")):
            granted = not takes_away
    return granted


def make_groups(using: str, **_: Any) -> None:
    """After every `migrate`: a receiver of post_migrate."""
    from django.contrib.auth.models import Group, Permission

    known = list(Permission.objects.using(using).select_related("content_type"))
    for role in ROLES:
        group, _made = Group.objects.using(using).get_or_create(name=role)
        group.permissions.set(_granted(role, known))


def _granted(role: str, known: Iterable[Any]) -> list[Any]:
    return [each for each in known if grants(role, f"{each.content_type.app_label}.{each.codename}")]
