"""What routing adds to the control plane."""

from __future__ import annotations

from django.urls import path, re_path

from routing.api.staff import ExplainView, JobView, NothingHere

urlpatterns = [
    re_path(r"^api/jobs/(?P<request_id>[0-9A-Za-z-]{1,40})/$", JobView.as_view(), name="api-job"),
    path("api/capabilities/<slug:slug>/explain/", ExplainView.as_view(), name="api-explain"),
    re_path(r"^api/", NothingHere.as_view()),
]
