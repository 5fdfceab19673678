"""The client API's contract, served offline: as OpenAPI 3.1, and as a page for people, without any script."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

FILE = Path(__file__).with_name("openapi.yaml")
METHODS = ("get", "put", "post", "delete", "patch")


@cache
def contract() -> dict[str, Any]:
    """The whole document."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """`/v1/openapi.json`."""
    return JsonResponse(contract())


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """`/v1/docs`."""
    context = {"api": contract(), "groups": _groups(), "schemas": _schemas()}
    return render(request, "api/reference.html", context)


def _groups() -> list[dict[str, Any]]:
    """Each tag with its operations, in the document's order."""
    api = contract()
    return [
        tag | {"operations": [each for each in _operations() if each["tags"] == [tag["name"]]]}
        for tag in api["tags"]
    ]


def _operations() -> list[dict[str, Any]]:
    return [
        operation
        | {
            "method": method.upper(),
            "path": path,
            "parameters": [
                _resolved(each) for each in (*item.get("parameters", ()), *operation.get("parameters", ()))
            ],
            "responses": {status: _answer(each) for status, each in sorted(operation["responses"].items())},
        }
        for path, item in contract()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def _answer(said: dict[str, Any]) -> dict[str, Any]:
    answer = _resolved(said)
    content = answer.get("content", {})
    bodies = [{"type": kind, "schema": _name(each.get("schema", {}))} for kind, each in content.items()]
    return {"description": answer["description"], "bodies": bodies}


def _schemas() -> dict[str, list[dict[str, Any]]]:
    """Of each, its members: a name, what it is, whether it is always there."""
    return {
        name: [
            _resolved(member)
            | {"name": key, "always": key in schema.get("required", ()), "kind": _kind(member)}
            for key, member in schema.get("properties", {}).items()
        ]
        for name, schema in contract()["components"]["schemas"].items()
        if "properties" in schema
    }


def _kind(schema: dict[str, Any]) -> str:
    """In a few words: its type, or the name of its schema."""
    if "$ref" in schema:
        return _name(schema)
    if "enum" in schema:
        return " | ".join(schema["enum"])
    if "oneOf" in schema:
        return " or ".join(_kind(each) for each in schema["oneOf"])
    said = schema.get("type", "anything")
    kinds = " or ".join(said) if isinstance(said, list) else said
    return f"{kinds} of {_kind(schema['items'])}" if "items" in schema else kinds


def _name(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _resolved(said: dict[str, Any]) -> dict[str, Any]:
    """What a reference points to, with what stands beside the reference on top."""
    if "$ref" not in said:
        return said
    found: Any = contract()
    for part in said["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return {**found, **{key: value for key, value in said.items() if key != "$ref"}}
