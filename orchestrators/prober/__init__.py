"""The prober: looks at every offer, and writes down what it claims and how it fares.

    leases       which offers, and who may look: a conditional UPDATE; several probers never share a row
    assignment   one leased offer as plain values
    network      an event loop in a thread of its own: contact() with many offers at once
    contact      a look, then a sample request if one is due
    judgement    what the same pure rules as for live traffic make of it
    record       Advert, OfferHealth, Certificate, HealthSnapshot; short statements, one offer at a time
    rounds       Prober, run() and watch(): who is next, and until when

The database stays in the caller's thread and the network in the other, with plain values between
them, so neither waits for the other.
"""

from __future__ import annotations

from orchestrators.prober.judgement import Report
from orchestrators.prober.leases import selected
from orchestrators.prober.rounds import Settings, Summary, run, watch

__all__ = ["Report", "Settings", "Summary", "run", "selected", "watch"]
