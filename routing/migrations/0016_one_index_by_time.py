"""One index by time, which holds the columns that lists filter by, in place of one for each of them.

A name ahead of the time means pages all over the file: with these seven the rows of a call took more than twice the
CPU on SQLite (docs/history.md).
"""

from django.db import migrations, models


def drop_index_of_at(apps, schema_editor):
    """By hand: on SQLite Django would copy the table, with its ten million rows."""
    connection = schema_editor.connection
    for name in ("Job", "Attempt"):
        table = apps.get_model("routing", name)._meta.db_table
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, table)
        for index, about in found.items():
            if about["index"] and about["columns"] == ["at"]:
                schema_editor.execute(f'DROP INDEX "{index}"')


class Migration(migrations.Migration):
    dependencies = [("routing", "0015_what_alerts_mean")]

    operations = [
        *(
            migrations.RemoveIndex("job", f"job_of_{name}")
            for name in ("capability", "client", "orchestrator", "code", "client_capability")
        ),
        *(migrations.RemoveIndex("attempt", f"attempt_of_{name}") for name in ("orchestrator", "capability")),
        migrations.AddIndex(
            "job",
            models.Index(fields=["at", "client", "capability", "orchestrator", "code"], name="job_by_time"),
        ),
        migrations.AddIndex(
            "attempt", models.Index(fields=["at", "orchestrator", "capability"], name="attempt_by_time")
        ),
        migrations.SeparateDatabaseAndState(
            [migrations.RunPython(drop_index_of_at)],
            [
                migrations.AlterField("job", "at", models.DateTimeField(help_text="When it arrived.")),
                migrations.AlterField("attempt", "at", models.DateTimeField(help_text="When it began.")),
            ],
        ),
    ]
