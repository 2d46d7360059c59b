"""Episodes to look at and to take part in: in a window, in a video file, on a page.

Stands on `trained`; training uses it for its films alone.
"""
