"""This process and its machine: where its user stands, its streams, its settings, how its CPU computes.

Every room above may ask it; agents need none of it.
"""
