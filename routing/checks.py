"""System checks of the demand side, with stable ids (`manage.py check`, `check --deploy`)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def https_is_on(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.BYOCGW_HTTPS:
        return []
    return [
        Warning(
            "Keys and log-ins travel unencrypted.",
            hint="Put a TLS proxy in front and set BYOCGW_HTTPS=true.",
            id="byocgw.W101",
        )
    ]


@register(Tags.security, deploy=True)
def orchestrators_stay_hidden(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.BYOCGW_EXPOSE_ORCHESTRATOR:
        return []
    return [
        Warning(
            "Answers name the orchestrator that served them.",
            hint="Set BYOCGW_EXPOSE_ORCHESTRATOR=false unless your clients are your own.",
            id="byocgw.W102",
        )
    ]


@register(Tags.security, deploy=True)
def secrets_can_be_kept(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.BYOCGW_FIELD_KEYS:
        return []
    return [
        Warning(
            "No secret can be stored: headers of discovery sources, webhooks of alerts, second factors.",
            hint="Set BYOCGW_FIELD_KEYS to a long random text.",
            id="byocgw.W103",
        )
    ]
