"""A trained policy, made into files that need neither rlbench nor PyTorch, and the proof that they are the same policy.

Reads what `trained` opens and writes what `policyfile` opens; it never trains.
"""
