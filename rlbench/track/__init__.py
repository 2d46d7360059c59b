"""Where a run's numbers go besides its CSV files: views of the record, which can be lost without harm.

The training room opens them; nothing else does.
"""
