"""The door of the console (issue 5, section 3): guessing is held up, and a second factor may be asked for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from byocgw.console.models import AuthenticatorApp
from byocgw.console.second_factor import SecondFactorMiddleware
from routing.roles import make_groups
from tests.support.authenticator import Authenticator
from tests.support.forms import act

pytestmark = pytest.mark.django_db
RIGHT = "for-tests-only"
LOGIN, INDEX, VERIFY, FACTOR = "/admin/login/", "/admin/", "/admin/verify/", "/admin/second-factor/"


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # half a second less each


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada", password=RIGHT)


def log_in(client: Client, password: str = RIGHT, *, name: str = "ada", address: str = "192.0.2.1") -> int:
    data = {"username": name, "password": password, "next": INDEX}
    return client.post(LOGIN, data, REMOTE_ADDR=address).status_code


# --- guessing ----------------------------------------------------------------------------------------


def test_who_guesses_is_locked_out_for_a_while(client: Client, ada: User) -> None:
    """By name and address together: nobody can lock out somebody who is elsewhere."""
    assert [log_in(client, "wrong") for _each in range(5)] == [200, 200, 200, 200, 429]
    assert log_in(client) == 429, "not even the right one is looked at"
    page = client.post(LOGIN, {"username": "ada", "password": RIGHT}, REMOTE_ADDR="192.0.2.1")
    assert "Locked for a while" in page.content.decode() and "axes_reset" in page.content.decode()
    assert log_in(Client(), address="192.0.2.2") == 302
    User.objects.create_superuser("bob", password=RIGHT)
    assert log_in(Client(), name="bob") == 302
    AccessAttempt.objects.update(attempt_time=AccessAttempt.objects.get().attempt_time - timedelta(hours=1))
    assert log_in(client) == 302


def test_a_forwarded_address_is_no_way_round(client: Client, ada: User) -> None:
    """What a client says of itself does not count; the server has put the proxy's client in REMOTE_ADDR."""
    data = {"username": "ada", "password": "wrong"}
    answers = [
        client.post(LOGIN, data, REMOTE_ADDR="192.0.2.1", headers={"x-forwarded-for": f"198.51.100.{each}"})
        for each in range(5)
    ]
    assert answers[-1].status_code == 429


def test_a_right_password_wipes_the_slate(client: Client, ada: User) -> None:
    for _round in range(2):
        assert [log_in(client, "wrong") for _each in range(4)] == [200] * 4
        assert log_in(client) == 302


def test_an_administrator_lets_somebody_in_again(client: Client, ada: User) -> None:
    make_groups("default")
    boss = User.objects.create_user("boss", is_staff=True)
    boss.groups.add(Group.objects.get(name="Administrator"))
    bob = User.objects.create_user("bob", password=RIGHT, is_staff=True)
    for _each in range(5):
        log_in(Client(), "wrong", name="bob")
    client.force_login(boss)
    act(client, "/admin/auth/user/", "let_in_again", bob)
    assert log_in(Client(), name="bob") == 302


# --- a second factor ---------------------------------------------------------------------------------


def begin(client: Client) -> Authenticator:
    """The app, once it has been shown the page's secret."""
    client.post(FACTOR, {"begin": "yes"})
    return Authenticator(client.get(FACTOR).context["secret"])


def set_up(client: Client) -> tuple[Authenticator, list[str]]:
    """As the page does it; the app, and the recovery codes."""
    app = begin(client)
    shown = client.post(FACTOR, {"code": app.code()})
    assert AuthenticatorApp.objects.get().confirmed
    return app, shown.context["codes"]


def test_it_is_set_up_with_the_apps_first_code(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get(FACTOR).status_code == 200 and not AuthenticatorApp.objects.exists()
    app, text = begin(client), client.get(FACTOR).content.decode()
    assert '<svg class="qr"' in text and "style=" not in text
    client.post(FACTOR, {"code": app.wrong_code()})
    assert not AuthenticatorApp.objects.get().confirmed
    AuthenticatorApp.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    shown = client.post(FACTOR, {"code": app.code()})
    assert len(shown.context["codes"]) == 10
    assert client.get(INDEX).status_code == 200, "this session has just shown it"
    stored = set(StaticToken.objects.values_list("token", flat=True))
    assert not stored & {each.replace("-", "") for each in shown.context["codes"]}, "digests, no codes"


def test_whoever_has_one_is_asked_before_any_page(client: Client, ada: User) -> None:
    client.force_login(ada)
    app, _codes = set_up(client)
    other = Client()
    assert log_in(other) == 302
    for page in (INDEX, "/admin/routing/job/", "/admin/password_change/"):
        assert other.get(page).url == f"{VERIFY}?next={page}", page
    assert other.get("/api/usage/").status_code == 403
    assert "app-orchestrators" not in other.get(VERIFY).content.decode()
    assert other.post(VERIFY, {"code": "123"}).status_code == 200
    key, code = other.session.session_key, app.code()
    assert other.post(f"{VERIFY}?next=/admin/routing/job/", {"code": code}).url == "/admin/routing/job/"
    assert other.session.session_key != key
    assert other.get(INDEX).status_code == 200
    again = Client()
    log_in(again)
    assert again.post(VERIFY, {"code": code}).status_code == 200, "none is taken twice"


def test_the_way_on_stays_on_this_host(client: Client, ada: User) -> None:
    client.force_login(ada)
    app, _codes = set_up(client)
    other = Client()
    log_in(other)
    assert other.post(f"{VERIFY}?next=https://evil.example/", {"code": app.code()}).url == INDEX


def test_a_recovery_code_opens_once(client: Client, ada: User) -> None:
    client.force_login(ada)
    _app, codes = set_up(client)
    for status in (302, 200):
        other = Client()
        log_in(other)
        assert other.post(VERIFY, {"code": codes[0].upper()}).status_code == status
    assert StaticToken.objects.count() == 9


def test_guessing_codes_is_held_up(client: Client, ada: User) -> None:
    client.force_login(ada)
    app, _codes = set_up(client)
    other = Client()
    log_in(other)
    for _each in range(3):
        other.post(VERIFY, {"code": app.wrong_code()})
    later = timezone.now() + timedelta(hours=1)  # however long this test took
    AuthenticatorApp.objects.update(throttling_failure_timestamp=later)
    assert other.post(VERIFY, {"code": app.code()}).status_code == 200, "not looked at for a while"
    assert AuthenticatorApp.objects.get().throttling_failure_count >= 1


def test_a_change_of_it_needs_a_code(client: Client, ada: User) -> None:
    client.force_login(ada)
    app, codes = set_up(client)
    client.post(FACTOR, {"take_away": "yes", "code": "wrong"})
    assert TOTPDevice.objects.exists()
    renewed = client.post(FACTOR, {"renew": "yes", "code": app.code()})
    assert set(renewed.context["codes"]).isdisjoint(codes) and StaticToken.objects.count() == 10
    assert client.post(FACTOR, {"take_away": "yes", "code": renewed.context["codes"][0]}).status_code == 302
    assert not TOTPDevice.objects.exists() and not StaticToken.objects.exists()


def test_it_may_be_required_of_everybody(client: Client, ada: User, settings: Any) -> None:
    settings.BYOCGW_SECOND_FACTOR = "required"
    client.force_login(ada)
    assert client.get(INDEX).url == f"{FACTOR}?next={INDEX}"
    assert "set it up to go on" in client.get(FACTOR).content.decode()
    set_up(client)
    assert client.get(INDEX).status_code == 200


def test_an_administrator_takes_away_what_is_lost(client: Client) -> None:
    make_groups("default")
    boss = User.objects.create_user("boss", is_staff=True)
    boss.groups.add(Group.objects.get(name="Administrator"))
    ann = User.objects.create_user("ann", password=RIGHT, is_staff=True)
    ada = User.objects.create_superuser("ada", password=RIGHT)
    for user in (ann, ada):
        own = Client()
        own.force_login(user)
        own.post(FACTOR, {"begin": "yes"})
    client.force_login(boss)
    act(client, "/admin/auth/user/", "take_away_second_factor", ann)
    data = {"action": "take_away_second_factor", "_selected_action": [str(ada.pk)]}
    assert client.post("/admin/auth/user/", data).status_code == 403
    assert [each.user for each in TOTPDevice.objects.all()] == [ada]


def test_it_costs_a_page_one_query(ada: User) -> None:
    class Request:
        user, path = ada, INDEX

    ada.is_verified = lambda: False  # type: ignore[attr-defined]
    with CaptureQueriesContext(connection) as asked:
        assert SecondFactorMiddleware(lambda request: "page")(Request()) == "page"  # type: ignore
    assert len(asked) == 1
