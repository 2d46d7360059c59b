"""Studies of rlbench's own statistics: whether intervals hold what they say, and how often a verdict is wrong."""
