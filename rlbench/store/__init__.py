"""A run folder kept on any address that fsspec reaches: brought up at every checkpoint, and down to go on elsewhere.

For workers that share no disk, and for who gathers what they made. Knows the files of a run folder, and
no run under way.
"""
