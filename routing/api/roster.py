"""`/discovery/`: the roster, for gateways beside this one. Read-only, and not for everybody.

A list of orchestrators lets its reader go around this gateway. So it is told to those in the allowed networks
(this machine, while BIND is a loopback address), to staff who may view orchestrators, and to clients by their
key only where the operator exposes orchestrators to clients anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from orchestrators.core.addresses import Address, caller, is_within
from routing import roster
from routing import table as tables
from routing.models import ApiKey, Client
from routing.models.client import Scope
from routing.roster import Member
from routing.table import RoutingTable

DENIED = (
    "For addresses in BYOCGW_ALLOWED_NETWORKS, for staff who may view orchestrators, and for clients by key "
    "where BYOCGW_EXPOSE_ORCHESTRATOR is on."
)


class DatabaseAway(APIException):
    """A stock gateway keeps its last list then."""

    status_code = 503
    default_detail = "The database is away; keep what you have."


class RosterView(APIView):
    authentication_classes = [SessionAuthentication]
    permission_classes = []
    http_method_names = ["get", "head"]

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return exception_handler  # the one in the settings writes the data plane's problem documents

    def members(self, request: Request) -> list[Member]:
        try:
            client = None if _is_near(request) or _is_staff(request) else _client(request)
            table = tables.build(settings.WEB_CONCURRENCY)
            slugs = _slugs(request, table)
            if client is not None and (allowed := set(client.capabilities.values_list("slug", flat=True))):
                slugs = [slug for slug in slugs if slug in allowed]
            tier = client.tier.slug if client and client.tier else None
            return roster.roster(table, slugs, now=time.time(), tier=tier)
        except (OperationalError, InterfaceError) as exc:
            raise DatabaseAway from exc


class OrchestratorsView(RosterView):
    """`/discovery/orchestrators.json[?capability=]`: a stock gateway's -orchWebhookUrl."""

    def get(self, request: Request) -> Response:
        return Response(roster.as_addresses(self.members(request)))


class NetworkView(RosterView):
    """`/discovery/network-capabilities.json[?capability=]`: as a stock gateway's /getNetworkCapabilities."""

    def get(self, request: Request) -> Response:
        return Response(roster.as_network(self.members(request)))


def _slugs(request: Request, table: RoutingTable) -> list[str]:
    """The capabilities asked for, by slug or wire name; all of them where none is named."""
    slugs = []
    for name in request.query_params.getlist("capability"):
        slug = table.slug_of(name)
        if slug is None:
            raise NotFound(f"There is no capability {name[:80]!r}.")
        slugs.append(slug)
    return slugs or list(table.policies)


def _client(request: Request) -> Client:
    """Whose key it is. Raises PermissionDenied before anything that costs."""
    scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if not settings.BYOCGW_EXPOSE_ORCHESTRATOR or scheme.lower() != "bearer":
        raise PermissionDenied(DENIED)
    keys = ApiKey.objects.select_related("client__tier").filter(revoked_at=None, client__is_active=True)
    alive = keys.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
    key = alive.filter(digest__in=ApiKey.digests_of(secret.strip())).exclude(scope=Scope.INFERENCE).first()
    if key is None or (key.networks and not is_within(_address(request), map(ip_network, key.networks))):
        raise PermissionDenied(DENIED)
    return key.client


def _is_near(request: Request) -> bool:
    return is_within(_address(request), settings.BYOCGW_ALLOWED_NETWORKS)


def _address(request: Request) -> Address | None:
    return caller(request.META.get("REMOTE_ADDR", ""))


def _is_staff(request: Request) -> bool:
    user: Any = request.user
    return bool(user and user.is_active and user.is_staff and user.has_perm("orchestrators.view_orchestrator"))
