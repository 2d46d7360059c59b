"""For the tests of the command line: runs `rlbench` in this process or in one of its own, and looks at what it said."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from rlbench.cli import main

#: A run that is over in a blink.
TINY = (
    "--device", "cpu", "--workers", "1", "--seeds", "2", "--total-steps", "120", "--set", "eval_every=0",
    "--set", "final_eval_episodes=2", "--set", "dqn.hidden=[8]", "--set", "dqn.batch_size=8",
    "--set", "dqn.learning_starts=20", "--set", "dqn.capacity=100", "--set", "log_every=10", "--progress", "none",
)  # fmt: skip
# A learning rate that does not fall: its schedule spans the whole run, whose length some tests change.
CARTPOLE = (
    "train", "--env", "CartPole-v1", *TINY, "--num-envs", "1", "--set", "dqn.learning_rate=0.001",
    "--set", "dqn.learning_rate_end=0.001", "--set", "dqn.train_every=4",
)  # fmt: skip


def rlbench(*args: str | Path) -> Result:
    """`rlbench ARGS` in this process."""
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="rlbench")


def succeeds(*args: str | Path) -> str:
    """What `rlbench ARGS` writes to standard output; its exit code is 0, and nothing is on standard error."""
    result = rlbench(*args)
    assert result.exit_code == 0, result.output
    assert result.stderr == "", result.stderr
    return result.stdout


def mistake(*args: str | Path) -> str:
    """The one line that `rlbench ARGS` says about a user's mistake."""
    return one_line(rlbench(*args))


def one_line(result: Result) -> str:
    """The only line on standard error, of a command that failed because of its user and printed no traceback."""
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (1, 2), result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def process(*args: str | Path, **how: Any) -> subprocess.Popen[str]:
    """`rlbench ARGS` in a process of its own, with pipes."""
    command = [sys.executable, "-m", "rlbench", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


def timeless(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of a CSV file, without the column of wall-clock time."""
    with (folder / name).open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "wall_seconds"} for row in csv.DictReader(file)]


def assert_same_record(a: Path, b: Path) -> None:
    """Both runs recorded the same: episodes, losses, and evaluations up to those of the end."""
    for name in ("episodes.csv", "updates.csv", "evaluations.csv"):
        assert timeless(a, name) == timeless(b, name)
    assert timeless(a, "episodes.csv")
    assert timeless(a, "updates.csv")
