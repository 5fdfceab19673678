"""Two people edit one row, on every form of policy (issue 5, section 3): the second save takes nothing back."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.byocgw.test_who_may_write import NOW, SAID, address, everything, latest  # noqa: F401  (a fixture)
from tests.orchestrators.test_meanwhile import again, opened

pytestmark = pytest.mark.django_db
OF_POLICY = [label for label in SAID if not label.startswith("auth.")]


@pytest.mark.parametrize("label", OF_POLICY)
def test_the_second_save_is_told_and_keeps_what_the_first_changed(label: str) -> None:
    people = []
    for name in ("ada", "bob"):
        people.append(Client())
        people[-1].force_login(User.objects.create_superuser(name))
    ada, bob = people
    url, (change, _new) = address(label, "change", latest(label).pk), SAID[label]
    field = next(iter(change))
    for_ada, for_bob = opened(ada, url), opened(bob, url)
    if label == "routing.Rate":
        for_ada, for_bob = for_ada | NOW, for_bob | NOW
    first = bob.post(url, for_bob | change)
    assert first.status_code == 302, first.context["errors"]
    kept = getattr(latest(label), field)

    answer = ada.post(url, for_ada)
    assert answer.status_code == 200
    told = " ".join(answer.context["adminform"].form.non_field_errors())
    assert "bob has changed this while you were editing" in told
    assert getattr(latest(label), field) == kept
    second = again(answer) | (NOW if label == "routing.Rate" else {})
    assert ada.post(url, second).status_code == 302
    assert getattr(latest(label), field) == kept
