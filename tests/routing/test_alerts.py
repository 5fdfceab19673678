"""Alerts: one per cause, told to whom the rule says, and in somebody's hand (issue 5, screen 11)."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.models import Advert, Certificate, HealthSnapshot, OfferHealth
from orchestrators.models.secret import Secret
from routing import configuration, dashboard
from routing.alerting import check, send_test
from routing.alerting.readings import read
from routing.alerting.words import alert_in_words, rule_in_words
from routing.core.alerting import QUIET, Kind
from routing.models import Alert, AlertChannel, AlertRule, Job, PriceCeiling, UsageHour
from routing.roles import make_groups
from tests.orchestrators.scenes import ALDER, offer, orchestrator
from tests.support.forms import act
from tests.support.lists import ListServer, Say, listing, raw

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shipped")]
PAGE = "/admin/alerts/"
SECRET = "shared-by-both-ends"


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path
    dashboard._kept.clear()  # the table of another test, under the same number


@pytest.fixture
def hook() -> Iterator[ListServer]:
    with listing() as server:
        server.say["/hook"] = raw("200 OK", b"")
        server.say["/broken"] = raw("500 Oops", b"")
        yield server


def channel(hook: ListServer | None = None, path: str = "/hook", **fields: Any) -> AlertChannel:
    if hook is not None:
        fields |= {"url": Secret.of(hook.url + path), "secret": Secret.of(SECRET)}
    made = AlertChannel(name=fields.pop("name", "ops"), **fields)
    made.full_clean()
    made.save()
    return made


def rule(kind: Kind, *channels: AlertChannel, name: str = "", **fields: Any) -> AlertRule:
    made = AlertRule(name=name or f"a rule of {kind.value}", kind=kind.value, **fields)
    made.full_clean()
    made.save()
    made.channels.set(channels)
    return made


def changed_certificate(name: str = ALDER) -> Certificate:
    home = orchestrator(name)
    values = {"trusted": "aa", "seen": "bb", "seen_at": timezone.now()}
    return Certificate.objects.update_or_create(orchestrator=home, defaults=values)[0]


# --- one cause, one alert ----------------------------------------------------------------------------


def test_one_cause_is_one_alert_until_it_is_gone_for_a_while(hook: ListServer) -> None:
    rule(Kind.CERTIFICATE, channel(hook))
    certificate, now = changed_certificate(), timezone.now()
    for place in range(3):
        check(now + timedelta(seconds=30 * place))
    alert = Alert.objects.get()
    assert (alert.subject, alert.times, alert.ended_at) == (ALDER, 3, None)
    assert len(hook.bodies) == 1, "told once"
    Certificate.objects.filter(pk=certificate.pk).update(trusted="bb")
    check(now + timedelta(seconds=90))
    assert Alert.objects.get().ended_at is None, "not at once: causes come and go"
    check(now + timedelta(seconds=60 + QUIET))
    assert Alert.objects.get().ended_at is not None
    assert json.loads(hook.bodies[-1])["alerts"][0]["event"] == "alert.ended" and len(hook.bodies) == 2
    changed_certificate()
    check(now + timedelta(hours=1))
    assert Alert.objects.count() == 2


def test_the_end_of_one_is_told_however_long_nobody_looked(hook: ListServer) -> None:
    """By a check that runs once in two hours, say."""
    rule(Kind.CERTIFICATE, channel(hook))
    certificate, now = changed_certificate(), timezone.now()
    check(now)
    Certificate.objects.filter(pk=certificate.pk).update(trusted="bb")
    for hours in (2, 4):
        check(now + timedelta(hours=hours))
    assert [json.loads(body)["alerts"][0]["event"] for body in hook.bodies] == ["alert.began", "alert.ended"]


@pytest.mark.django_db(transaction=True)
def test_a_rule_that_is_deleted_while_a_channel_is_told_ends_no_round(hook: ListServer) -> None:
    first, second = channel(hook, "/slow"), channel(hook, name="pager")
    rule(Kind.CERTIFICATE, first)
    rule(Kind.PROBES, second, threshold=1)
    changed_certificate()
    OfferHealth.objects.create(offer=offer(orchestrator(ALDER), "depth"), probed_at=timezone.now())

    def delete(write: Say) -> None:
        AlertRule.objects.filter(kind=Kind.CERTIFICATE.value).delete()
        connection.close()
        raw("200 OK", b"")(write)

    hook.say["/slow"] = delete
    report = check(timezone.now() + timedelta(minutes=1))
    assert report is not None and report.failed == []
    assert Alert.objects.get().told["pager"]["took"] == "alert.began"


@pytest.mark.parametrize("wei", [6 * 10**18, 6 * 10**24])
def test_a_day_that_costs_more_than_64_bits_of_wei_is_read_exactly(wei: int) -> None:
    """SQLite's own sum ends there, with an error that would be one of the database, for all rules."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for client in ("acme", "birch"):
        UsageHour.objects.create(hour=midnight, client=client, capability="depth", requests=1, wei=wei + 1)
    rule(Kind.SPEND, budget=2 * wei)
    check(timezone.now())
    assert Alert.objects.get().value == str(2 * wei + 2)


def test_a_rule_that_is_off_or_gone_begins_nothing() -> None:
    off = rule(Kind.CERTIFICATE, enabled=False)
    changed_certificate()
    check(timezone.now())
    assert not Alert.objects.exists()
    AlertRule.objects.update(enabled=True)
    check(timezone.now())
    off.delete()
    assert not Alert.objects.exists()


def test_one_process_at_a_time() -> None:
    rule(Kind.CERTIFICATE)
    now = timezone.now()
    assert check(now, always=False) is not None
    assert check(now + timedelta(seconds=1), always=False) is None
    assert check(now + timedelta(seconds=30), always=False) is not None


# --- who is told -------------------------------------------------------------------------------------


def test_a_webhook_is_signed_and_told_all_of_a_round_at_once(hook: ListServer) -> None:
    rule(Kind.CERTIFICATE, channel(hook))
    for name in ("alder", "birch"):
        changed_certificate(name)
    now = timezone.now()
    check(now)
    [body] = hook.bodies
    told = json.loads(body)["alerts"]
    assert [(each["event"], each["subject"]) for each in told] == [
        ("alert.began", "alder"),
        ("alert.began", "birch"),
    ]
    assert told[0]["text"] == "alder shows another certificate than the trusted one."
    [mark] = [line for line in hook.headers if line.startswith(b"x-byocgw-signature: ")]
    at = int(now.timestamp())
    wanted = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert mark == f"x-byocgw-signature: t={at},v1={wanted}".encode()


def test_slack_is_told_in_its_own_format(hook: ListServer) -> None:
    assert send_test(channel(hook, kind="slack"), timezone.now()) == ""
    assert "This is a test" in json.loads(hook.bodies[0])["text"]


def test_mail_is_sent_where_a_server_is_known(settings: Any) -> None:
    rule(Kind.CERTIFICATE, channel(kind="email", email="ops@example.org"))
    changed_certificate()
    settings.EMAIL_CONFIGURED = False
    report = check(timezone.now())
    assert report is not None and report.failed == ["ops: No mail can be sent: set EMAIL_URL."]
    settings.EMAIL_CONFIGURED = True
    check(timezone.now())
    [letter] = mail.outbox
    assert letter.to == ["ops@example.org"] and "alder shows another certificate" in letter.subject


def test_what_failed_is_tried_again(hook: ListServer) -> None:
    ops = channel(hook, "/broken")
    rule(Kind.CERTIFICATE, ops)
    changed_certificate()
    now = timezone.now()
    report = check(now)
    assert report is not None and report.failed == ["ops: It answered 500."]
    AlertChannel.objects.update(url=Secret.of(f"{hook.url}/hook"))
    check(now + timedelta(seconds=30))
    check(now + timedelta(seconds=60))
    assert len(hook.bodies) == 2
    assert Alert.objects.get().told == {"ops": {"took": "alert.began", "failed": ""}}


def test_nobody_is_told_of_what_somebody_has_in_hand(hook: ListServer) -> None:
    rule(Kind.CERTIFICATE)
    for name in ("alder", "birch", "cedar"):
        changed_certificate(name)
    now = timezone.now()
    check(now)
    alerts = {each.subject: each for each in Alert.objects.all()}
    Alert.objects.filter(pk=alerts["alder"].pk).update(acknowledged_at=now, acknowledged_by="ada")
    Alert.objects.filter(pk=alerts["birch"].pk).update(silenced_until=now + timedelta(hours=1))
    AlertRule.objects.get().channels.add(channel(hook))
    check(now + timedelta(seconds=30))
    assert [each["subject"] for each in json.loads(hook.bodies[0])["alerts"]] == ["cedar"]
    check(now + timedelta(hours=2))
    assert [each["subject"] for each in json.loads(hook.bodies[1])["alerts"]] == ["birch"]


@pytest.mark.parametrize(
    "url",
    [
        *("http://169.254.169.254/latest", "https://10.0.0.1/", "ftp://a.example/", "x"),
        *("http://[::1", "https://a.example:99999/", "https://a.example:0/"),
    ],
)
def test_a_webhook_leads_to_the_public_internet_alone(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        AlertChannel(name="ops", url=Secret.of(url)).full_clean()
    assert set(refused.value.message_dict) == {"url"}


def test_an_address_is_judged_again_when_it_is_called(hook: ListServer, settings: Any) -> None:
    ops = channel(hook)
    settings.BYOCGW_ALLOWED_NETWORKS = ()
    assert "loopback" in send_test(ops, timezone.now())
    assert hook.bodies == []


def test_a_redirect_is_not_followed(hook: ListServer) -> None:
    hook.say["/away"] = raw("302 Found", b"", f"location: {hook.url}/hook")
    assert send_test(channel(hook, "/away"), timezone.now()) == "It answered 302."
    assert len(hook.asked) == 1


# --- what is read ------------------------------------------------------------------------------------


def test_every_kind_reads_what_it_watches() -> None:
    now = timezone.now().replace(minute=30)
    row = offer(orchestrator(ALDER), "depth")
    PriceCeiling.objects.create(capability=row.capability, price="1000 wei/second")
    Advert.objects.create(offer=row, claimed=True, price="20 wei/second", capacity=4, checked_at=now)
    values = {"state": "down", "until": now + timedelta(minutes=5), "epoch": 1}
    values["probed_at"] = now - timedelta(minutes=20)
    OfferHealth.objects.create(offer=row, **values)
    for minutes, price in ((90, "10 wei/second"), (30, "15 wei/second")):
        HealthSnapshot.objects.create(
            offer=row, at=now - timedelta(minutes=minutes), source="probe", outcome="ok", price=price
        )
    hour = now.replace(minute=0, second=0, microsecond=0)
    UsageHour.objects.create(
        hour=hour, client="acme", capability="depth", requests=50, failures=20, milliseconds=1, wei=7
    )
    changed_certificate()
    job = {"client": "acme", "capability": "depth", "code": "ok", "status": 200, "policy": 1, "wei": 0}
    job |= {"attempts_made": 1, "bytes_in": 0, "bytes_out": 0}
    for place in range(1, 101):
        Job.objects.create(request_id=f"{place:032x}", at=now - timedelta(seconds=place), ms=place, **job)
    found = read(list(Kind), now)
    assert found.eligible["depth"] == (0, 1)
    assert (found.failures, found.p95, found.spend) == ({"depth": (20, 50)}, {"depth": (95, 100)}, {"depth": 7})
    assert found.probe_age == 1200 and found.certificates == (ALDER,)
    assert found.prices == (("alder: depth", 10, 20),), "against what it asked an hour ago"
    assert read([], now) == type(found)()


def test_words_for_every_rule_and_alert() -> None:
    now = timezone.now()
    for kind in Kind:
        made = rule(kind, threshold=50, budget=5 * 10**17)
        alert = Alert(rule=made, subject="depth", value="70", began_at=now, seen_at=now)
        assert rule_in_words(made).endswith(".") and alert_in_words(alert).endswith(".")
    assert rule_in_words(AlertRule.objects.get(kind="errors")) == (
        "When more than 50 % of the calls of any capability fail."
    )
    assert "0.5 ETH" in rule_in_words(AlertRule.objects.get(kind="spend"))


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"kind": "errors"}, "threshold"),
        ({"kind": "spend"}, "budget"),
        ({"kind": "probes", "threshold": 9, "capability": True}, "capability"),
    ],
)
def test_a_rule_without_its_number_is_refused(fields: dict[str, Any], wrong: str) -> None:
    depth = offer(orchestrator(ALDER), "depth").capability
    fields = {name: depth if value is True else value for name, value in fields.items()}
    with pytest.raises(ValidationError) as raised:
        AlertRule(name="a rule", **fields).full_clean()
    assert set(raised.value.message_dict) == {wrong}


def test_rules_and_channels_are_configuration_without_their_secrets(hook: ListServer) -> None:
    rule(Kind.CERTIFICATE, channel(hook), name="a certificate changes")
    document = configuration.export()
    assert document["alerts"] == [{"name": "a certificate changes", "kind": "certificate", "channels": ["ops"]}]
    assert document["channels"] == [{"name": "ops"}]
    AlertRule.objects.all().delete()
    assert configuration.apply(document, who="ops", prune=True).errors == []
    assert AlertRule.objects.get().channels.get().url.reveal() == f"{hook.url}/hook"


# --- the page ----------------------------------------------------------------------------------------


def person(client: Client, group: str) -> Client:
    make_groups("default")
    user = User.objects.create_user("eve", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client.force_login(user)
    return client


def test_an_operator_takes_an_alert_in_hand(client: Client, hook: ListServer) -> None:
    rule(Kind.CERTIFICATE, channel(hook, "/broken"))
    for name in ("alder", "birch"):
        changed_certificate(name)
    check(timezone.now())
    eve = person(client, "Operator")
    with CaptureQueriesContext(connection) as asked:
        text = eve.get(PAGE).content.decode()
    assert len(asked) <= 15, [each["sql"][:90] for each in asked]
    assert "alder shows another certificate" in text and "It answered 500." in text
    first, second = Alert.objects.order_by("id")
    eve.post(PAGE, {"alert": ["9" * 40], "acknowledge": "yes"})
    taken = eve.post(PAGE, {"alert": [first.pk], "acknowledge": "yes"}, follow=True)
    assert "1 alert is in your hand now" in taken.content.decode()
    eve.post(PAGE, {"rule": second.rule_id, "newest": second.pk, "silence": "8"})
    Alert.objects.filter(pk=first.pk).update(silenced_until=None)
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.acknowledged_by == "eve" and second.silenced_until is not None
    text = eve.get(PAGE).content.decode()
    assert "in eve’s hand" in text and "silent, ends" in text


def test_who_takes_all_alerts_of_a_rule_takes_none_that_began_since(client: Client) -> None:
    rule(Kind.CERTIFICATE)
    now = timezone.now()
    changed_certificate("alder")
    check(now)
    eve = person(client, "Operator")
    shown = dict(re.findall(r'name="(rule|newest)" value="(\d+)"', eve.get(PAGE).content.decode()))
    changed_certificate("birch")
    check(now + timedelta(minutes=1))
    eve.post(PAGE, shown | {"acknowledge": "yes"})
    assert list(Alert.objects.order_by("id").values_list("acknowledged_by", flat=True)) == ["eve", ""]


def test_a_viewer_sees_and_changes_nothing(client: Client) -> None:
    rule(Kind.CERTIFICATE)
    changed_certificate()
    check(timezone.now())
    eve = person(client, "Viewer")
    text = eve.get(PAGE).content.decode()
    assert "alder shows another certificate" in text and "I take care of it" not in text
    for data in ({"alert": [Alert.objects.get().pk], "acknowledge": "yes"}, {"usual": "yes"}):
        assert eve.post(PAGE, data).status_code == 403
    assert Alert.objects.get().acknowledged_at is None and AlertRule.objects.count() == 1


def test_the_usual_rules_are_one_click(client: Client) -> None:
    eve = person(client, "Policy editor")
    assert "Add the usual rules" in eve.get(PAGE).content.decode()
    eve.post(PAGE, {"usual": "yes"})
    assert AlertRule.objects.count() == 5
    text = eve.get(PAGE).content.decode()
    assert "When nothing was probed for 10 min." in text and "check_alerts --loop" in text


def test_send_a_test_says_what_came_of_it(client: Client, hook: ListServer) -> None:
    eve = person(client, "Policy editor")
    channel(hook)
    channel(hook, "/broken", name="other")
    said = act(eve, "/admin/routing/alertchannel/", "send_test_message", *AlertChannel.objects.all())
    assert said == ["ops took it.", "other: It answered 500."]


def test_the_command_does_a_round(hook: ListServer) -> None:
    rule(Kind.CERTIFICATE, channel(hook))
    changed_certificate()
    out = StringIO()
    call_command("check_alerts", stdout=out)
    assert out.getvalue() == "1 alerts began, 0 ended.\n"
    AlertChannel.objects.update(url=Secret.of(f"{hook.url}/broken"))
    changed_certificate("birch")
    with pytest.raises(CommandError, match="ops: It answered 500"):
        call_command("check_alerts", stdout=StringIO())
