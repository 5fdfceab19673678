"""The console's menu, made of what the admin says this person may open.

A model that is named in no group is under "More": a new one is never out of reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from orchestrators.display.states import Tone
from orchestrators.models.counting import counted
from orchestrators.standing import troubled, waiting
from routing.pages.alerts import open_alerts

Text = str | Promise


@dataclass(frozen=True, slots=True)
class Badge:
    """`told`: of what, for who cannot see its colour."""

    number: int
    told: Text
    tone: Tone = "bad"


@dataclass(frozen=True, slots=True)
class Item:
    label: Text
    url: str
    icon: str
    current: bool
    badge: Badge | None = None


@dataclass(frozen=True, slots=True)
class Group:
    title: Text
    items: list[Item] = field(default_factory=list)


# Of each group its models, in order, by "app.Model", with label and icon. A page of its own has a URL name.
_Entry = tuple[str, Text, str]
GROUPS: tuple[tuple[Text, tuple[_Entry, ...]], ...] = (
    (
        _("Operate"),
        (
            ("admin:index", _("Dashboard"), "dashboard"),
            ("admin:alerts", _("Alerts"), "warning"),
            ("orchestrators.Orchestrator", _("Orchestrators"), "server"),
            ("orchestrators.Offer", _("Offers"), "offer"),
            ("admin:candidates", _("Candidates"), "check"),
            ("orchestrators.DiscoverySource", _("Sources"), "source"),
            ("admin:playground", _("Playground"), "play"),
        ),
    ),
    (
        _("Policy"),
        (
            ("orchestrators.Capability", _("Capabilities"), "capability"),
            ("admin:prices", _("Prices"), "coin"),
            ("routing.PriceCeiling", _("Price ceilings"), "ceiling"),
            ("routing.Pipeline", _("Pipeline routes"), "arrow"),
            ("orchestrators.RoutingProfile", _("Routing profiles"), "sliders"),
            ("orchestrators.FailureSignature", _("Failure signatures"), "signature"),
            ("routing.AlertRule", _("Alert rules"), "warning"),
        ),
    ),
    (
        _("Evidence"),
        (
            ("routing.Job", _("Jobs"), "jobs"),
            ("admin:spend", _("Spend"), "spend"),
            ("orchestrators.HealthSnapshot", _("Probes"), "pulse"),
            ("orchestrators.Trial", _("Trials"), "trial"),
            ("routing.UsageHour", _("Usage"), "usage"),
            ("orchestrators.ConfigRevision", _("Changes"), "history"),
            ("admin:system", _("System"), "system"),
        ),
    ),
    (
        _("Access"),
        (
            ("routing.Client", _("Clients"), "client"),
            ("routing.ApiKey", _("API keys"), "key"),
            ("routing.Tier", _("Tiers"), "tier"),
            ("auth.User", _("People"), "user"),
            ("auth.Group", _("Groups"), "users"),
        ),
    ),
)
EXPLAINED = (
    *("orchestrators.view_capability", "orchestrators.view_orchestrator", "orchestrators.view_offer"),
    *("routing.view_priceceiling", "routing.view_apikey"),
)
# What a person must be allowed to view before they see a page of its own; what it tells of.
NEEDED: dict[str, tuple[str, ...]] = {
    "admin:index": (),
    "admin:spend": ("routing.view_usagehour",),
    "admin:spend_csv": ("routing.view_usagehour",),
    "admin:alerts": ("routing.view_alert", "routing.view_alertrule"),
    "admin:system": ("orchestrators.view_revision", "routing.view_chore"),
    "admin:playground": EXPLAINED,
    "admin:playground_call": (*EXPLAINED, "orchestrators.operate", "routing.view_job"),
    "admin:playground_part": (*EXPLAINED, "orchestrators.operate", "routing.view_job"),
    "admin:prices": ("orchestrators.view_offer", "routing.view_priceceiling"),
    "admin:candidates": (
        *("orchestrators.view_offer", "orchestrators.view_trial", "orchestrators.view_discoveredendpoint"),
        "routing.view_priceceiling",
    ),
}


def navigation(request: HttpRequest, available: list[dict[str, Any]]) -> list[Group]:
    """`available`: the admin's own list of apps and models, which knows the permissions."""
    urls = {
        f"{app['app_label']}.{model['object_name']}": (model["admin_url"], model["name"])
        for app in available
        for model in app["models"]
        if model["admin_url"]
    }
    badges = _badges()
    groups = [Group(title, list(_items(request, entries, urls, badges))) for title, entries in GROUPS]
    named = {name for _title, entries in GROUPS for name, _label, _icon in entries}
    rest = [(name, label, "table") for name, (_url, label) in urls.items() if name not in named]
    more = Group(_("More"), list(_items(request, rest, urls, badges)))
    return [group for group in (*groups, more) if group.items]


def _badges() -> dict[str, Badge]:
    ill, candidates, alerts = counted([troubled(), waiting(), open_alerts()])
    return {
        "orchestrators.Offer": Badge(ill, _("in trouble")),
        "admin:candidates": Badge(candidates, _("waiting for approval"), "news"),
        "admin:alerts": Badge(alerts, _("that nobody has in hand")),
    }


def _items(
    request: HttpRequest, entries: Any, urls: dict[str, tuple[str, Text]], badges: Mapping[str, Badge]
) -> Iterator[Item]:
    for name, label, icon in entries:
        is_page = ":" in name
        is_ours = is_page and request.user.has_perms(NEEDED[name])
        url = reverse(name) if is_ours else urls.get(name, ("", ""))[0]
        if url:
            current = request.path == url or (not is_page and request.path.startswith(url))
            yield Item(label, url, icon, current, badges.get(name))
