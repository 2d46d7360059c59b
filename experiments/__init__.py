"""Recipes, benchmarks and golden curves; installed as `rlbench.experiments`."""
