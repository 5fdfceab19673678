from django.db import migrations, models

import orchestrators.models.fields

VERDICTS = [("pass", "pass"), ("warn", "warn"), ("fail", "fail")]
KINDS = [
    ("mismatch", "mismatch"),
    ("failed_trial", "failed_trial"),
    ("dishonest_capacity", "dishonest_capacity"),
]


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0004_shipped_signatures")]

    operations = [
        migrations.CreateModel(
            name="Trial",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("who", models.CharField(help_text="Who had it run.", max_length=150)),
                ("verdict", models.CharField(choices=VERDICTS, max_length=8)),
                ("points", models.JSONField(default=list)),
                (
                    "cold_ms",
                    models.FloatField(
                        help_text="From the first call to the first good answer, if cold.", null=True
                    ),
                ),
                ("warm_ms", models.FloatField(help_text="Median of the warm calls, milliseconds.", null=True)),
                (
                    "warm_p95_ms",
                    models.FloatField(help_text="95th percentile of the warm calls, milliseconds.", null=True),
                ),
                ("calls", models.PositiveIntegerField(default=0, help_text="Sample requests sent.")),
                (
                    "capacity",
                    models.PositiveIntegerField(help_text="Free slots claimed when it began.", null=True),
                ),
                ("price", orchestrators.models.fields.PriceField(max_length=100, null=True)),
                (
                    "offer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=models.deletion.CASCADE,
                        related_name="trials",
                        to="orchestrators.offer",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["offer", "-id"], name="trial_of_offer")],
            },
        ),
        migrations.CreateModel(
            name="ReputationEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("kind", models.CharField(choices=KINDS, max_length=24)),
                ("points", models.FloatField()),
                ("detail", models.CharField(blank=True, max_length=500)),
                (
                    "offer",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=models.deletion.SET_NULL,
                        related_name="reputation_events",
                        to="orchestrators.offer",
                    ),
                ),
                (
                    "orchestrator",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=models.deletion.CASCADE,
                        related_name="reputation_events",
                        to="orchestrators.orchestrator",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["orchestrator", "-at"], name="reputation_of_orchestrator"),
                    models.Index(fields=["offer", "-at"], name="reputation_by_offer"),
                    models.Index(fields=["at"], name="reputation_at"),
                ],
            },
        ),
    ]
