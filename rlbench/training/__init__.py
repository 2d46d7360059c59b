"""A run under way, from a request to its end: the session, what is due and when, and what goes wrong.

Only what shows runs, reports on them, or is a command stands above.
"""
