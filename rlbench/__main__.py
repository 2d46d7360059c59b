"""`python -m rlbench`: the same as the command `rlbench`, for where the command is not on the path."""

from rlbench.cli import main

if __name__ == "__main__":
    main(prog_name="rlbench")
