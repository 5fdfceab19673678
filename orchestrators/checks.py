"""System checks of the supply side, with stable ids (`manage.py check`)."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.db import Error as DatabaseError

from orchestrators.triggers import missing_triggers


@register("byocgw")
def triggers_are_there(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A gateway would not notice what these tell. Says nothing while there is no database to ask."""
    try:
        missing = missing_triggers()
    except DatabaseError:
        return []
    if not missing:
        return []
    return [
        Error(
            f"Changes would go unnoticed; missing from the database: {', '.join(missing)}.",
            hint="Run manage.py migrate: it puts them back.",
            id="byocgw.E001",
        )
    ]
