"""Pages of the console that belong to no model; the site says where they are (byocgw/console/site.py).

spend       what was spent, by capability, orchestrator, client and day
prices      ceilings against the offers' prices
system      processes, chores, settings
trace       the parts of one call's page
"""
