"""A world to try policies in: clients, a fleet and its troubles, in simulated time.

Our own policy runs here as it runs in a worker: view, sift, rank, decide, classify, step and observe are
the product's, not copies. What is simulated is everything around them: a heap of events instead of an
event loop, a clock that jumps, dice with a seed. So a minute of traffic takes milliseconds, and the same
seed gives the same report.

    scenario    YAML -> Scenario: fleet, faults, clients              scenarios/  those that are shipped
    numbers     the profile's numbers, from a configuration file
    world       the fleet as it truly is: slots, models, prices, faults
    stage       the events: who waits for what; the account of all that happened
    gateway     our policy: the product's core around a simulated wire   prober   its probes
    baselines   what others do; oracle: what could be done
    metrics     one account -> numbers       trials   many seeds -> means with intervals, and the bars
    report      -> text, JSON                chart    -> SVG

Simplified, for all policies alike: one capability, one worker, answers that come whole, clients that do
not hang up before their deadline, containers that do not notice when a gateway does. An orchestrator
charges begun seconds of compute, also for failures, and nothing where no container was asked.
"""
