"""Learning algorithms, one per file; installed as `rlbench.agents`."""
