"""`make bench`: byocgw with everything switched on, beside its peers, on this machine.

targets     the table that is to be reached
stage       processes: upstream, byocgw, peers          upstream, passing   two of them
load        wrk, and clients of our own                 usage               CPU and memory from /proc
measures    one function for each kind of figure
report      text, JSON, one SVG
"""
