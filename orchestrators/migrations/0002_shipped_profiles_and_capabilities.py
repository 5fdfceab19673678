"""What a fresh installation knows: three latency profiles and six capabilities (R24, R31)."""

from __future__ import annotations

from django.db import migrations

GWEI = 10**9

PROFILES = {
    "warm": {
        "description": "Whole images or clips, a second or so each, by models that stay loaded.",
        "retry_timeout": 8,
        "attempt_timeout": 5,
        "cold_grace": 10,
        "latency_target_ms": 1000,
        "max_in_flight": 2,
        "seat_wait": 4,
        "fresh_for": 120,
        "value_of_second": 300 * GWEI,
        "suggested_ceiling": "300 gwei/second",
    },
    "per-frame": {
        "description": "Single frames of a video: tens of milliseconds each, many at once.",
        "retry_timeout": 12,
        "attempt_timeout": 3,
        "cold_grace": 15,
        "latency_target_ms": 50,
        "max_in_flight": 8,
        "seat_wait": 4,
        "fresh_for": 120,
        "value_of_second": 300 * GWEI,
        "suggested_ceiling": "30 gwei/second",
    },
    "chained": {
        "description": "Several models one after the other in one call.",
        "retry_timeout": 30,
        "attempt_timeout": 20,
        "cold_grace": 30,
        "latency_target_ms": 2000,
        "max_in_flight": 1,
        "seat_wait": 15,
        "fresh_for": 300,
        "value_of_second": 600 * GWEI,
        "suggested_ceiling": "600 gwei/second",
    },
}

CAPABILITIES = {
    "image-to-image": ("warm", "An image and a prompt in, a changed image out."),
    "video-to-video": ("warm", "A clip and a prompt in, a changed clip out."),
    "style-transfer": ("warm", "An image in, the same image in another style out."),
    "depth": ("per-frame", "A frame in, the distance of every pixel out."),
    "segmentation": ("per-frame", "A frame in, the regions and objects it consists of out."),
    "pose": ("per-frame", "A frame in, the positions of people's limbs and joints out."),
}


def ship(apps, schema_editor):
    profile_model = apps.get_model("orchestrators", "RoutingProfile")
    capability_model = apps.get_model("orchestrators", "Capability")
    database = schema_editor.connection.alias
    profiles = {
        slug: profile_model.objects.using(database).create(slug=slug, max_attempts=3, **numbers)
        for slug, numbers in PROFILES.items()
    }
    for slug, (profile, description) in CAPABILITIES.items():
        capability_model.objects.using(database).create(
            slug=slug, profile=profiles[profile], description=description
        )


def withdraw(apps, schema_editor):
    """Profiles that the operator's own capabilities use stay."""
    database = schema_editor.connection.alias
    capabilities = apps.get_model("orchestrators", "Capability").objects.using(database)
    capabilities.filter(slug__in=CAPABILITIES).delete()
    used = capabilities.values("profile")
    profiles = apps.get_model("orchestrators", "RoutingProfile").objects.using(database)
    profiles.filter(slug__in=PROFILES).exclude(pk__in=used).delete()


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0001_initial")]
    operations = [migrations.RunPython(ship, withdraw)]
