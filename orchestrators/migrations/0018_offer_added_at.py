"""When an offer came here. What is there already came at a time that nobody wrote down."""

import django.utils.timezone
from django.db import migrations, models

HELP = "When it came here; empty: before that was written down."


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0017_the_configuration_as_a_number")]

    operations = [
        migrations.AddField("offer", "added_at", models.DateTimeField(null=True, editable=False, help_text=HELP)),
        migrations.AlterField(
            "offer",
            "added_at",
            models.DateTimeField(
                null=True, default=django.utils.timezone.now, editable=False, help_text=HELP
            ),
        ),
    ]
