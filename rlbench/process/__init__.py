"""This process and its machine: where its user stands, its streams, its settings, how its CPU computes.

Knows errors alone; agents need none of it.
"""
