"""Planted bugs: agents of rlbench's own with one mistake each, which `rlbench check` is to find and to name.

``python -m rlbench.experiments.mutations table`` plants them all and writes TABLE.md: which row is to catch each, whether
it does, and what it says. ``... healthy`` asks agents without a mistake, with other seeds, for false alarms.
"""
