"""The admin of failure signatures: a list to order, and a page that classifies a pasted answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client

from orchestrators.models import ConfigRevision, FailureSignature, Revision
from tests.orchestrators.scenes import capability
from tests.support.forms import submit

pytestmark = pytest.mark.django_db

LIST = "/admin/orchestrators/failuresignature/"
CLASSIFY = f"{LIST}classify/"
TEMPLATES = Path(__file__).parents[2] / "templates/admin/orchestrators/failuresignature"


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def ada(client: Client) -> Client:
    """Ada runs the gateway."""
    client.force_login(User.objects.create_superuser("ada"))
    return client


def classify(client: Client, **said: Any) -> HttpResponse:
    answer = {"protocol": "byoc", "status": "500", "content_type": "text/plain", "seconds": "0.5"}
    answered: HttpResponse = client.post(CLASSIFY, answer | {"path_known": "on"} | said)
    assert answered.status_code == 200
    return answered


def told(answer: HttpResponse) -> str:
    """The verdict as text."""
    found = re.search(r'<table id="verdict">(.*?)</table>', answer.content.decode(), re.DOTALL)
    assert found, "no verdict"
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found.group(1))).strip()


# --- the list ---------------------------------------------------------------------------------------


def test_it_is_ordered_and_switched_in_the_list(ada: Client) -> None:
    listed = ada.get(LIST).context["cl"].formset
    data: dict[str, Any] = {field.html_name: field.value() for field in listed.management_form}
    for number, form in enumerate(listed.forms):
        data |= {f"form-{number}-id": form.instance.pk, f"form-{number}-order": form.instance.order}
        data |= {f"form-{number}-enabled": "on"} if form.instance.name != "loading-503" else {}
    data |= {"form-0-order": "999", "_save": "Save", "action": ""}
    assert ada.post(LIST, data).status_code == 302
    assert FailureSignature.objects.in_force()[-1].name == "cuda-out-of-memory-400"
    assert not FailureSignature.objects.get(name="loading-503").enabled
    revision = ConfigRevision.objects.get()
    assert revision.why == "admin: edit the list (failure signature)"
    assert "cuda-out-of-memory-400: Order" in revision.summary and "loading-503: Enabled" in revision.summary


def test_it_says_in_a_sentence_what_cannot_be_used(ada: Client) -> None:
    row = FailureSignature.objects.get(name="loading-503")
    with pytest.raises(AssertionError, match="a text, a header or both"):
        submit(ada, f"{LIST}{row.pk}/change/", text="")
    submit(ada, f"{LIST}{row.pk}/change/", text="", header="X-Loading:")
    row.refresh_from_db()
    assert row.header == "X-Loading:"


def test_it_leads_to_the_page_that_tries_it(ada: Client) -> None:
    assert f'<a href="{CLASSIFY}">Classify an answer</a>' in ada.get(LIST).content.decode()


# --- who may ----------------------------------------------------------------------------------------


def test_who_may_see_signatures_may_classify_and_nobody_else(client: Client) -> None:
    assert client.get(CLASSIFY).status_code == 302
    bob = User.objects.create_user("bob", is_staff=True)
    client.force_login(bob)
    assert client.get(CLASSIFY).status_code == client.post(CLASSIFY, {}).status_code == 403
    bob.user_permissions.set(Permission.objects.filter(codename="view_failuresignature"))
    assert client.get(CLASSIFY).status_code == 200
    assert told(classify(client)).startswith("The answer is upstream_error")
    assert "Classify an answer" in client.get(LIST).content.decode()


def test_it_changes_nothing(ada: Client) -> None:
    before = Revision.objects.values().get()
    classify(ada, body="CUDA out of memory")
    assert Revision.objects.values().get() == before
    assert not ConfigRevision.objects.exists()


def test_a_forged_form_is_refused() -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("ada"))
    assert browser.post(CLASSIFY, {"status": "500"}).status_code == 403


# --- what it tells ----------------------------------------------------------------------------------


def test_it_tells_the_class_the_signature_and_what_follows(ada: Client) -> None:
    """R64"""
    text = told(classify(ada, status="400", body='{"detail": "torch: CUDA Out Of Memory"}'))
    assert text.startswith("The answer is gpu_oom Judged by a failure signature: cuda-out-of-memory-400")
    assert "two in a row" in text and "other capabilities are probed at once" in text
    row = FailureSignature.objects.get(name="cuda-out-of-memory-400")
    assert f"{LIST}{row.pk}/change/" in classify(ada, status="400", body="cuda out of memory").content.decode()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"status": "503", "body": "Model is not ready"}, "is cold_start Judged by a failure signature"),
        ({"status": "400", "body": "Error loading image"}, "is client_error Judged by the status"),
        ({"status": "429", "headers": "Retry-After: 7"}, "is busy Judged by the status Left alone for 7.0 s"),
        ({"status": "404"}, "is api_mismatch Judged by the status"),
        ({"status": "404", "path_known": ""}, "is client_error Judged by the status"),
        (
            {"body": "job not able to be processed, removing capability err=dial tcp: refused\r\n"},
            "is container_crash Judged by the orchestrator&#x27;s own words",
        ),
        (
            {"status": "503", "body": "No capacity available for capability"},
            "is not_claimed Judged by the orchestrator&#x27;s own words",
        ),
        ({"status": "503", "body": "No capacity available for capability", "protocol": "direct"}, "is busy"),
        ({"status": "200", "body": "hello"}, "is ok Judged by the capability&#x27;s contract"),
        ({"status": "200", "body": ""}, "is api_mismatch"),
        (
            {
                "status": "200",
                "content_type": "text/event-stream",
                "body": 'data: {"error": "no"}\r\n\r\ndata: {}',
            },
            "is api_mismatch",
        ),
    ],
)
def test_it_judges_as_traffic_is_judged(ada: Client, said: dict[str, str], words: str) -> None:
    """R63, R65, R66"""
    assert words in told(classify(ada, **said))


def test_it_holds_a_success_against_the_capabilitys_contract_and_target(ada: Client) -> None:
    """R66, R38"""
    depth = capability("depth")
    said = {"status": "200", "capability": depth.pk, "content_type": "application/json"}
    assert "The answer is ok" in told(classify(ada, **said, body='{"depth": []}'))
    assert "breaks its schema at required" in told(classify(ada, **said, body="{}"))
    assert "not application/json" in told(classify(ada, **said | {"content_type": "text/html"}, body="x"))
    assert "The answer is cold_start" in told(classify(ada, **said, body='{"depth": []}', seconds="30"))


def test_it_reads_the_list_as_it_stands(ada: Client) -> None:
    FailureSignature.objects.create(
        name="state", order=1, status_from=200, status_to=599, header="X-Model-State: loading", cls="cold_start"
    )
    said = {"status": "500", "headers": "Server: x\r\nX-Model-State: Loading weights"}
    assert "a failure signature: state" in told(classify(ada, **said))
    FailureSignature.objects.update(enabled=False)
    assert "is upstream_error Judged by the status" in told(classify(ada, **said))


def test_what_was_pasted_is_shown_again_as_text(ada: Client) -> None:
    page = classify(ada, body="<script>alert(1)</script>").content.decode()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"status": "99"}, "status", "greater than or equal to 100"),
        ({"status": "nan"}, "status", "whole number"),
        ({"headers": "no colon"}, "headers", "is no header"),
        ({"capability": "999"}, "capability", "valid choice"),
        ({"protocol": "smtp"}, "protocol", "valid choice"),
        ({"seconds": "-1"}, "seconds", "greater than or equal to 0"),
        ({"body": "x" * 65537}, "body", "at most 65536"),
    ],
)
def test_what_cannot_be_read_is_told(ada: Client, said: dict[str, str], field: str, words: str) -> None:
    answer = classify(ada, **said)
    assert answer.context["verdict"] is None
    assert words in answer.context["form"].errors[field][0]


def test_a_capability_whose_contract_is_spoilt_is_told(ada: Client) -> None:
    depth = capability("depth", response={"schema": {"type": 1}})
    (error,) = classify(ada, capability=depth.pk).context["form"].errors["capability"]
    assert error.startswith("Its contract cannot be used: ")


def test_its_pages_have_nothing_inline() -> None:
    """A strict content security policy lets none of it pass."""
    for file in TEMPLATES.glob("*.html"):
        text = file.read_text()
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|javascript:", text), file.name
