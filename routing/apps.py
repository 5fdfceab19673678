from __future__ import annotations

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"
    verbose_name = "Demand"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from orchestrators import changes, trial, triggers
        from routing import checks, configuration, roles  # noqa: F401  (checks registers itself)
        from routing.models import ApiKey, Client, Pipeline, PriceCeiling, Rate, Tier
        from routing.table.ceilings import payable

        for model in (PriceCeiling, Pipeline, Tier, Client, Rate):
            triggers.watch(model)
        triggers.watch(ApiKey, ignored=("last_used", "label"))
        configuration.watch()
        changes.export_with(configuration.export)
        trial.ceilings_with(payable)
        # the last of the apps, so that every permission is there
        post_migrate.connect(roles.make_groups, sender=self, dispatch_uid="byocgw.roles")
