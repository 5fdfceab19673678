"""Pages of the console that belong to no model; the site says where they are (byocgw/console/site.py).

spend       what was spent, by capability, orchestrator, client and day
prices      ceilings against the offers' prices
candidates  what waits for approval
alerts      what is wrong now, who has it in hand, and the rules in words
system      processes, chores, settings
playground  a call explained, and sent for real
answers     what of an answer may be shown
client      how much of its limits a client uses
trace       the parts of one call's page
"""
