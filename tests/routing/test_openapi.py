"""The written contract of the client API is what the code does and it is served without help from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from routing.api import routes
from routing.api.inference import DataPlaneView
from routing.api.openapi import METHODS, contract
from routing.api.routes import NothingHere, is_data_plane, resolve
from routing.core.refusal import STATUS, Code
from routing.models.pipeline import PipelinePath

API = contract()
FILLED = {"slug": "depth", "worker_path": "a", "request_id": "1", "rest": "start"}
# What any call may be answered, before its view is known or once that fails.
ALWAYS = {Code.UNAUTHENTICATED, Code.RATE_LIMITED, Code.OVERLOADED, Code.INTERNAL}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    found = [
        (path, method, item) for path, item in API["paths"].items() for method in item if method in METHODS
    ]
    return [(path, method, item[method]) for path, method, item in found]


def view_of(path: str) -> type[DataPlaneView]:
    filled = path.format(**FILLED)
    assert is_data_plane(filled), path
    return resolve(filled.encode())[0]


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(API)):
        found: Any = API
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_every_refusal_is_in_it() -> None:
    assert API["components"]["schemas"]["Code"]["enum"] == [code.value for code in Code]


@pytest.mark.parametrize(("path", "method", "operation"), operations())
def test_every_operation_is_served(path: str, method: str, operation: dict[str, Any]) -> None:
    """By a view that has the method; what may always be answered is told."""
    view = view_of(path)
    assert view is not NothingHere
    assert method in view.http_method_names and hasattr(view, method)
    told = operation["responses"]
    for code in ALWAYS:
        assert str(STATUS[code]) in told or f"{STATUS[code] // 100}XX" in told, code


def test_every_route_is_in_it() -> None:
    """Each view that the routes know, and each stock pipeline."""
    known = {
        each for each in vars(routes).values() if isinstance(each, type) and issubclass(each, DataPlaneView)
    }
    assert {view_of(path) for path in API["paths"]} == known - {DataPlaneView, NothingHere}
    assert {f"/{path}" for path in PipelinePath.values} <= API["paths"].keys()


def test_operation_ids_are_unique() -> None:
    """Generated clients make names of them."""
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))


@pytest.mark.django_db
def test_it_is_served_to_anybody(client: Client) -> None:
    answer = client.get("/v1/openapi.json")
    assert (answer.status_code, answer["content-type"]) == (200, "application/json")
    assert answer.json() == API
    assert answer.json()["openapi"].startswith("3.1.")
    assert client.post("/v1/openapi.json").status_code == 405


@pytest.mark.django_db
def test_the_page_needs_nothing_from_outside(client: Client) -> None:
    """No script, no style of its own, no other host: the strict policy holds for it too."""
    answer = client.get("/v1/docs")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "default-src 'self'" in answer["content-security-policy"]
    assert "<script" not in page and "style=" not in page
    assert "<code>respond-async</code>" in page and "`" not in page
    assert {url for url in re.findall(r'(?:src|href)="([^"#]+)', page) if not url.startswith("/")} == set()
    for path, _, operation in operations():
        assert f'<article id="{operation["operationId"]}">' in page
        assert path in page
    targets, ids = set(re.findall(r'href="#([^"]+)"', page)), set(re.findall(r' id="([^"]+)"', page))
    assert targets <= ids
