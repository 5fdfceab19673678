"""Rules and alerts in words, for pages and for messages."""

from __future__ import annotations

from django.utils.translation import gettext as _

from orchestrators.display.amounts import amount, count
from orchestrators.display.moments import length
from routing.core.alerting import Kind
from routing.models import Alert, AlertRule


def rule_in_words(rule: AlertRule) -> str:
    """The rule as a sentence. Its capability must be loaded."""
    of = rule.capability.slug if rule.capability else ""
    where = _("of %(of)s") % {"of": of} if of else _("of any capability")
    limit = rule.threshold or 0
    sentences = {
        Kind.NOBODY: _("When none of the offers %(where)s may serve."),
        Kind.ERRORS: _("When more than %(limit)s %% of the calls %(where)s fail."),
        Kind.P95: _("When the p95 %(where)s is above %(length)s."),
        Kind.SPEND: _("When a day costs more than %(budget)s%(of)s."),
        Kind.PROBES: _("When nothing was probed for %(seconds)s."),
        Kind.PRICE: _("When an offer asks %(limit)s %% more than an hour before."),
        Kind.CERTIFICATE: _("When an orchestrator shows another certificate than the trusted one."),
    }
    return sentences[Kind(rule.kind)] % {
        "where": where,
        "of": f" ({of})" if of else "",
        "limit": count(limit),
        "length": length(limit / 1000),
        "seconds": length(limit),
        "budget": amount(rule.budget or 0),
    }


def alert_in_words(alert: Alert) -> str:
    """What is wrong. The rule must be loaded."""
    value = int(alert.value)
    sentences = {
        Kind.NOBODY: _("%(subject)s: none of its offers may serve now."),
        Kind.ERRORS: _("%(subject)s: %(value)s %% of the calls fail."),
        Kind.P95: _("%(subject)s: the p95 is %(length)s."),
        Kind.SPEND: _("Today has cost %(amount)s so far%(of)s."),
        Kind.PROBES: _("Nothing was probed for %(seconds)s."),
        Kind.PRICE: _("%(subject)s asks %(value)s %% more than an hour before."),
        Kind.CERTIFICATE: _("%(subject)s shows another certificate than the trusted one."),
    }
    return sentences[Kind(alert.rule.kind)] % {
        "subject": alert.subject,
        "of": f" ({alert.subject})" if alert.subject else "",
        "value": count(value),
        "length": length(value / 1000),
        "seconds": length(value),
        "amount": amount(value),
    }


def what_helps(alert: Alert) -> str:
    """Where to look, or what to do."""
    return {
        Kind.NOBODY: _("manage.py explain CAPABILITY says why not."),
        Kind.ERRORS: _("The jobs that failed tell by which class; the offers, who failed."),
        Kind.P95: _("A slower or colder offer serves; look at who was chosen."),
        Kind.SPEND: _("The spend page tells by whom and where; budgets of tiers hold it."),
        Kind.PROBES: _("Keep this running: manage.py probe_orchestrators --loop"),
        Kind.PRICE: _("A price ceiling keeps it out."),
        Kind.CERTIFICATE: _("Ask its operator; then trust the new one, or disable it."),
    }[Kind(alert.rule.kind)]
