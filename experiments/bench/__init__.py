"""Benchmarks: our figures and the peers' from the same interleaved run. ``python -m rlbench.experiments.bench``."""
