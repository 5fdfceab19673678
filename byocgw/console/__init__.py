"""The console: the stock admin in our own frame.

site         ConsoleSite: what every page gets, and the pages that belong to no model
navigation   which pages there are, in groups; who may not open one does not see it
changes      what was decided, by whom and why, and the way back
people       accounts and groups: nobody gives more than they hold
second_factor  a code after the password, where somebody or the settings want one
apps         puts the site in the place of the stock one
"""
