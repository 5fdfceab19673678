"""The numbers our policy works with: a profile's, and a capability's own where it has any.

They come from a document in the form of `manage.py export_config` (sections `profiles` and
`capabilities`), so a draft can be simulated before it is applied. `profiles.yaml` holds the shipped ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrators.core.contract import Contract
from routing.configuration.document import read
from routing.simulation.reading import ScenarioError, number
from routing.table.facts import CapabilityPolicy

SHIPPED = Path(__file__).parent / "profiles.yaml"
SAMPLE_PATH = b"run"

_OWN = (
    *("max_attempts", "retry_timeout", "attempt_timeout", "cold_grace", "value_of_second"),
    *("max_in_flight", "typical_seconds", "stateful"),
)
_PROFILE = (*_OWN[:6], "latency_target_ms", "seat_wait", "fresh_for")


@dataclass(frozen=True, slots=True)
class Numbers:
    """`max_in_flight`: calls at once to one offer."""

    policy: CapabilityPolicy
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class Configuration:
    profiles: Mapping[str, Mapping[str, Any]]
    capabilities: Mapping[str, Mapping[str, Any]]

    def numbers(self, profile: str, capability: str = "") -> Numbers:
        """Raises ScenarioError for a profile that is not there, or lacks a number."""
        own = self.capabilities.get(capability, {})
        slug = str(own.get("profile", profile))
        if slug not in self.profiles:
            known = ", ".join(sorted(self.profiles))
            raise ScenarioError(f'There is no profile "{slug}". Known: {known}.')
        values = dict(self.profiles[slug])
        values |= {name: own[name] for name in _OWN if own.get(name) is not None}
        found = {name: _value(values, slug, name) for name in _PROFILE}
        target = found["latency_target_ms"] / 1000
        policy = CapabilityPolicy(
            id=1,
            slug=capability or slug,
            description="",
            profile=slug,
            max_attempts=int(found["max_attempts"]),
            retry_timeout=found["retry_timeout"],
            attempt_timeout=found["attempt_timeout"],
            cold_grace=found["cold_grace"],
            latency_target=target,
            seat_wait=found["seat_wait"],
            fresh_for=found["fresh_for"],
            value_of_second=int(values["value_of_second"]),
            typical_seconds=float(values.get("typical_seconds") or target),
            stateful=bool(values.get("stateful", False)),
            contract=Contract.of(("application/json",), None),
            content_types=("application/json",),
            sample_path=SAMPLE_PATH,
        )
        return Numbers(policy, max(1, int(found["max_in_flight"])))


def configuration(path: Path | None = None) -> Configuration:
    """The shipped profiles, and what the file at `path` says instead. Raises ScenarioError."""
    made = _sections(SHIPPED)
    if path is None:
        return made
    draft = _sections(path)
    return Configuration({**made.profiles, **draft.profiles}, draft.capabilities)


def _sections(path: Path) -> Configuration:
    try:
        document = read(path.read_bytes())
    except OSError as exc:
        raise ScenarioError(f"{path}: {exc.strerror}.") from exc
    except ValueError as exc:
        raise ScenarioError(f"{path}: {exc}") from exc
    document = {} if document is None else document
    if not isinstance(document, dict):
        raise ScenarioError(f"{path}: a mapping of sections is wanted.")
    return Configuration(_section(document, "profiles", path), _section(document, "capabilities", path))


def _section(document: Mapping[str, Any], name: str, path: Path) -> dict[str, Mapping[str, Any]]:
    found = document.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) and "slug" in each for each in found):
        raise ScenarioError(f"{path}: {name}: a list of mappings with a slug is wanted.")
    return {str(each["slug"]): each for each in found}


def _value(values: Mapping[str, Any], slug: str, name: str) -> float:
    default = 3 if name == "max_attempts" else None
    return number(values.get(name, default), f"profiles.{slug}.{name}", most=1e30)
