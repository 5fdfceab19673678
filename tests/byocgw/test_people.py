"""Who edits accounts cannot raise themselves, nor anybody above themselves (issue 5, section 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from routing.roles import make_groups
from tests.support.forms import shown

pytestmark = pytest.mark.django_db
LIST = reverse("admin:auth_user_changelist")


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    make_groups("default")


@pytest.fixture
def boss(client: Client) -> Client:
    """An Administrator, who is no superuser."""
    client.force_login(someone("boss", "Administrator"))
    return client


def someone(name: str, *groups: str) -> User:
    user = User.objects.create_user(name, password="for-tests-only", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


def page(row: Any, *, kind: str = "change") -> str:
    return reverse(f"admin:auth_{row._meta.model_name}_{kind}", args=[row.pk])


def post(client: Client, row: Any, **more: Any) -> int:
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    client.post(page(row), shown(client, page(row)) | joined | more | {"_save": "Save"})
    row.refresh_from_db()
    return row.pk


def test_an_administrator_cannot_become_a_superuser(boss: Client) -> None:
    me = User.objects.get(username="boss")
    names = boss.get(page(me)).context["adminform"].form.fields
    assert "is_superuser" not in names and "groups" in names
    post(boss, me, is_superuser="on", first_name="Bo")
    assert (me.is_superuser, me.first_name) == (False, "Bo")


def test_an_administrator_gives_what_they_hold_and_no_more(boss: Client) -> None:
    ann = someone("ann", "Viewer")
    more = Permission.objects.get(codename="delete_session")
    view = Permission.objects.get(codename="view_job")
    for user in (User.objects.get(username="boss"), ann):
        before = set(user.user_permissions.all())
        post(boss, user, user_permissions=[more.pk])
        assert set(user.user_permissions.all()) == before
    above = Group.objects.create(name="above")
    above.permissions.set([more])
    post(boss, ann, groups=[above.pk])
    assert [each.name for each in ann.groups.all()] == ["Viewer"]
    post(boss, ann, groups=[Group.objects.get(name="Operator").pk], user_permissions=[view.pk])
    assert [each.name for each in ann.groups.all()] == ["Operator"]
    assert list(ann.user_permissions.all()) == [view]


@pytest.mark.parametrize("who", ["a superuser", "somebody with more rights", "one who is switched off"])
def test_an_administrator_does_not_touch_who_holds_more(boss: Client, who: str) -> None:
    """Neither the account, nor its password, nor its being there."""
    ada = User.objects.create_user("ada", password="for-tests-only", is_superuser=who == "a superuser")
    if not ada.is_superuser:
        ada.user_permissions.add(Permission.objects.get(codename="delete_session"))
    User.objects.filter(pk=ada.pk).update(is_active=who != "one who is switched off")
    before = User.objects.values().get(pk=ada.pk)
    assert boss.get(page(ada)).status_code == 200, "they may look"
    assert boss.post(page(ada), {"username": "mallory", "_save": "Save"}).status_code == 403
    password = reverse("admin:auth_user_password_change", args=[ada.pk])
    said = {"password1": "a-new-password-1", "password2": "a-new-password-1"}
    assert boss.post(password, said).status_code == 403
    assert boss.post(page(ada, kind="delete"), {"post": "yes"}).status_code == 403
    boss.post(LIST, {"action": "delete_selected", "_selected_action": [str(ada.pk)], "post": "yes"})
    assert User.objects.values().get(pk=ada.pk) == before


def test_an_administrator_manages_those_below(boss: Client) -> None:
    ann = someone("ann", "Viewer")
    password = reverse("admin:auth_user_password_change", args=[ann.pk])
    said = {"password1": "a-new-password-1", "password2": "a-new-password-1", "set-password": "1"}
    assert boss.post(password, said).status_code == 302
    ann.refresh_from_db()
    assert ann.check_password("a-new-password-1")
    assert boss.post(page(ann, kind="delete"), {"post": "yes"}).status_code == 302
    assert not User.objects.filter(username="ann").exists()


def test_a_group_is_made_of_what_its_maker_holds(boss: Client) -> None:
    mine, more = Permission.objects.get(codename="view_job"), Permission.objects.get(codename="delete_session")
    add = reverse("admin:auth_group_add")
    boss.post(add, {"name": "night shift", "permissions": [mine.pk, more.pk], "_save": "Save"})
    assert not Group.objects.filter(name="night shift").exists()
    boss.post(add, {"name": "night shift", "permissions": [mine.pk], "_save": "Save"})
    above = Group.objects.create(name="above")
    above.permissions.set([more])
    assert boss.post(page(above), {"name": "mine", "_save": "Save"}).status_code == 403
    night = Group.objects.get(name="night shift")
    post(boss, night, permissions=[mine.pk, more.pk])
    assert list(night.permissions.all()) == [mine]


def test_a_superuser_does_as_ever(client: Client) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    ann = someone("ann", "Viewer")
    post(client, ann, is_superuser="on")
    assert ann.is_superuser
    assert "everything" in client.get(LIST).content.decode()
