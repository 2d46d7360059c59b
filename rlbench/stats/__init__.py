"""Statistics of few seeds, as pure functions of NumPy arrays: they know of no run and no file.

Anybody above the kit may ask them.
"""
