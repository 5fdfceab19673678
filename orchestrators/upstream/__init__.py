"""The only code that talks to an orchestrator. `base` says how it is asked and how it answers."""
