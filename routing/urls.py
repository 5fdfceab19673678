"""What routing adds to the control plane."""

from __future__ import annotations

from django.urls import path, re_path

from routing.api.openapi import openapi, page
from routing.api.roster import NetworkView, OrchestratorsView
from routing.api.staff import ExplainView, JobView, NothingHere, TermsView, UsageView

urlpatterns = [
    re_path(r"^api/jobs/(?P<request_id>[0-9A-Za-z-]{1,40})/$", JobView.as_view(), name="api-job"),
    path("api/capabilities/<slug:slug>/explain/", ExplainView.as_view(), name="api-explain"),
    path("api/terms/", TermsView.as_view(), name="api-terms"),
    path("api/usage/", UsageView.as_view(), name="api-usage"),
    path("api/usage.csv", UsageView.as_view(), {"as_csv": True}, name="api-usage-csv"),
    path("discovery/orchestrators.json", OrchestratorsView.as_view(), name="roster"),
    path("discovery/network-capabilities.json", NetworkView.as_view(), name="roster-network"),
    path("v1/openapi.json", openapi, name="openapi"),
    path("v1/docs", page, name="api-reference"),
    re_path(r"^api/", NothingHere.as_view()),
]
