"""Cells on a Ray cluster: `engine` is the driver's side, `cluster` a process that speaks to Ray, `task` runs on a node.

Entered by `driving.engines` alone, and by the workers of a cluster. Ray itself is imported by `cluster`, where it runs.
"""
