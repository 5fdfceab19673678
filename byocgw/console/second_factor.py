"""The second factor: a code from an app after the password, and recovery codes for when the app is gone.

Who has set one up is asked for it once a session, before any page of the control plane; with
BYOCGW_SECOND_FACTOR=required, who has none sets one up first. Devices, clocks and the brake on guessing
are django-otp's. The database holds the app's secret encrypted, and of a recovery code a digest.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode
from collections.abc import Callable
from typing import Any

import django_otp
from django import forms
from django.conf import settings
from django.contrib.admin import AdminSite
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_otp.plugins.otp_static.models import StaticDevice

from byocgw.console.models import AuthenticatorApp
from orchestrators.models.secret import NoKey

RECOVERY_CODES = 10
# What a person may open before the second factor, by URL name.
_BEFORE = ("admin:verify", "admin:second_factor", "admin:logout", "admin:login", "set_language")


def app_of(user: Any) -> AuthenticatorApp | None:
    device: AuthenticatorApp | None = AuthenticatorApp.objects.filter(user=user, confirmed=True).first()
    return device


class SecondFactorMiddleware:
    """Costs a logged-in person one query a page: the device of the session, or whether there is any."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.required = settings.BYOCGW_SECOND_FACTOR == "required"

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user: Any = request.user
        if not user.is_staff or user.is_verified() or request.path in map(reverse, _BEFORE):
            return self.get_response(request)
        wanted = "admin:verify" if app_of(user) else "admin:second_factor" if self.required else ""
        if not wanted:
            return self.get_response(request)
        if request.path.startswith("/api/"):
            return JsonResponse({"detail": "The second factor is missing."}, status=403)
        return HttpResponseRedirect(f"{reverse(wanted)}?next={request.path}")


class CodeForm(forms.Form):
    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=20,
        widget=forms.TextInput({"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}),
    )

    def __init__(self, data: Any, check: Callable[[str], bool]) -> None:
        super().__init__(data)
        self.check = check

    def clean_code(self) -> str:
        code = "".join(self.cleaned_data["code"].split()).lower().replace("-", "")
        try:
            is_right = self.check(code)
        except NoKey as exc:
            raise forms.ValidationError(
                _("No code of an app can be checked: its secret cannot be read. A recovery code opens.")
            ) from exc
        if not is_right:
            raise forms.ValidationError(
                _("It is not right, or was used before. After wrong ones the next is looked at only later.")
            )
        return code


def verify(request: HttpRequest, code: str) -> bool:
    """Six digits are the app's, all else is a recovery code; so a wrong one slows down only its own kind."""
    kind = AuthenticatorApp if code.isdecimal() and len(code) == 6 else StaticDevice
    told = code if kind is AuthenticatorApp else _digest(code)
    for device in kind.objects.filter(user=request.user, confirmed=True):
        if django_otp.verify_token(request.user, device.persistent_id, told):
            _pass(request, device)
            return True
    return False


def _pass(request: HttpRequest, device: Any) -> None:
    """For this session, under a new name: whoever knew the one of before has gained nothing."""
    request.session.cycle_key()
    django_otp.login(request, device)


# --- pages -------------------------------------------------------------------------------------------


def verify_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """Between the password and the first page."""
    form = CodeForm(request.POST if request.method == "POST" else None, lambda code: verify(request, code))
    if form.is_valid():
        following = request.GET.get("next", "")
        safe = url_has_allowed_host_and_scheme(following, {request.get_host()}, request.is_secure())
        return HttpResponseRedirect(following if safe else reverse("admin:index"))
    frame = {**site.each_context(request), "navigation": [], "has_permission": False}
    context = {**frame, "title": _("Second factor"), "form": form}
    return TemplateResponse(request, "admin/second_factor/verify.html", context)


def second_factor_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """Set it up, make new recovery codes, take it away. What is there already must be shown first."""
    user: Any = request.user
    device = app_of(user)
    told: dict[str, Any] = {"device": device, "required": settings.BYOCGW_SECOND_FACTOR == "required"}
    if device is None:
        told |= _begun(request) if "begin" in request.POST else _setting_up(request)
    elif request.method == "POST":
        told |= _changing(request)
    else:
        told["form"] = CodeForm(None, lambda code: False)
    if "done" in told:
        return HttpResponseRedirect(reverse("admin:second_factor"))
    told["left"] = sum(each.token_set.count() for each in StaticDevice.objects.filter(user=user))
    context = {**site.each_context(request), "title": _("Second factor"), **told}
    return TemplateResponse(request, "admin/second_factor/second_factor.html", context)


def _begun(request: HttpRequest) -> dict[str, Any]:
    try:
        AuthenticatorApp.begin(request.user)
    except NoKey as exc:
        return {"refused": str(exc)}
    return {"done": True}


def _setting_up(request: HttpRequest) -> dict[str, Any]:
    """The secret is shown until its first code has come back, and never again."""
    user: Any = request.user
    device = AuthenticatorApp.objects.filter(user=user, confirmed=False).first()
    if device is None:
        return {}
    try:
        secret = b32encode(device.bin_key).decode()
    except NoKey:
        return {}  # beginning anew makes another
    form = CodeForm(request.POST if request.method == "POST" else None, device.verify_token)
    if not form.is_valid():
        spaced = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
        return {"form": form, "picture": picture(device.config_url), "secret": spaced}
    with transaction.atomic():
        device.confirmed = True
        device.save()
        codes = new_recovery_codes(user)
    _pass(request, device)
    return {"device": device, "codes": codes, "form": CodeForm(None, lambda code: False)}


def _changing(request: HttpRequest) -> dict[str, Any]:
    form = CodeForm(request.POST, lambda code: verify(request, code))
    if not form.is_valid():
        return {"form": form}
    if "renew" in request.POST:
        return {"codes": new_recovery_codes(request.user), "form": CodeForm(None, lambda code: False)}
    take_away(request.user)
    return {"done": True}


def take_away(user: Any) -> None:
    """Of a person: the app and the recovery codes."""
    for kind in (AuthenticatorApp, StaticDevice):
        kind.objects.filter(user=user).delete()


def new_recovery_codes(user: Any) -> list[str]:
    """Shown this once; those of before are void."""
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    codes = [b32encode(secrets.token_bytes(10)).decode().lower() for _each in range(RECOVERY_CODES)]
    for code in codes:
        device.token_set.create(token=_digest(code))
    return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in codes]


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()[:16]  # as much as the column holds


def picture(text: str) -> SafeString:
    """A QR code as one path: no inline style, which the policy forbids."""
    import qrcode  # 10 MB of each worker, of which nearly none ever draws one

    code = qrcode.QRCode(border=2)
    code.add_data(text)
    rows = code.get_matrix()
    dark = "".join(
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, is_dark in enumerate(row) if is_dark
    )
    return format_html(
        '<svg class="qr" viewBox="0 0 {} {}" role="img" aria-label="{}"><path d="{}"/></svg>',
        len(rows),
        len(rows),
        _("The secret as a QR code"),
        dark,
    )
