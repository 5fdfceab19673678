"""Messages to channels. Addresses are judged at every connection, redirects are not followed.

A webhook's body is JSON; `X-Byocgw-Signature: t=<epoch seconds>,v1=<hex>` is HMAC-SHA256 over
"<t>.<body>" with the channel's secret, so that a copy can neither be altered nor sent again later.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import send_mail
from django.utils.translation import gettext as _

from orchestrators.models.secret import NoKey
from orchestrators.upstream.base import Target, UpstreamError
from orchestrators.upstream.transport import Limits, Pool
from routing.models.alert import AlertChannel, ChannelKind

LIMITS = Limits(connect=5.0, idle=5.0, total=10.0, connections=4, body=64 * 1024)
SIGNATURE = "x-byocgw-signature"


@dataclass(frozen=True, slots=True)
class Told:
    """One alert of a message. `event`: alert.began | alert.ended | test."""

    event: str
    rule: str
    kind: str
    subject: str
    text: str
    at: datetime

    def document(self) -> dict[str, Any]:
        at = self.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "event": self.event,
            "rule": self.rule,
            "kind": self.kind,
            "subject": self.subject,
            "text": self.text,
            "at": at,
        }


def tell(channel: AlertChannel, told: Sequence[Told], now: datetime) -> str:
    """ "" once the channel took it, else why not, as a sentence. All of one round is one message."""
    try:
        if channel.kind == ChannelKind.EMAIL:
            return _mail(channel, told)
        url = channel.url.reveal()
        if not url:
            return _("It has no URL.")
        return asyncio.run(_post(url, *_body(channel, told, now)))
    except (UpstreamError, NoKey, ValueError) as exc:
        return str(exc)


def send_test(channel: AlertChannel, now: datetime) -> str:
    """As `tell`."""
    text = _("This is a test from the console. Alerts come like this.")
    return tell(channel, [Told("test", "test", "test", "", text, now)], now)


def signature(secret: str, body: bytes, at: int) -> str:
    mark = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mark}"


def _body(
    channel: AlertChannel, told: Sequence[Told], now: datetime
) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    if channel.kind == ChannelKind.SLACK:
        lines = "\n".join(f"{_sign(each)} {each.text}" for each in told)
        return json.dumps({"text": f"byocgw ({settings.BYOCGW_NODE})\n{lines}"}).encode(), []
    document = {"gateway": settings.BYOCGW_NODE, "alerts": [each.document() for each in told]}
    body = json.dumps(document, separators=(",", ":")).encode()
    if not channel.secret:
        return body, []
    mark = signature(channel.secret.reveal(), body, int(now.timestamp()))
    return body, [(SIGNATURE.encode(), mark.encode())]


def _sign(told: Told) -> str:
    return {"alert.began": "[!]", "alert.ended": "[ok]"}.get(told.event, "[test]")


async def _post(url: str, body: bytes, fields: list[tuple[bytes, bytes]]) -> str:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = [(b"content-type", b"application/json"), (b"user-agent", b"byocgw"), *fields]
    pool = Pool(LIMITS)
    try:
        origin = pool.origin(Target(f"{parts.scheme}://{parts.netloc}", "", "", tls="verify"))
        answer = await origin.send(b"POST", path.encode(), head, body, timeout=5.0, total=10.0)
        status = answer.status
        await answer.aclose()
    finally:
        await pool.aclose()
    return "" if 200 <= status < 300 else _("It answered %(status)s.") % {"status": status}


def _mail(channel: AlertChannel, told: Sequence[Told]) -> str:
    if not settings.EMAIL_CONFIGURED:
        return _("No mail can be sent: set EMAIL_URL.")
    subject = told[0].text if len(told) == 1 else _("%(number)s alerts") % {"number": len(told)}
    lines = "\n".join(f"{_sign(each)} {each.text}" for each in told)
    try:
        send_mail(f"[byocgw] {subject}"[:200].replace("\n", " "), lines, None, [channel.email])
    except (OSError, smtplib.SMTPException) as exc:
        return str(exc)[:200] or type(exc).__name__
    return ""
