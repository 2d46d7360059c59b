"""What is inside a trained agent, as numbers: its layers, its values beside the returns that came, its buffer.

Nothing here trains a run or writes to its folder. `inspect`, the command, looks at runs that are over; a run that
trains with `debug_every` looks at itself by the same functions.
"""
