from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0010_operate")]

    operations = [
        migrations.AddField(
            model_name="offer",
            name="ignored_until",
            field=models.DateTimeField(
                blank=True,
                help_text="No call goes there before this moment; it is probed all the same.",
                null=True,
            ),
        )
    ]
