"""Whoever deletes sees first what will be missed, and says why: without a reason the page comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, QueryDict
from django.template.response import TemplateResponse

from orchestrators.admin.door import reason

if TYPE_CHECKING:
    from orchestrators.admin.door import PolicyAdmin as Host
else:
    Host = object


class ReasonedDeletion(Host):
    """For PolicyAdmin. Django takes a request with no answer in it for one that asks."""

    delete_confirmation_template = "admin/delete_with_losses.html"
    delete_selected_confirmation_template = "admin/delete_selected_with_losses.html"

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        is_unsaid = request.method == "POST" and not reason(request)
        if is_unsaid:
            request.POST = QueryDict()
        return super().delete_view(request, object_id, {**(extra_context or {}), "unsaid": is_unsaid})

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        is_unsaid = "post" in request.POST and not reason(request)
        if is_unsaid:
            said = request.POST.copy()
            del said["post"]
            request.POST = QueryDict(said.urlencode())
        response = super().changelist_view(request, extra_context)
        if is_unsaid and isinstance(response, TemplateResponse):
            response.context_data = {**(response.context_data or {}), "unsaid": True}
        return response
