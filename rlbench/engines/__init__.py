"""What runs cells: `engine` is the interface of all, `local` runs them on this machine's cores.

None plans, judges or tries again. Those of clusters have rooms of their own; `driving.engines` finds one by name.
"""
