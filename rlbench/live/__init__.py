"""A run while it lasts, on a terminal: a panel or plain lines, of this process or of another.

For the commands `train` and `watch`; changes nothing that is learned.
"""
