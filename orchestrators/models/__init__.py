"""Supply, as rows. Decided by people: RoutingProfile, Capability, Orchestrator, Offer, FailureSignature,
DiscoverySource, and what to trust in Certificate. Claimed by orchestrators: Advert. Observed: OfferHealth,
HealthSnapshot, Trial, ReputationEvent, DiscoveryRun, DiscoveredEndpoint.

People's rows and machines' rows are different tables: saving a form never overwrites a measurement.
"""

from __future__ import annotations

from orchestrators.models.capability import Capability
from orchestrators.models.discovery import DiscoveredEndpoint, DiscoveryRun, DiscoverySource
from orchestrators.models.offer import Advert, Offer, OfferHealth
from orchestrators.models.orchestrator import ASLEEP, Certificate, Mode, Orchestrator
from orchestrators.models.profile import RoutingProfile
from orchestrators.models.revision import ConfigRevision, Revision
from orchestrators.models.signature import FailureSignature
from orchestrators.models.snapshot import HealthSnapshot
from orchestrators.models.trial import ReputationEvent, Trial

__all__ = [
    "ASLEEP",
    "Advert",
    "Capability",
    "Certificate",
    "ConfigRevision",
    "DiscoveredEndpoint",
    "DiscoveryRun",
    "DiscoverySource",
    "FailureSignature",
    "HealthSnapshot",
    "Mode",
    "Offer",
    "OfferHealth",
    "Orchestrator",
    "ReputationEvent",
    "Revision",
    "RoutingProfile",
    "Trial",
]
