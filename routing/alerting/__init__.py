"""Alerts: what is read, what it means, who is told.

readings   the database -> plain values; only what some rule looks at
words      a rule, a cause: as sentences
telling    messages to channels: signed webhook, Slack, e-mail
round      one round of it; the command repeats it, one process at a time
"""

from __future__ import annotations

from routing.alerting.round import EVERY, check
from routing.alerting.telling import send_test

__all__ = ["EVERY", "check", "send_test"]
