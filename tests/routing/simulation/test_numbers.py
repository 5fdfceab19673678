"""The numbers a simulation runs with: those that are shipped, or a draft's."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing.configuration import export
from routing.configuration.document import read
from routing.simulation.numbers import SHIPPED, configuration
from routing.simulation.reading import ScenarioError


def test_the_profiles_are_those_of_a_fresh_installation(shipped: None) -> None:
    installed = {each["slug"]: each for each in export()["profiles"]}
    simulated = {each["slug"]: each for each in read(SHIPPED.read_bytes())["profiles"]}
    assert set(simulated) == set(installed)
    for slug, numbers in simulated.items():
        assert numbers == {name: installed[slug][name] for name in numbers}


def test_a_draft_replaces_a_profile_and_a_capability_has_its_own(tmp_path: Path) -> None:
    draft = tmp_path / "draft.yaml"
    draft.write_text(
        """
profiles:
- {slug: warm, retry_timeout: 8, attempt_timeout: 4, cold_grace: 9, latency_target_ms: 500,
   max_in_flight: 3, seat_wait: 2, fresh_for: 60, value_of_second: 0}
capabilities:
- {slug: image-to-image, profile: warm, max_attempts: 2, attempt_timeout: 1}
"""
    )
    found = configuration(draft)
    numbers = found.numbers("warm", "image-to-image")
    assert (numbers.policy.attempt_timeout, numbers.policy.max_attempts, numbers.max_in_flight) == (1, 2, 3)
    assert found.numbers("warm").policy.attempt_timeout == 4
    assert found.numbers("chained").policy.attempt_timeout == 20


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("profiles: [{slug: warm}]", "profiles.warm.retry_timeout: None is not a number."),
        ("profiles: {warm: {}}", "profiles: a list of mappings with a slug is wanted."),
        ("[]", "a mapping of sections is wanted."),
        ("a: *b", "alias"),
    ],
)
def test_a_draft_that_is_wrong_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    draft = tmp_path / "draft.yaml"
    draft.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        configuration(draft).numbers("warm")
    assert sentence in str(caught.value)


def test_a_profile_that_is_not_there_is_named() -> None:
    with pytest.raises(ScenarioError, match='There is no profile "tepid". Known: chained, per-frame, warm.'):
        configuration().numbers("tepid")
