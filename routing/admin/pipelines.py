"""Pipeline routes: which capability answers at a path of the stock AI gateway."""

from __future__ import annotations

from django.contrib import admin

from orchestrators.admin import PolicyAdmin
from routing.models import Pipeline


@admin.register(Pipeline)
class PipelineAdmin(PolicyAdmin):
    list_display = ("path", "capability", "wire_names")
    list_filter = ("capability",)
    list_select_related = ("capability",)
    search_fields = ("path", "capability__slug")
