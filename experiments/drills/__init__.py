"""Drills: what happens to a run that is killed, damaged, or out of room. ``python -m rlbench.experiments.drills``."""
