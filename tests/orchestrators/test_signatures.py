"""Failure signatures as rows: what is shipped, what may be saved, what counts."""

from __future__ import annotations

import importlib
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection

from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.signature import DEFAULTS, RECOGNISABLE, Signature
from orchestrators.models import FailureSignature, Revision
from orchestrators.simulator import Container
from tests.orchestrators.scenes import in_thread, probe, register, simulator, snapshot

pytestmark = pytest.mark.django_db


def queue_full(**fields: Any) -> FailureSignature:
    values = {
        "name": "queue-full",
        "status_from": 500,
        "status_to": 502,
        "text": "queue is full",
        "cls": "busy",
    }
    return FailureSignature(**values | fields)


def policy() -> int:
    return Revision.objects.get(pk=1).policy


# What is shipped


def test_it_ships_the_defaults_of_the_core() -> None:
    """R63, R64: what counts without a database counts with a fresh one, in the same order."""
    assert FailureSignature.objects.in_force() == DEFAULTS
    for row in FailureSignature.objects.all():
        row.full_clean()
        assert row.note


def test_they_can_be_withdrawn_and_shipped_again() -> None:
    migration = importlib.import_module("orchestrators.migrations.0004_shipped_signatures")
    queue_full().save()
    editor = SimpleNamespace(connection=connection)
    migration.withdraw(apps, editor)
    assert [row.name for row in FailureSignature.objects.all()] == ["queue-full"]
    migration.ship(apps, editor)
    FailureSignature.objects.filter(name="loading-503").update(enabled=False)
    migration.ship(apps, editor)
    assert FailureSignature.objects.count() == len(DEFAULTS) + 1
    assert not FailureSignature.objects.get(name="loading-503").enabled


# What may be saved


def test_its_classes_are_those_an_answer_can_be_known_for() -> None:
    (field,) = (each for each in FailureSignature._meta.fields if each.name == "cls")
    assert [value for value, _ in field.choices or ()] == [each.value for each in RECOGNISABLE]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"text": ""}, "text", "a text, a header or both"),
        ({"text": "  "}, "text", "a text, a header or both"),
        ({"header": "no colon"}, "header", "name: words"),
        ({"status_to": 499}, "status_to", "not be below"),
        ({"cls": "client_error", "status_from": 200}, "cls", "400 or more"),
        ({"cls": "ok"}, "cls", "not a valid choice"),
        ({"cls": ""}, "cls", "cannot be blank"),
        ({"status_from": 199}, "status_from", "greater than or equal to 200"),
        ({"status_to": 600}, "status_to", "less than or equal to 599"),
        ({"status_to": None}, "status_to", "cannot be null"),
        ({"name": "queue full"}, "name", "valid"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        queue_full(**fields).full_clean()
    assert list(refused.value.message_dict) == [field]
    assert words in refused.value.message_dict[field][0]


def test_what_stands_around_its_words_is_taken_off() -> None:
    row = queue_full(text=" queue is full ", header=" X-Queue: full ")
    row.full_clean()
    assert (row.text, row.header) == ("queue is full", "X-Queue: full")


# What counts


def test_those_that_are_enabled_count_in_their_order() -> None:
    FailureSignature.objects.all().delete()
    queue_full(name="b", order=2).save()
    queue_full(name="c", order=1, enabled=False).save()
    queue_full(name="a", order=2, text="", header="X-Queue:").save()
    queue_full(name="z", order=1, cls="gpu_oom").save()
    assert FailureSignature.objects.in_force() == (
        Signature("z", OutcomeClass.GPU_OOM, 500, 502, "queue is full"),
        Signature("a", OutcomeClass.BUSY, 500, 502, header="X-Queue:"),
        Signature("b", OutcomeClass.BUSY, 500, 502, "queue is full"),
    )


@pytest.mark.parametrize("spoilt", [{"cls": "nonsense"}, {"cls": "ok"}, {"text": ""}, {"status_to": 1}])
def test_a_row_written_past_all_validation_is_left_out(
    spoilt: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    FailureSignature.objects.all().delete()
    queue_full().save()
    queue_full(name="spoilt", **spoilt).save()
    with caplog.at_level(logging.ERROR):
        assert [each.name for each in FailureSignature.objects.in_force()] == ["queue-full"]
    assert "failure signature spoilt is left out" in caplog.text


def test_it_is_read_by_one_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        FailureSignature.objects.in_force()


def test_a_change_is_noticed_unless_it_is_the_note() -> None:
    row, before = FailureSignature.objects.get(name="loading-503"), policy()
    FailureSignature.objects.filter(pk=row.pk).update(note="seen at cedar")
    assert policy() == before
    FailureSignature.objects.filter(pk=row.pk).update(order=1)
    assert policy() == before + 1
    row.delete()
    assert policy() == before + 2


# At the prober


async def test_a_probe_judges_by_them(shipped: None) -> None:
    """R64"""
    await in_thread(queue_full(text="pipeline error", cls="gpu_oom").save)
    async with simulator("cedar", Container("depth", fault="server_error")) as cedar:
        await in_thread(register, cedar)
        reports, _ = await in_thread(probe)
        told = await in_thread(snapshot, "cedar")
    assert told.outcome == "gpu_oom"
    assert 'gpu_oom: The container says "pipeline error"' in reports["cedar", "depth"].reason
