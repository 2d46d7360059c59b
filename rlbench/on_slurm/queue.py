"""What Slurm says, by its own commands: whether it is there, its nodes, its partitions, how jobs stand.

Everything is asked for in one call for all jobs; accounting (sacct), which not every cluster keeps, is not needed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import RlbenchError, UsageError

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun")  # srun: submitit looks for it
SECONDS = 60.0  # that a command may take: a controller under load takes its time
UNLIMITED = 0  # minutes, as sbatch has it
ALONE = -1

#: States that a job does not come out of again. Any other, those that newer versions add too, is taken for alive.
OVER = {
    "BOOT_FAIL": "its node did not start", "CANCELLED": "cancelled in Slurm", "COMPLETED": "",
    "DEADLINE": "its deadline came", "FAILED": "", "NODE_FAIL": "its node is gone",
    "OUT_OF_MEMORY": "killed by Slurm: out of memory", "PREEMPTED": "another job took its place",
    "REVOKED": "another cluster took it", "TIMEOUT": "killed at its time limit",
}  # fmt: skip
#: And of one that has not begun, or waits to go on.
BEFORE = {
    "CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT",
}  # fmt: skip


class NoAnswer(RlbenchError):
    """A command of Slurm's failed: its first words say why."""


class Partition(NamedTuple):
    """Nodes of one kind in one partition.

    Attributes:
        name: of the partition.
        default: whether it is taken where none is asked for.
        cpus: of a node.
        memory: of a node, in bytes.
        gpus: of a node.
        limit: minutes that a job may take at most; `UNLIMITED`.
        usual: minutes that one takes which asks for nothing; None: as ``limit``.
        up: whether it takes jobs.
    """

    name: str
    default: bool
    cpus: int
    memory: int
    gpus: int
    limit: int
    usual: int | None
    up: bool


class Job(NamedTuple):
    """How a job stands: a word of Slurm's such as RUNNING, why it waits, and where it is."""

    state: str
    reason: str = ""
    nodes: str = ""


def ask(*command: str) -> str:
    """What a command prints.

    Raises:
        NoAnswer: it failed, took too long, or is not there.
    """
    done = _run(*command)
    if done.returncode:
        words = complaint(done.stderr) or complaint(done.stdout)
        raise NoAnswer(words or f"{command[0]} ended with exit code {done.returncode}")
    return done.stdout


def complaint(text: str) -> str:
    """What a command of Slurm's complains of, in one line, without its own name before it."""
    lines = [re.sub(r"^\w+: (error: )?", "", line).strip(" *") for line in text.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line and not line.startswith("Try ")))


def check_there() -> None:
    """See that the commands are installed and that the controller answers.

    Raises:
        UsageError: they are not, or it does not; says what to do.
    """
    if missing := [name for name in COMMANDS if shutil.which(name) is None]:
        raise UsageError(
            f"--on slurm needs Slurm's commands, and there is no {missing[0]} here. Run this where jobs are submitted, "
            "on a login node of the cluster, or take --on local or --on ray."
        )
    try:
        said = ask("scontrol", "ping")
    except NoAnswer as e:
        said = str(e)
    if not re.search(r"\bis UP\b", said):
        raise UsageError(
            f"Slurm's controller does not answer: {complaint(said) or 'no word from scontrol ping'}. Start slurmctld "
            "there, or ask who runs the cluster; `scontrol ping` tells when it is back."
        )


def partitions() -> list[Partition]:
    """Every kind of node in every partition.

    Raises:
        NoAnswer: sinfo failed.
    """
    found = []
    for line in ask("sinfo", "--noheader", "--exact", "--format=%P|%c|%m|%G|%l|%L|%a").splitlines():
        name, cpus, memory, gres, limit, usual, up = line.split("|")
        found.append(
            Partition(
                name.rstrip("*"),
                name.endswith("*"),
                int(cpus.rstrip("+")),
                int(memory.rstrip("+")) * 2**20,
                _gpus(gres),
                minutes(limit),
                None if usual == "n/a" else minutes(usual),
                up == "up",
            )
        )
    return found


def largest_array() -> int:
    """How many jobs one array may have."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return max(1, int(found[1])) if found else 1000


def jobs() -> dict[tuple[str, int], Job]:
    """All jobs of this user that the controller still knows: (number of the array, place in it) -> how it stands.

    A job by itself has place `ALONE`; so has what is left of an array that was cancelled before all of it had begun.

    Raises:
        NoAnswer: squeue failed; nothing is known then.
    """
    command = ("squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%F|%K|%T|%N|%r")
    found = {}
    for line in ask(*command).splitlines():
        number, place, state, nodes, reason = line.split("|", 4)
        found[number, int(place) if place.isdigit() else ALONE] = Job(state, reason, nodes)
    return found


def cancel(numbers: Iterable[str], *options: str) -> None:
    """scancel with ``options`` for jobs or arrays; of those that have ended, or are in another state, nothing is heard.

    Raises:
        NoAnswer: the controller was not reached.
    """
    if numbers := list(numbers):
        done = _run("scancel", "--quiet", *options, *numbers)  # it fails, silently, where there is nothing to cancel
        if done.returncode and (words := complaint(done.stderr)):
            raise NoAnswer(words)


def minutes(text: str) -> int:
    """Minutes of a time as Slurm writes it: 90, 90:00, 1:30:00, 1-12, 1-12:30, 1-12:30:00, infinite.

    Begun minutes count whole, as Slurm counts them.

    Raises:
        ValueError: it is none.
    """
    if text.lower() in ("infinite", "unlimited"):
        return UNLIMITED
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not found:
        raise ValueError(text)
    days, parts = found[1], [int(part) for part in found.groups()[1:] if part is not None]
    if days is not None:  # from the hours on
        hours, mins, seconds = (*parts, 0, 0)[:3]
        hours += 24 * int(days)
    elif len(parts) == 3:
        hours, mins, seconds = parts
    else:
        hours, mins, seconds = 0, *(*parts, 0)[:2]
    return 60 * hours + mins + (seconds + 59) // 60


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as e:
        why = f"no answer in {SECONDS:.0f}s" if isinstance(e, subprocess.TimeoutExpired) else e.strerror
        raise NoAnswer(f"{command[0]}: {why}") from e


def _gpus(gres: str) -> int:
    """Cards in a list of generic resources, as gpu:4, gpu:a100:4(S:0-1) or gpu:a100:2,gpu:t4:2."""
    plain = re.sub(r"\([^)]*\)", "", gres)
    return sum(int(one.rpartition(":")[2]) for one in plain.split(",") if re.fullmatch(r"gpu(:[^:]+)?:\d+", one))
