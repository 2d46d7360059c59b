"""What a run says of itself while it trains: the files that it writes, its scores, its summary, who looks on.

For `training`, and for whatever shows or reports on runs.
"""
