"""People and groups: nobody gives what they do not hold, nor touches whoever holds more.

Who may edit accounts could otherwise make themselves a superuser, or take over one by a new password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from axes.utils import reset as axes_reset
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import ManyToManyField, QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from byocgw.console.rights import held
from byocgw.console.second_factor import take_away

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    StockUserAdmin = UserAdmin[User]
else:
    ModelAdmin, StockUserAdmin = object, UserAdmin


def caller(request: HttpRequest) -> str | None:
    """Whose address failed log-ins are counted for: the server has made it that of the proxy's client."""
    return request.META.get("REMOTE_ADDR") or None


def beyond(user: Any) -> QuerySet[Permission]:
    """What they do not hold."""
    return Permission.objects.exclude(pk__in=held(user).values("pk"))


class WithinOwnRights(ModelAdmin):
    """`rights_of`: the permissions that a row gives or holds. What it is made of is ticked, not moved between
    two boxes."""

    formfield_overrides: ClassVar = {
        ManyToManyField: {"widget": CheckboxSelectMultiple({"class": "ticked"})},
    }
    filter_horizontal = ()
    show_facets = admin.ShowFacets.NEVER  # a query for every choice of every filter
    show_full_result_count = False

    def rights_of(self, row: Any) -> QuerySet[Permission]:
        raise NotImplementedError

    def may_touch(self, request: HttpRequest, row: Any) -> bool:
        if request.user.is_superuser or row is None:
            return True
        judged: dict[Any, bool] = vars(request).setdefault("judged", {})  # a page asks several times
        if row not in judged:
            mine, is_above = held(request.user).values("pk"), getattr(row, "is_superuser", False)
            judged[row] = not is_above and not self.rights_of(row).exclude(pk__in=mine).exists()
        return judged[row]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self.may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self.may_touch(request, obj)

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """To choose from: what one holds oneself."""
        made: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if made is not None and made.queryset is not None and not request.user.is_superuser:
            if made.queryset.model is Permission:
                made.queryset = made.queryset.filter(pk__in=held(request.user).values("pk"))
            elif made.queryset.model is Group:
                made.queryset = made.queryset.exclude(permissions__in=beyond(request.user))
        return made


# The stock pages of devices show their secrets; a person's own are at /admin/second-factor/.
admin.site.unregister([User, Group, TOTPDevice, StaticDevice])


@admin.register(User)
class PeopleAdmin(WithinOwnRights, StockUserAdmin):
    list_display = ("username", "first_name", "last_name", "role", "is_active", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")
    readonly_fields = ("last_login", "date_joined")
    actions = ("let_in_again", "take_away_second_factor")

    @admin.action(
        description=_("Let them log in again, after too many wrong passwords"), permissions=["change"]
    )
    def let_in_again(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        number = sum(axes_reset(username=user.get_username()) for user in queryset)
        self.message_user(request, gettext("%(n)s failed log-ins are forgotten.") % {"n": number})

    @admin.action(description=_("Take away the second factor"), permissions=["change"])
    def take_away_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """For who has lost the app and the recovery codes."""
        for user in queryset:
            if not self.may_touch(request, user):
                raise PermissionDenied
            take_away(user)
            self.log_change(request, user, "second factor taken away")
        self.message_user(request, gettext("Done; at the next log-in they can set up a new one."))

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people: QuerySet[User] = super().get_queryset(request)
        return people.prefetch_related("groups")

    def rights_of(self, row: User) -> QuerySet[Permission]:
        return held(row)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    @admin.display(description="may do")
    def role(self, user: User) -> str:
        names = [gettext("everything")] if user.is_superuser else [each.name for each in user.groups.all()]
        return ", ".join(names) if user.is_staff else gettext("nothing: no staff")


@admin.register(Group)
class RightsAdmin(WithinOwnRights, GroupAdmin):  # type: ignore[misc]
    def rights_of(self, row: Group) -> QuerySet[Permission]:
        return row.permissions.all()
