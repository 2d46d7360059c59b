"""One cell of a sweep, carried out in a process of its own: what it is told, what it does, what it says of itself.

The same on every engine, on whatever machine. Entered by engines, sweeps and searches; `python -m rlbench.cells` is the
whole life of such a process.
"""
