"""Environments whose values are known, an agent that is taught by them, and the rows that ask what it has learned.

`known` are tables, and their values; `probes` and `riddles` the environments; `lesson` teaches. The other modules hold
rows, declared as `rlbench.probing.rows` says. Stands on `probing`; only `checks` enters, which asks them.
"""
