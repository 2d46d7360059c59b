"""Pictures of runs, with intervals: what they show is computed apart from how it is drawn.

For commands, reports and the end of a run; draws what `runfolder` reads, and judges nothing.
"""
