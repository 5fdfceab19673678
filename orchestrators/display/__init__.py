"""How the console writes things for people: moments, lengths of time, money, states, small charts.

moments    "12 s ago" with the exact moment beside it; "1.2 s", "3 min 20 s"
amounts    wei as gwei or ETH, prices, percentages; never 7.09E-7
states     shape + word + colour of whatever has a state
sentences  what the gateway says in English, in the reader's language (its forms: wordings)
charts     sparklines and bars as SVG, drawn here, with a title each

Values in, text or safe HTML out. Templates reach it by `{% load console %}`.
"""
