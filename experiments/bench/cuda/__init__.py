"""What a card does for training, in one call of a few minutes: ``python -m rlbench.experiments.bench.cuda --out DIR``.

`job` is what all stages share, `machine`, `rates` and `steps` hold them, `__main__` runs those that are named.
"""
