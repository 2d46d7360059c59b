"""Environments stepped, agents driven: the batch, the one loop, evaluations, films, signals.

For whoever lets an agent act: training, evaluation, play. Knows agents by their interface alone, and no recipe and no
run folder.
"""
