"""The playground: explains without asking anybody, sends what a button says, once, and shows it safely."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from orchestrators.models import Capability, ConfigRevision
from orchestrators.simulator import Container, Simulator
from routing.models import ApiKey, Job, KeptCall, Tier
from routing.models import Client as Caller
from routing.pages.answers import parts
from routing.roles import make_groups
from tests.routing.inference.scenes import DEPTH, PICTURE, depth_by, only_cheapest_first
from tests.support.gateway import Gateway, in_thread

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PAGE = "/admin/playground/?capability=depth"


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Any) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


def person(role: str = "") -> Client:
    client = Client()
    if not role:
        client.force_login(User.objects.create_superuser("ada"))
        return client
    make_groups("default")
    user = User.objects.create_user(role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


def filled(page: Any, **changes: str) -> dict[str, str]:
    """The form as it is shown, with some fields changed."""
    form = page.context["form"]
    return {field.html_name: str(field.value() or "") for field in form if field.name != "file"} | changes


async def test_it_explains_and_sends_once_as_the_holder_of_a_key(gateway: Gateway) -> None:
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as alder,
    ):
        await depth_by(gateway, alder, cedar)
        gateway.runtime.service._decision_sample = 0.0  # the playground's are kept all the same
        only_cheapest_first(gateway)
        ada = await in_thread(person)
        page = await in_thread(ada.get, PAGE)
        text = page.content.decode()
        assert [each["orchestrator"] for each in page.context["decision"]["candidates"]] == ["cedar", "alder"]
        # the dearest, until the longest answer ends: the most that it may cost
        assert page.context["told"]["most"] > 100 * 600 and "Send for real (up to" in text
        assert "as long as an answer may. As usual" in " ".join(text.split()), "no rate, and so no dollars"
        explained = await in_thread(ada.post, PAGE, filled(page, do="explain", body=json.dumps(PICTURE)))
        assert explained.status_code == 200 and "a picture" in explained.content.decode()
        assert not cedar.jobs and not alder.jobs, "explaining asks nobody"

        sent = filled(page, do="send", body=json.dumps(PICTURE))
        answer = await in_thread(ada.post, PAGE, sent)
        again = await in_thread(ada.post, PAGE, sent)
        assert answer.status_code == again.status_code == 302 and answer.url == again.url
        assert len(cedar.jobs) == 1 and json.loads(cedar.jobs[0].body) == PICTURE
        result = await in_thread(ada.get, answer.url)
        text = result.content.decode()
        assert result.context["decision"]["candidates"][0]["orchestrator"] == "cedar"
        assert [each.word for each in result.context["spans"] if each.attempt] == ["ok"]
        assert "&quot;depth&quot;" in text and "x-byocgw-attempts" in text
        assert "<p>kept <time" in text and ">for another 23 h</time></p>" in text
        await gateway.drained()
        job = await Job.objects.aget()
        assert (job.client, job.capability, job.code) == ("acme", "depth", "ok")
        # nobody else may see what was answered, and no other kept call is shown here
        assert (await in_thread((await in_thread(person, "Operator")).get, answer.url)).status_code == 404
        await in_thread(lambda: KeptCall.objects.update(key="a client's own"))
        assert (await in_thread(ada.get, answer.url)).status_code == 404


async def test_limits_and_rights_hold(gateway: Gateway) -> None:
    async with Simulator("alder", capabilities=[Container("depth", price=1)]) as alder:
        await depth_by(gateway, alder)
        ada, viewer = await in_thread(person), await in_thread(person, "Viewer")

        def send(client: Client, **changes: str) -> Any:
            page = client.get(PAGE)
            return client.post(PAGE, filled(page, **({"do": "send", "body": "{}"} | changes)))

        told = await in_thread(viewer.get, PAGE)
        assert told.status_code == 200 and "Send for real" not in told.content.decode()
        assert (await in_thread(send, viewer)).status_code == 403
        assert (await in_thread(viewer.post, PAGE, filled(told, do="save", body="{}"))).status_code == 403
        refused = await in_thread(send, ada, body="{no json")
        assert "This is no JSON" in refused.content.decode()

        def limit() -> None:
            tier = Tier.objects.create(slug="poor", daily_budget=1)
            Caller.objects.update(tier=tier)

        await in_thread(limit)
        await gateway.runtime.refresh()
        refused = await in_thread(send, ada)
        assert refused.status_code == 200 and "budget_spent" in refused.content.decode()
        await in_thread(lambda: ApiKey.objects.update(scope="read"))
        told = await in_thread(ada.get, PAGE)
        assert "issue a key" in told.content.decode(), "a key for reading cannot call"
        assert not alder.jobs


async def test_a_picture_is_shown_from_an_address_of_its_own(gateway: Gateway) -> None:
    """The strict policy stays: nothing of an answer is part of a page, and nothing of it can run."""
    async with Simulator("alder", capabilities=[Container("depth", price=1, kind="echo")]) as alder:
        await depth_by(gateway, alder, response={})
        ada = await in_thread(person)
        page = await in_thread(ada.get, PAGE)
        sent = filled(page, do="send") | {"file": SimpleUploadedFile("dot.png", PNG, "image/png")}
        answer = await in_thread(ada.post, PAGE, sent)
        text = (await in_thread(ada.get, answer.url)).content.decode()
        (source,) = re.findall(r'<img src="([^"]+)"', text)
        shown = await in_thread(ada.get, source)
    assert shown.content == PNG and shown["content-type"] == "image/png"
    assert shown["x-content-type-options"] == "nosniff" and "no-store" in shown["cache-control"]
    assert shown["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("content_type", "body", "kinds"),
    [
        ("text/html; charset=utf-8", b"<script>alert(1)</script>", ["text"]),
        ("image/svg+xml", b"<svg onload='alert(1)'/>", ["text"]),
        ("application/octet-stream", b"\x00\x01", ["file"]),
        ("text/event-stream", b"data: one\n\n", ["events"]),
        ("audio/wav", b"RIFF", ["sound"]),
        ("application/json", b"{broken", ["text"]),
        (
            "application/json",
            json.dumps(
                {
                    "images": [{"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}],
                    "page": "data:text/html;base64,PHNjcmlwdD4=",
                }
            ).encode(),
            ["text", "picture"],
        ),
    ],
)
def test_only_what_cannot_run_is_shown_as_what_it_says_it_is(
    content_type: str, body: bytes, kinds: list[str]
) -> None:
    assert [each.kind for each in parts(content_type, body)] == kinds


async def test_what_works_becomes_the_sample_that_probes_send(gateway: Gateway) -> None:
    async with Simulator("alder", capabilities=[Container("depth")]) as alder:
        await depth_by(gateway, alder)
        ada = await in_thread(person)
        page = await in_thread(ada.get, PAGE)
        await in_thread(ada.post, PAGE, filled(page, do="save", body=json.dumps(PICTURE), path="/draw"))
    saved = await in_thread(Capability.objects.get, slug="depth")
    assert saved.sample_request == {"content_type": "application/json", "path": "draw", "body": PICTURE}
    assert (await in_thread(ConfigRevision.objects.first)).summary == "changed capability depth: sample request"
    assert "a picture" in (await in_thread(ada.get, PAGE)).content.decode()


def test_outside_of_a_gateway_it_explains_only(client: Client, db: None) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    assert client.get("/admin/playground/").status_code == 200
    text = client.get(PAGE).content.decode()
    assert "it explains only" in text and DEPTH["slug"] in text
