"""Whatever may happen to an offer, for properties that must hold for all of it. Seconds throughout."""

from __future__ import annotations

from django.conf import settings as django_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from orchestrators.core.health import Source
from orchestrators.core.outcome import Outcome, OutcomeClass, Speaker

START = 1_800_000_000.0

set_hypothesis_home_dir(django_settings.LOCAL_DIR / "hypothesis")

# The same examples in every run: a property that fails here fails everywhere.
BOUNDED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

draws = st.floats(0, 1, exclude_max=True)
gaps = st.sampled_from([0.0, 0.001, 0.2, 1.0, 4.0, 29.9, 30.0, 301.0, 4000.0])
seconds = st.sampled_from([0.0, 0.0004, 0.02, 0.4, 1.5, 9.9, 10.1, 60.0])


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    """Any class by any speaker, with whatever beside it, as `classify` may or may not say it."""
    cls = draw(st.sampled_from(OutcomeClass))
    started = cls is OutcomeClass.COLD_START and draw(st.booleans())
    return Outcome(
        cls,
        draw(st.sampled_from(Speaker)),
        status=draw(st.sampled_from([None, 200, 400, 404, 429, 500, 502, 503])),
        latency=draw(st.none() | seconds),
        cold=started,
        retry_after=draw(st.none() | st.sampled_from([0.0, 1.0, 30.0, 300.0])),
        detail=draw(st.sampled_from(["", "said so"])),
    )


# (seconds since the contact before, what came of it, who asked, the dice)
contacts = st.tuples(gaps, outcomes(), st.sampled_from(Source), draws)
