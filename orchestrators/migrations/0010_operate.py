from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0009_live_runner")]

    operations = [
        migrations.AlterModelOptions(
            name="orchestrator",
            options={
                "ordering": ["name"],
                "permissions": [("operate", "Can probe and try offers, and drain, resume and disable them")],
            },
        )
    ]
