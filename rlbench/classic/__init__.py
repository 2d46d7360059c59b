"""Gymnasium's cheap classic-control environments, stepped by arithmetic of our own that gives the same bits.

Entered by `rollout.stepper` alone.
"""
