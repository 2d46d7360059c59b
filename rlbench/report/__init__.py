"""One page about runs to send to somebody: what it says is gathered first, then written as HTML.

For the command `report` alone, which is all that stands above.
"""
