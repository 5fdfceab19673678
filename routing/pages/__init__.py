"""Pages of the console that belong to no model; the site says where they are (byocgw/console/site.py).

spend       what was spent, by capability, orchestrator, client and day
prices      ceilings against the offers' prices
trace       the parts of one call's page
"""
