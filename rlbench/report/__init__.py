"""`rlbench report`: everything about runs on one page to send to somebody.

Nobody but the command stands above.
"""
