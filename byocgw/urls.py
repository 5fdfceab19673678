"""The control plane: what people use. The data plane's paths never get here (see asgi.py)."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.site.site_title = "byocgw"
admin.site.index_title = "Orchestrators, capabilities and clients"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("routing.urls")),
]
