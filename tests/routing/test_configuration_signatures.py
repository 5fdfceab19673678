"""Failure signatures as code: a section of their own, keyed by name."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.signature import DEFAULTS, Signature
from orchestrators.models import FailureSignature
from routing.configuration import apply, export, plan
from routing.table import build

pytestmark = pytest.mark.django_db

QUEUE = {
    "name": "queue-full",
    "order": 5,
    "status_from": 500,
    "status_to": 502,
    "text": "queue is full",
    "cls": "busy",
}


def do(document: object, **options: Any) -> list[str]:
    done = apply(document, who="ada", **options)
    assert done.errors == []
    return done.changes


def test_it_adds_changes_and_leaves_alone() -> None:
    assert do({"signatures": [QUEUE]}) == ["+ failure signature queue-full"]
    assert do({"signatures": [QUEUE]}) == []
    assert do({"signatures": [QUEUE | {"enabled": False}]}) == [
        "~ failure signature queue-full: enabled true -> false"
    ]
    assert FailureSignature.objects.count() == len(DEFAULTS) + 1


def test_a_document_without_the_section_changes_nothing() -> None:
    before = export()["signatures"]
    assert do({"orchestrators": [], "tiers": []}, prune=True) == []
    assert export()["signatures"] == before


def test_pruning_takes_away_what_the_section_leaves_out() -> None:
    do({"signatures": [QUEUE]}, prune=True)
    assert [row.name for row in FailureSignature.objects.all()] == ["queue-full"]
    assert do({"signatures": []}, prune=True) == ["- failure signature queue-full"]


def test_what_is_exported_can_be_applied() -> None:
    document = {"signatures": export()["signatures"]}
    FailureSignature.objects.all().delete()
    do(document)
    assert FailureSignature.objects.in_force() == DEFAULTS


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (QUEUE | {"text": ""}, "signatures[0].text: Give a text, a header or both"),
        (QUEUE | {"cls": "ok"}, "signatures[0].cls: Value 'ok' is not a valid choice."),
        (QUEUE | {"status_to": 499}, "signatures[0].status_to: The last status must not be below the first."),
        (QUEUE | {"status_to": "502"}, "signatures[0].status_to: must be a whole number."),
        ({"name": "queue-full"}, "signatures[0].status_from: is required."),
    ],
)
def test_what_cannot_be_used_is_told_by_its_place(entry: dict[str, Any], error: str) -> None:
    assert any(each.startswith(error) for each in plan({"signatures": [entry]}).errors)


def test_the_routing_table_has_those_in_force() -> None:
    """R63-R66: what traffic is judged by."""
    do({"signatures": [QUEUE]})
    table = build(1)
    assert table.signatures == (
        Signature("queue-full", OutcomeClass.BUSY, 500, 502, "queue is full"),
        *DEFAULTS,
    )
