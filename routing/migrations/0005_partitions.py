"""On PostgreSQL the tables of Job and Attempt become partitioned by `at`, so that old days are dropped whole.

No row is copied. A table that has rows becomes the first partition, of everything up to the end of its latest
day; only its indexes are built anew (about a minute for ten million rows). Other days get theirs from
routing/partitions.py; until then, and for odd moments, there is a default partition.
"""

from datetime import UTC, datetime, time, timedelta

from django.db import migrations
from django.db.models import Max


def partition(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for name, key in (("Job", "request_id"), ("Attempt", "id")):
        convert(schema_editor, apps.get_model("routing", name), key)


def convert(schema_editor, model, key):
    table = model._meta.db_table
    before = f"{table}_before"
    latest = model.objects.aggregate(latest=Max("at"))["latest"]
    run = schema_editor.execute
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND schemaname = current_schema()"
            " AND indexdef NOT LIKE 'CREATE UNIQUE%%' AND indexname NOT LIKE '%%\\_like'",
            [table],
        )
        indexes = dict(cursor.fetchall())
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'", [table]
        )
        (primary,) = cursor.fetchone()
    run(f"ALTER TABLE {table} RENAME TO {before}")
    for index in indexes:
        run(f'DROP INDEX "{index}"')
    run(f'ALTER TABLE {before} DROP CONSTRAINT "{primary}"')
    if key == "id":
        run(f"ALTER TABLE {before} ALTER id DROP IDENTITY")
    run(f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (at)")
    run(f'ALTER TABLE {table} ADD CONSTRAINT "{primary}" PRIMARY KEY ({key}, at)')
    for definition in indexes.values():
        run(definition)
    if key == "id":
        sequence = f"{table}_id_seq"
        run(f"CREATE SEQUENCE {sequence} OWNED BY {table}.id")
        run(f"SELECT setval('{sequence}', (SELECT coalesce(max(id), 0) + 1 FROM {before}), false)")
        run(f"ALTER TABLE {table} ALTER id SET DEFAULT nextval('{sequence}')")
    if latest is None:
        run(f"DROP TABLE {before}")
    else:
        end = datetime.combine(latest.date() + timedelta(days=1), time(), UTC)
        run(f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ('{end:%Y-%m-%d %H:%M:%S%z}')")
    run(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")


class Migration(migrations.Migration):
    dependencies = [("routing", "0004_history")]
    operations = [migrations.RunPython(partition)]
