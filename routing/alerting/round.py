"""One round: read, judge, note what began, goes on or ended, and tell the channels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from routing.alerting.readings import read
from routing.alerting.telling import Told, tell
from routing.alerting.words import alert_in_words
from routing.core.alerting import Finding, Kind, Open, Steps, judge, steps
from routing.models import Alert, AlertChannel, AlertRule, Chore

EVERY = timedelta(seconds=30)
CHORE = "check alerts"
KEPT = timedelta(days=90)  # for which alerts that are over stay


@dataclass(frozen=True, slots=True)
class Report:
    """`failed`: "channel: sentence"."""

    began: int
    ended: int
    failed: list[str]


def check(now: datetime, *, always: bool = True) -> Report | None:
    """None if another process has just done it and not `always`. Raises django.db.Error."""
    mine = Chore.claim(CHORE, now, EVERY)
    if not (mine or always):
        return None
    rules = {each.pk: each for each in AlertRule.objects.filter(enabled=True).select_related("capability")}
    watched = [each.as_rule() for each in rules.values()]
    found = judge(watched, read({Kind(each.kind) for each in watched}, now))
    opened = [
        Open(each.pk, each.rule_id, each.subject, each.seen_at.timestamp())
        for each in Alert.objects.filter(ended_at=None)
    ]
    todo = steps(found, opened, now.timestamp())
    _store(todo, now)
    return Report(len(todo.begin), len(todo.end), list(_tell(now)))


def _store(todo: Steps, now: datetime) -> None:
    for finding in todo.begin:
        _begin(finding, now)
    for key, finding in todo.seen:
        again = {"seen_at": now, "value": str(finding.value), "times": F("times") + 1}
        Alert.objects.filter(pk=key, ended_at=None).update(**again)
    Alert.objects.filter(pk__in=todo.end, ended_at=None).update(ended_at=now)
    Alert.objects.filter(ended_at__lt=now - KEPT).delete()


def _begin(finding: Finding, now: datetime) -> None:
    try:
        with transaction.atomic():
            Alert.objects.create(
                rule_id=finding.rule,
                subject=finding.subject[:200],
                value=str(finding.value),
                began_at=now,
                seen_at=now,
            )
    except IntegrityError:  # another round was quicker, or its rule is gone
        pass


# --- telling -----------------------------------------------------------------------------------------


def _tell(now: datetime) -> Iterator[str]:
    """Each channel once, with all it has not been told yet. What failed is tried again in the next round, for
    an hour; a silenced or acknowledged alert is not told again."""
    news: dict[AlertChannel, list[tuple[Alert, str]]] = defaultdict(list)
    an_hour_ago = now - timedelta(hours=1)
    # Of one that is over its cause may have been seen long ago, where rounds are rare or were interrupted.
    recent = Alert.objects.filter(Q(seen_at__gte=an_hour_ago) | Q(ended_at__gte=an_hour_ago))
    for alert in recent.select_related("rule").prefetch_related("rule__channels").order_by("id"):
        for channel in alert.rule.channels.all():
            event = _untold(alert, channel, now)
            if channel.enabled and event:
                news[channel].append((alert, event))
    for channel, messages in news.items():
        told = [
            Told(event, each.rule.name, each.rule.kind, each.subject, alert_in_words(each), now)
            for each, event in messages
        ]
        sentence = tell(channel, told, now)
        for alert, event in messages:
            _note(alert.pk, channel.name, event, sentence)
        if sentence:
            yield f"{channel}: {sentence}"


def _untold(alert: Alert, channel: AlertChannel, now: datetime) -> str:
    """The event that this channel has not taken yet, or ""."""
    took = alert.told.get(channel.name, {}).get("took", "")
    if alert.ended_at is not None:
        return "alert.ended" if took == "alert.began" else ""
    is_quiet = alert.acknowledged_at or (alert.silenced_until and alert.silenced_until > now)
    return "" if took or is_quiet else "alert.began"


def _note(key: int, channel: str, event: str, sentence: str) -> None:
    """People acknowledge while messages are under way: only this one column is written, on the row as it is."""
    with transaction.atomic():
        alert = Alert.objects.select_for_update().filter(pk=key).first()
        if alert is None:  # its rule was deleted meanwhile
            return
        before = alert.told.get(channel, {}).get("took", "")
        alert.told[channel] = {"took": before if sentence else event, "failed": sentence}
        alert.save(update_fields=["told"])
