"""Every file of a run folder: its name, its columns, how it is written whole, and how it is read.

Whoever looks at runs goes through here. `facts`, `index` and `layout` import no NumPy: a list of runs is instant.
"""
