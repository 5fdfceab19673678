"""The playground: who would serve a call now, and what comes of one that is sent for real.

What is sent goes through the data plane (routing/api/inside.py) as the holder of a key, with an Idempotency-Key
of its own: so a form that is sent twice is paid once, and the answer is kept for its page, bounded and expiring
as every kept answer (R16). Only who sent it sees it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import shlex
import time
from concurrent.futures import TimeoutError as TooLong
from contextlib import suppress
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orchestrators.changes import change_set
from orchestrators.models import Capability
from routing.api.inside import Answer, Sent, send
from routing.core.kept import UNDER_WAY
from routing.dashboard import current_table
from routing.explain import explain, stored_board
from routing.models import ApiKey, KeptCall
from routing.models.rate import eth_rate
from routing.pages.answers import kind_of, parts
from routing.pages.trace import dress, find, offer_links, trace
from routing.runtime import Runtime
from routing.table import Lane
from routing.trip import cost, most_wei

MAY_SEND = "orchestrators.operate"
MAY_SAVE = "orchestrators.change_capability"
LARGEST = 8 * 1024 * 1024  # bytes of a file
PATIENCE = 25.0  # seconds; a call that takes longer goes on, and its page tells
SAFE = {
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-store",
}


class CallForm(forms.Form):
    """What is sent. `once`: made with the form, so that pressing the button twice sends it once."""

    path = forms.CharField(
        required=False,
        max_length=200,
        label=gettext_lazy("Path at the container"),
        help_text=gettext_lazy("Behind the capability's address, such as predict. Mostly empty."),
    )
    content_type = forms.CharField(max_length=100, label=gettext_lazy("Content type"))
    body = forms.CharField(
        required=False,
        strip=False,
        label=gettext_lazy("Body"),
        widget=forms.Textarea({"rows": 10, "spellcheck": "false", "class": "mono"}),
    )
    file = forms.FileField(
        required=False,
        label=gettext_lazy("or a file"),
        help_text=gettext_lazy("Sent as it is, instead of the body above; up to 8 MiB."),
    )
    once = forms.CharField(max_length=64, widget=forms.HiddenInput)

    def clean_path(self) -> str:
        path = str(self.cleaned_data["path"]).lstrip("/")
        if not path.isascii() or any(ord(letter) <= 32 for letter in path):
            raise forms.ValidationError(_("Letters of ASCII without spaces; encode others as %C3%A4."))
        return path

    def clean_content_type(self) -> str:
        text = str(self.cleaned_data["content_type"])
        if not text.isascii() or any(ord(letter) < 32 for letter in text):
            raise forms.ValidationError(_("One line of ASCII, such as application/json."))
        return text

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file is not None and file.size > LARGEST:
            raise forms.ValidationError(_("Larger than 8 MiB: send it by curl."))
        return file

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        is_json = data.get("content_type", "").partition(";")[0].strip().lower().endswith("json")
        if is_json and not data.get("file") and "body" in data:
            try:
                json.loads(data["body"])
            except ValueError as exc:
                self.add_error("body", _("This is no JSON: %s") % exc)
        return data

    @property
    def payload(self) -> tuple[str, bytes]:
        """Content type and bytes."""
        file = self.cleaned_data["file"]
        if file is None:
            return self.cleaned_data["content_type"], self.cleaned_data["body"].encode()
        return file.content_type or self.cleaned_data["content_type"], file.read()


def playground(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """GET explains, and so does POST; it sends, or saves a sample, where the button says so."""
    capability = Capability.objects.filter(slug=request.GET.get("capability", "")).first()
    keys = usable_keys(timezone.now())
    key = next((each for each in keys if str(each.pk) == request.GET.get("key")), keys[0] if keys else None)
    form = CallForm(request.POST or None, request.FILES or None, initial=_initial(capability))
    doing = request.POST.get("do", "")
    if request.method == "POST" and capability is not None and form.is_valid():
        if doing == "send" and key is not None:
            return _sent(site, request, capability, key, form)
        if doing == "save":
            return _saved(request, capability, form)
    return _form(site, request, capability, key, keys, form)


def usable_keys(now: datetime) -> list[ApiKey]:
    """Those that may send calls now."""
    fresh = Q(expires_at=None) | Q(expires_at__gt=now)
    rows = ApiKey.objects.filter(fresh, revoked_at=None, client__is_active=True).exclude(scope="read")
    return list(rows.select_related("client__tier").order_by("client__name", "-created_at")[:500])


def _initial(capability: Capability | None) -> dict[str, str]:
    sample = (capability and capability.sample_request) or {}
    content_type = sample.get("content_type", "application/json")
    body = sample.get("body", {})
    return {
        "path": sample.get("path", ""),
        "content_type": content_type,
        "body": body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False),
        "once": secrets.token_hex(16),
    }


def _form(
    site: AdminSite,
    request: HttpRequest,
    capability: Capability | None,
    key: ApiKey | None,
    keys: list[ApiKey],
    form: CallForm,
) -> HttpResponse:
    tier = key.client.tier if key is not None else None
    told = None if capability is None else explained(capability.slug, tier.slug if tier else None)
    context = site.each_context(request) | {
        "title": _("Playground"),
        "capabilities": list(Capability.objects.values_list("slug", flat=True)),
        "capability": capability,
        "keys": keys,
        "key": key,
        "form": form,
        "told": told,
        "decision": told and told["decision"],
        "rate": eth_rate(),
        "curl": capability and curl(request, capability.slug, form),
        "may_send": request.user.has_perm(MAY_SEND),
        "may_save": request.user.has_perm(MAY_SAVE),
        "runs": Runtime.running is not None,
    }
    return TemplateResponse(request, "admin/playground/form.html", context)


def explained(slug: str, tier: str | None) -> dict[str, Any] | None:
    """The decision for a call that came now, and what it may cost."""
    runtime = Runtime.running
    table, board = (runtime.table, runtime.board) if runtime else (current_table(), stored_board())
    lane = table.lane(slug, tier)
    if lane is None:
        return None
    decision = explain(lane, board, revision=table.revision, now=time.time())
    dress(decision, offer_links(slug))
    decision["draws"] = []
    most = most_wei(lane, settings.BYOCGW_STREAM_TOTAL_TIMEOUT)
    return {"decision": decision, "most": most, "usual": _usual(lane, decision)}


def _usual(lane: Lane, decision: dict[str, Any]) -> int | None:
    """Wei of a call to the first one, if it takes as long as is expected."""
    first = next(iter(decision["candidates"]), None)
    offer = next((each for each in lane.offers if first and each.orchestrator == first["orchestrator"]), None)
    return None if offer is None or first is None else cost(offer.price, first["terms"]["latency_ms"] / 1000)


def curl(request: HttpRequest, slug: str, form: CallForm) -> str:
    """The same call from a shell. A file stands for itself."""
    path, content_type, body = (str(form[name].value() or "") for name in ("path", "content_type", "body"))
    way = f"/v1/capabilities/{slug}" + (f"/{path.lstrip('/')}" if path else "")
    data = "--data-binary @FILE" if request.FILES else f"--data-raw {shlex.quote(body)}"
    header = shlex.quote(f"content-type: {content_type}")
    url = shlex.quote(request.build_absolute_uri(way))
    return f'curl {url} \\\n  -H "Authorization: Bearer $KEY" \\\n  -H {header} \\\n  {data}'


# --- for real ----------------------------------------------------------------------------------------


def _once(request: HttpRequest, token: str) -> str:
    return f"playground/{request.user.pk}/{token}"


def _sent(
    site: AdminSite, request: HttpRequest, capability: Capability, key: ApiKey, form: CallForm
) -> HttpResponse:
    runtime = Runtime.running
    if not request.user.has_perm(MAY_SEND) or runtime is None:
        raise PermissionDenied
    content_type, body = form.payload
    once = _once(request, form.cleaned_data["once"])
    sent = Sent(key.digest, capability.slug, form.cleaned_data["path"], content_type, body, once)
    sending = asyncio.run_coroutine_threadsafe(send(runtime, sent), runtime.loop)
    answer: Answer | None = None
    with suppress(TooLong):  # it goes on, kept: its page tells what comes of it
        answer = sending.result(PATIENCE)
    kept = KeptCall.objects.filter(client=key.client.name, key=once).values_list("pk", flat=True).first()
    if kept is not None:
        return HttpResponseRedirect(reverse("admin:playground_call", args=[kept]))
    return _result(site, request, answer.headers.get("x-request-id", "") if answer else "", answer)


def call(site: AdminSite, request: HttpRequest, request_id: str) -> HttpResponse:
    """What came of a call that was sent here, while its answer is kept."""
    row = _kept(request, request_id)
    answer = None
    if row.status is not None and row.body is not None:
        answer = Answer(row.status, row.headers, bytes(row.body))
    return _result(site, request, row.pk, answer, row)


def part(site: AdminSite, request: HttpRequest, request_id: str, number: int) -> HttpResponse:
    """A picture, a sound or a film of the answer; whatever else it is, a file to be saved."""
    row = _kept(request, request_id)
    found = parts(row.headers.get("content-type", ""), bytes(row.body or b""))
    if number >= len(found) or not found[number].data:
        raise Http404
    shown = found[number]
    if kind_of(shown.media_type) == "file":
        headers = SAFE | {"content-disposition": f'attachment; filename="{row.pk}"'}
        return HttpResponse(shown.data, content_type="application/octet-stream", headers=headers)
    return HttpResponse(shown.data, content_type=shown.media_type, headers=SAFE)


def _kept(request: HttpRequest, request_id: str) -> KeptCall:
    row = KeptCall.objects.filter(pk=request_id, key__startswith=_once(request, "")).first()
    if row is None:
        raise Http404
    return row


def _result(
    site: AdminSite, request: HttpRequest, request_id: str, answer: Answer | None, row: KeptCall | None = None
) -> HttpResponse:
    record = find(request_id)
    slug = record.capability if record else ""
    context = site.each_context(request) | (trace(record) if record else {})
    context |= {
        "title": _("What came of it"),
        "request_id": request_id,
        "answer": answer,
        "parts": parts(answer.headers.get("content-type", ""), answer.body) if answer else [],
        "row": row,
        "under_way": row is not None and row.state in UNDER_WAY,
        "again": f"{reverse('admin:playground')}?{urlencode({'capability': slug})}",
    }
    return TemplateResponse(request, "admin/playground/result.html", context)


def _saved(request: HttpRequest, capability: Capability, form: CallForm) -> HttpResponse:
    """As the sample that probes and trials send."""
    if not request.user.has_perm(MAY_SAVE):
        raise PermissionDenied
    content_type, body = form.payload
    media_type = content_type.partition(";")[0].strip().lower()
    value: Any = base64.b64encode(body).decode()
    if media_type.endswith("json"):
        value = json.loads(body)
    elif media_type.startswith("text/"):
        value = body.decode()
    sample = {"content_type": content_type, "path": form.cleaned_data["path"], "body": value}
    why = "admin: save the playground's call as the sample request"
    with change_set(who=request.user.get_username(), why=why, via="admin") as changes:
        capability.sample_request = sample
        capability.save(update_fields=["sample_request"])
        changes.summary.append(f"changed capability {capability}: sample request")
    messages.success(request, _("Saved: probes and trials of %s send this from now on.") % capability)
    return HttpResponseRedirect(f"{reverse('admin:playground')}?{urlencode({'capability': capability.slug})}")
