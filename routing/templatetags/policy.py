"""`{% load policy %}`: who would serve a capability as things stand, for its page."""

from __future__ import annotations

from django import template
from django.utils import timezone

from orchestrators.models import Capability
from routing.dashboard import current_table
from routing.explain import stored_board
from routing.preview import Preview, preview

register = template.Library()


@register.simple_tag
def serving(capability: Capability) -> Preview | None:
    """Nothing is changed yet: both sides are what is in force."""
    table = current_table()
    return preview(capability.pk, table, table, stored_board(), timezone.now())


@register.filter
def change(pair: tuple[float, float]) -> float | None:
    """Percent by which the second differs from the first; None where there is nothing to differ from."""
    before, after = pair
    return 100 * (after - before) / before if before else None
