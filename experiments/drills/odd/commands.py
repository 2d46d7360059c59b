"""A command of rlbench in a fork of this process, which has imported everything already, and what came of it."""

import atexit
import contextlib
import importlib
import os
import re
import resource
import shlex
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HEAVY = (
    "matplotlib.pyplot", "scipy.stats", "tensorboard", "torch", "rlbench.cli", "rlbench.judge.comparison",
    "rlbench.play.greedy", "rlbench.play.recorded", "rlbench.play.video", "rlbench.plots.learning",
    "rlbench.report.page", "rlbench.track.tensorboard", "rlbench.trained.verify", "rlbench.training.train",
)  # fmt: skip
PATIENCE = 90.0  # seconds for a command; most take less than one
MEMORY = 6 * 2**30  # bytes of address space beyond what is in use
GRACE = 4.0  # seconds for its other processes to end after it


class Said(NamedTuple):
    """``code`` is negative for a signal, and None where the command had to be killed; ``left`` are its processes."""

    args: tuple[str, ...]
    code: int | None
    out: str
    err: str
    left: tuple[str, ...]

    @property
    def errors(self) -> list[str]:
        """The lines that say what went wrong: those on standard error that are neither notes nor the environment's."""
        return [
            line
            for line in self.err.splitlines()
            if line.strip() and not line.lower().startswith(("note:", "odd:", "warning:"))
        ]

    @property
    def shown(self) -> str:
        return shlex.join(("rlbench", *self.args))


def warm_up() -> None:
    """Import what the commands import, so that forks need not."""
    for name in HEAVY:
        importlib.import_module(name)
    import torch

    from rlbench.runfolder import checkpoints

    torch.set_num_threads(1)
    checkpoints.SAVE_SHARE = 1e9  # checkpoints as often as asked, whatever they cost


def call(args: Sequence[str], cwd: Path, env: dict[str, str], patience: float = PATIENCE) -> Said:
    """`rlbench ARGS` in a session of its own, in the folder ``cwd``, with ``env`` added to the environment."""
    out, err = cwd / ".out", cwd / ".err"
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        _become(args, cwd, env, out, err)
    code = _wait(pid, patience)
    if code is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    until = time.monotonic() + GRACE
    while (left := list(_session(pid))) and time.monotonic() < until:
        time.sleep(0.02)
    for process, _ in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    said, wrong = (path.read_bytes().decode(errors="replace") for path in (out, err))
    return Said(tuple(args), code, said, wrong, tuple(name for _, name in left))


def _become(args: Sequence[str], cwd: Path, env: dict[str, str], out: Path, err: Path) -> None:
    """In the fork: run the command as a fresh interpreter would, to its exit code."""
    code = 70
    try:
        os.setsid()
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND
        for number, path in ((0, os.devnull), (1, out), (2, err)):
            os.dup2(os.open(path, flags if number else os.O_RDONLY, 0o600), number)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", 1, closefd=False)  # noqa: SIM115
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
        os.chdir(cwd)
        os.environ.update(env)
        sys.argv = ["rlbench", *args]
        code = _exit_code(args)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(ValueError, OSError):
                stream.flush()
    finally:
        os._exit(code)


def _exit_code(args: Sequence[str]) -> int:
    from rlbench.cli import main

    try:
        main(list(args), prog_name="rlbench")
    except SystemExit as e:
        if isinstance(e.code, str):
            print(e.code, file=sys.__stderr__)
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
        return 1
    return 0


def _wait(pid: int, patience: float) -> int | None:
    """The exit code of ``pid``, or None where it has not ended after so many seconds."""
    until = time.monotonic() + patience
    pause = 0.002
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(0.05, 1.3 * pause)
    return None


def _session(leader: int) -> Iterator[tuple[int, str]]:
    """The living processes of a session, with what they are."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            state, _, _, session = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state not in "ZX":
                words = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
                yield int(entry), " ".join(words)[:60]
        except (OSError, ValueError):
            continue


def printed(said: Said) -> list[list[str]]:
    """The commands of rlbench that a command advises, as a shell would split them, without the name."""
    found = []
    commands = "train|play|plot|eval|verify|runs|watch|report"
    for text in re.findall(rf"(?:^|[\s`(])rlbench ((?:{commands}) [^`\n]*)", said.out + said.err):
        with contextlib.suppress(ValueError):
            words: list[str] = []
            for word in shlex.split(text):
                if word == "--out":  # a folder that the user is to think of
                    break
                words.append(word.rstrip(".,;)"))
                if word.endswith((")", ";")):
                    break
            found.append(words)
    return found
