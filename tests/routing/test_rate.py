"""R74: what one ETH is worth, said by a person and shown beside every ceiling."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client as Browser

from orchestrators.core.price import Price
from orchestrators.models import Capability, ConfigRevision
from routing.configuration import apply, export
from routing.models import PriceCeiling, Rate

pytestmark = pytest.mark.django_db
MOMENT = "2026-11-25T12:00:00Z"


def say(text: str = "3600.50", **options: Any) -> str:
    out = StringIO()
    call_command("set_rate", text, stdout=out, **options)
    return out.getvalue()


def test_a_command_sets_it_and_leaves_who_and_what() -> None:
    assert say(as_of=MOMENT) == "1 ETH = 3600.5 USD as of 2026-11-25 12:00 UTC.\n"
    say("3601")
    assert Rate.objects.get().per_eth == Decimal(3601)
    assert ConfigRevision.objects.order_by("-pk").values_list("via", "summary")[0] == (
        "command",
        "rate: 1 ETH = 3601 USD",
    )


@pytest.mark.parametrize("text", ["", "dear", "-1", "0", "NaN", "1e20", "1.1234567"])
def test_it_refuses_what_is_no_rate(text: str) -> None:
    with pytest.raises(CommandError):
        call_command("set_rate", "--", text)
    assert not Rate.objects.exists()


def test_it_refuses_a_moment_without_a_zone() -> None:
    with pytest.raises(CommandError, match="must be a date and time with a time zone"):
        say(as_of="2026-11-25 12:00")


def test_it_is_a_section_of_the_configuration() -> None:
    document = {"rates": [{"currency": "usd", "per_eth": "3600.50", "as_of": MOMENT}]}
    assert apply(document, who="ada").changes == ["+ rate 1 ETH = 3600.5 USD"]
    said = export()["rates"]
    assert said == [{"currency": "usd", "per_eth": "3600.5", "as_of": MOMENT}]
    assert apply({"rates": said}, who="ada").changes == []
    assert apply({"rates": []}, who="ada", prune=True).changes == ["- rate 1 ETH = 3600.5 USD"]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (
            {"per_eth": 3600.5, "as_of": MOMENT},
            'per_eth: must be a decimal number in quotes, such as "3600.50".',
        ),
        ({"per_eth": True, "as_of": MOMENT}, 'per_eth: must be a decimal number in quotes, such as "3600.50".'),
        ({"per_eth": 3600}, "as_of: is required."),
        ({"per_eth": "3600", "as_of": "today"}, "as_of: must be a date and time with a time zone"),
    ],
)
def test_a_wrong_entry_is_told(said: dict[str, Any], error: str) -> None:
    (told,) = apply({"rates": [{"currency": "usd", **said}]}, who="ada").errors
    assert told.startswith(f"rates[0].{error}")


def test_every_ceiling_is_shown_with_unit_wei_and_dollars(
    client: Browser, settings: Any, tmp_path: Path
) -> None:
    settings.STATIC_ROOT = tmp_path
    client.force_login(User.objects.create_superuser("ada"))
    PriceCeiling.objects.create(
        capability=Capability.objects.get(slug="depth"), price=Price.parse("300 gwei/second")
    )
    pages = ("/admin/orchestrators/capability/", "/admin/routing/priceceiling/")
    assert all("in USD: unknown" in client.get(page).content.decode() for page in pages)
    say("3600")
    told = "($0.00108/second; 1 ETH = $3600, "
    assert all(told in client.get(page).content.decode() for page in pages)
    out = StringIO()
    call_command("explain", "depth", stdout=out)
    assert told in out.getvalue()
