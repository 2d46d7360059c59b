"""Planted bugs: agents of rlbench's own with one mistake each, which `rlbench check` is to find and to name.

``python -m rlbench.experiments.mutations table`` plants them all: which row is to catch each, whether it does, and what
it says. TABLE.md is its page. ``... healthy`` asks agents without a mistake, with other seeds, for false alarms.
"""
