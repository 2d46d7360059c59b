"""Environments stepped, agents driven: the batch, the one loop, evaluations, films, signals.

Knows agents by their interface alone, and no recipe and no run folder.
"""
