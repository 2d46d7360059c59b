"""An agent at hand on small environments, each look at it in a process of its own.

What `checks` asks with, and does not ask itself: how a row is declared, what is checked (`subject`), where (`courses`),
how it is driven there (`trial`), and what becomes of code that hangs, dies or raises (`apart`, `fault`). Knows all that
lies below training; only `lessons` and `checks` enter.
"""
