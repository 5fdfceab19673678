"""What a fresh installation knows of containers' texts: out of memory, and models that are being loaded."""

from __future__ import annotations

from django.db import migrations

MEMORY = "Out of memory has no status of its own: PyTorch, ONNX Runtime and their wrappers say it in words."
LOADING = "A model that is being loaded: no fault, and no work has begun."
BARE = LOADING + ' Not for a 400: there a bare "loading" is more often an image that could not be loaded.'

# name, class, from status, to status, text, note; in order
SIGNATURES = [
    ("cuda-out-of-memory-400", "gpu_oom", 400, 400, "cuda out of memory", MEMORY),
    ("cuda-out-of-memory-5xx", "gpu_oom", 500, 599, "cuda out of memory", MEMORY),
    ("out-of-memory-400", "gpu_oom", 400, 400, "out of memory", MEMORY),
    ("out-of-memory-500", "gpu_oom", 500, 500, "out of memory", MEMORY),
    ("is-not-ready-400", "cold_start", 400, 400, "model is not ready", LOADING),
    ("is-not-ready-503", "cold_start", 503, 503, "model is not ready", LOADING),
    ("not-ready-400", "cold_start", 400, 400, "model not ready", LOADING),
    ("not-ready-503", "cold_start", 503, 503, "model not ready", LOADING),
    ("is-loading-400", "cold_start", 400, 400, "model is loading", LOADING),
    ("is-still-loading-400", "cold_start", 400, 400, "model is still loading", LOADING),
    ("loading-503", "cold_start", 503, 503, "loading", BARE),
]


def ship(apps, schema_editor):
    """Leaves alone what an operator has named so before."""
    rows = apps.get_model("orchestrators", "FailureSignature").objects.using(schema_editor.connection.alias)
    for place, (name, cls, status_from, status_to, text, note) in enumerate(SIGNATURES, start=1):
        values = {"cls": cls, "status_from": status_from, "status_to": status_to, "text": text, "note": note}
        rows.get_or_create(name=name, defaults={"order": 10 * place, **values})


def withdraw(apps, schema_editor):
    rows = apps.get_model("orchestrators", "FailureSignature").objects.using(schema_editor.connection.alias)
    rows.filter(name__in=[name for name, *_ in SIGNATURES]).delete()


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0003_failuresignature")]
    operations = [migrations.RunPython(ship, withdraw)]
