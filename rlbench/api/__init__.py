"""What `rlbench.train`, `resume`, `load`, `evaluate` and `compare` are: the rooms' own, for programs and notebooks.

They show how far they are, tell their notes as warnings, and give objects that show themselves. It stands beside `cli`,
which makes the same rooms ready for a shell; nothing imports it but the package's face.
"""
