"""What somebody may do: as Django has it, by one query."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet


def held(user: Any) -> QuerySet[Permission]:
    """The account's own and its groups', whether or not it is active now."""
    if user.is_superuser:
        return Permission.objects.all()
    own = User.user_permissions.through.objects.filter(user=user)
    of_groups = Group.permissions.through.objects.filter(group__user=user)
    return Permission.objects.filter(
        Q(pk__in=own.values("permission")) | Q(pk__in=of_groups.values("permission"))
    )


class RightsBackend(ModelBackend):
    """Django's asks for the account's own permissions and for its groups' apart, on every page."""

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return set()
        if not hasattr(user_obj, "_perm_cache"):
            rows = held(user_obj).order_by().values_list("content_type__app_label", "codename")
            user_obj._perm_cache = {f"{app}.{codename}" for app, codename in rows}
        found: set[str] = user_obj._perm_cache
        return found
