"""The dashboard and the alert rules ask for what /metrics tells, by its labels, and for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import yaml
from django.conf import settings

from tests.routing.test_metrics import Metrics, everything
from tests.support.gateway import Gateway

FOLDER = settings.BASE_DIR / "docs/grafana"
NAME = re.compile(r"\b(?:byocgw|livepeer|process)_\w+")
MATCHERS = re.compile(r"\{([^}]*)\}")
GROUPS = re.compile(r"\b(?:by|without|on)\s*\(([^)]*)\)")
BUILT_IN = {"job", "instance"}  # Prometheus' own


def dashboard() -> list[str]:
    document = json.loads((FOLDER / "byocgw.json").read_text())
    return [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]


def alerts() -> list[str]:
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    return [rule["expr"] for group in document["groups"] for rule in group["rules"]]


def labels_of(expression: str) -> Iterator[str]:
    for matchers in MATCHERS.findall(expression):
        yield from re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers))
    for names in GROUPS.findall(expression):
        yield from (name.strip() for name in names.split(","))


def test_there_is_something_to_check() -> None:
    assert len(dashboard()) > 25 and len(alerts()) > 10
    assert set(labels_of('sum by (a, b) (x_total{c=~"d=e",f!="g"})')) == {"a", "b", "c", "f"}


async def test_every_metric_and_label_they_name_is_told(gateway: Gateway) -> None:
    told: dict[str, set[str]] = {}
    for name, labels in Metrics((await everything(gateway)).text).samples:
        told.setdefault(name, set()).update(label for label, _ in labels)
    for expression in [*dashboard(), *alerts()]:
        names = NAME.findall(expression)
        assert names, expression
        assert set(names) <= told.keys(), expression
        assert set(labels_of(expression)) <= set().union(BUILT_IN, *(told[name] for name in names)), expression


@pytest.mark.parametrize("expression", [*dashboard(), *alerts()])
def test_every_bracket_is_closed(expression: str) -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)


def test_alerts_speak_of_labels_that_their_expression_keeps() -> None:
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        spoken = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        groups = [name.strip() for names in GROUPS.findall(rule["expr"]) for name in names.split(",")]
        if groups:
            assert spoken <= set(groups), rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
