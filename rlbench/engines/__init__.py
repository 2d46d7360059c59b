"""Where cells run: on this machine's cores, on Ray, on Slurm. None of them plans, judges or tries again.

Entered by whoever has cells to hand over; `engine` is the interface, `open` finds an engine by name.
"""
