"""What the table [slurm] asks for, checked, and as options of sbatch; whether any node is large enough."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..engines.engine import Needs
from ..errors import UsageError
from ..recipe.problems import value_text
from ..units import SECONDS, byte_size, duration
from . import queue
from .job import WARNED
from .queue import UNLIMITED, NoAnswer, Partition

WARNING = 90  # seconds before the time limit at which a cell saves, where nothing else is asked for
_SIZES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
#: What this engine itself asks of sbatch.
_OURS = (
    "array", "error", "no-requeue", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable", "requeue",
    "signal", "test-only", "wait", "wrap",
)  # fmt: skip
#: Lines of shell, and where programs and modules are found: what could bring code along with a file.
CODE = {"setup", "python", "export", "export-file", "chdir", "get-user-env", "container", "container-id"}
_OTHER_NAMES = {"memory": "mem", "name": "job-name", "timeout": "time"}


class SlurmTable(NamedTuple):
    """The table [slurm].

    Attributes:
        options: of sbatch, by their long names: partition, mem, gres, account, qos, constraint, any other.
        time: minutes; None: what the partition gives.
        warning: seconds before the limit at which cells save; None: `WARNING`, or half of a shorter time.
        parallel: cells of one array that run at once.
        most: cells that are in Slurm's queue at once.
        poll: seconds between two questions how all jobs stand.
        setup: lines of shell that run before a cell.
        python: command of the interpreter there.
    """

    options: dict[str, Any]
    time: int | None = None
    warning: int | None = None
    parallel: int = 256
    most: int = 1000
    poll: float = 15.0
    setup: tuple[str, ...] = ()
    python: str = ""

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "SlurmTable":
        """The settings that a table asks for.

        Raises:
            UsageError: a value does not fit, or belongs to us.
        """
        options: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, value in table.items():
            if key in _OWN:
                own[_OWN[key]] = _own(key, value)
                continue
            option = key.replace("_", "-")
            option = _OTHER_NAMES.get(option, option)
            if option in _OURS:
                raise UsageError(f"[slurm] {key}: rlbench asks sbatch for this itself; leave it out.")
            if not re.fullmatch(r"[a-z][a-z0-9-]+", option):
                raise UsageError(f"[slurm] {key!r}: not a long option of sbatch, such as partition or mem-per-cpu.")
            if option == "time":
                own["time"] = _time(key, value)
            elif value is not False:
                options[option] = _plain(key, value)
        return cls(options, **own)

    def seconds_before(self, limit: int) -> int:
        """How long before a limit of so many minutes cells are warned."""
        if self.warning is not None:
            return self.warning
        return WARNING if limit == UNLIMITED else min(WARNING, 60 * limit // 2)


def brings_code(key: str) -> bool:
    """Whether a setting counts only where the command itself has it, whatever a file says."""
    return key.replace("_", "-") in CODE


def flags(settings: SlurmTable, needs: Needs) -> dict[str, Any]:
    """Options of sbatch for a cell with these needs; what the table asks for comes before what [resources] does.

    Raises:
        UsageError: a part of a card, which Slurm does not lend.
    """
    asked: dict[str, Any] = {"cpus-per-task": max(1, math.ceil(needs.cpus - 1e-9))}
    if needs.memory and not settings.options.keys() & {"mem", "mem-per-cpu", "mem-per-gpu"}:
        asked["mem"] = f"{math.ceil(needs.memory / 2**20)}M"
    if needs.gpus and not any(key == "gres" or key.startswith("gpus") for key in settings.options):
        if needs.gpus != int(needs.gpus):
            raise UsageError(
                f"a cell takes {needs.gpus:g} cards, and Slurm lends whole ones. Set [resources] gpus = "
                f'{math.ceil(needs.gpus)}, or gres in [slurm] where the cluster shares cards, as gres = "shard:1".'
            )
        asked["gpus-per-node"] = int(needs.gpus)
    return {**asked, **settings.options}


def fit(settings: SlurmTable, needs: Needs, there: Sequence[Partition]) -> Partition:
    """The partition that cells go to: of its kinds of nodes the largest that fits.

    Raises:
        UsageError: there is no such partition, it takes no job for so long, or none of its nodes is large enough.
    """
    wanted = str(settings.options.get("partition", "")).split(",")
    names = list(dict.fromkeys(one.name for one in there))
    for name in wanted:
        if name and name not in names:
            raise UsageError(f"[slurm] partition: Slurm has no {name!r}. It has: {', '.join(names) or 'none'}.")
    mine = [one for one in there if (one.name in wanted if wanted != [""] else one.default)]
    if not mine:
        raise UsageError(f"Slurm takes no partition by itself: set partition in [slurm]. It has: {', '.join(names)}.")
    named = " and ".join(dict.fromkeys(one.name for one in mine))
    if not (up := [one for one in mine if one.up]):
        raise UsageError(f"partition {named} takes no jobs now (see `sinfo`). Take another: {', '.join(names)}.")
    longest = max(math.inf if one.limit == UNLIMITED else one.limit for one in up)
    if settings.time is not None and (settings.time or math.inf) > longest:
        raise UsageError(
            f"[slurm] time: partition {named} takes jobs for {duration(60 * longest)} at most. Ask for that: cells "
            "whose time is up are saved, and go on from there."
        )
    large = [one for one in up if _holds(one, settings, needs)]
    if not large:
        one = max(up, key=lambda one: (one.gpus, one.cpus, one.memory))
        raise UsageError(
            f"a cell takes {_amount(*_wanted(settings, needs))}, and the largest node of partition {named} has "
            f"{_amount(one.cpus, one.memory, one.gpus)}{' and no cards' * bool(needs.gpus and not one.gpus)}. Lower "
            "[resources], or take another partition."
        )
    return max(large, key=lambda one: (math.inf if one.limit == UNLIMITED else one.limit, one.cpus, one.memory))


def time_limit(settings: SlurmTable, partition: Partition) -> int:
    """Minutes that a job is given.

    Raises:
        UsageError: it would be warned as soon as it begins.
    """
    limit = settings.time
    if limit is None:
        limit = partition.limit if partition.usual is None else partition.usual
    if limit != UNLIMITED and settings.seconds_before(limit) >= 60 * limit:
        raise UsageError(
            f"[slurm] signal_delay: {settings.seconds_before(limit)} seconds before its time limit of "
            f"{duration(60 * limit)} a cell would be told to save before it has begun. Ask for less."
        )
    return limit


def rehearse(options: Mapping[str, Any], limit: int) -> None:
    """Ask sbatch itself whether it would take such a job: accounts, constraints, options that it does not know.

    Raises:
        UsageError: it would not; says why in sbatch's words.
    """
    given = [f"--{key}" if value is True else f"--{key}={value}" for key, value in options.items()]
    try:
        queue.ask("sbatch", "--test-only", *given, f"--time={limit}", f"--signal=B:{WARNED.name[3:]}@1", "--wrap=true")
    except NoAnswer as e:
        raise UsageError(f"sbatch would not take such a job: {e}. It was asked for: {' '.join(given)}") from e


def _holds(one: Partition, settings: SlurmTable, needs: Needs) -> bool:
    cpus, memory, gpus = _wanted(settings, needs)
    return one.cpus >= cpus and one.memory >= memory and one.gpus >= gpus


def _wanted(settings: SlurmTable, needs: Needs) -> tuple[int, int, int]:
    """Cores, bytes and cards of one cell, as far as that is plain to see."""
    asked = flags(settings, needs)
    cpus = asked["cpus-per-task"]
    gpus = asked.get("gpus-per-node", 0)
    return (
        int(cpus) if str(cpus).isdigit() else 1,
        _bytes(str(asked.get("mem", 0))),
        int(gpus) if str(gpus).isdigit() else 0,
    )


def _amount(cpus: int, memory: int, gpus: int) -> str:
    parts = [f"{cpus} core{'s' * (cpus != 1)}", *([byte_size(memory)] if memory else [])]
    return ", ".join([*parts, *([f"{gpus} card{'s' * (gpus != 1)}"] if gpus else [])])


def _bytes(text: str) -> int:
    """Bytes of a size as sbatch has it, 4000 (MiB), 512M or 16GB; 0 where it says something else."""
    found = re.fullmatch(r"(\d+)([KMGT]?)B?", text.upper())
    return int(found[1]) * _SIZES[found[2] or "M"] if found else 0


def _time(key: str, value: Any) -> int:
    """Minutes of [slurm] time: as sbatch has it, or with a unit as 90m, 12h, 2d."""
    text = str(value).strip()
    unit = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    try:
        if isinstance(value, bool):
            raise ValueError(text)
        return math.ceil(float(unit[1]) * SECONDS[unit[2]] / 60) if unit else queue.minutes(text)
    except ValueError:
        raise UsageError(
            f"[slurm] {key}: must be a time such as 90 (minutes), '12:00:00' or '2-00:00:00', got {value_text(value)}"
        ) from None


def _plain(key: str, value: Any) -> Any:
    """A value as sbatch takes it: a flag, a text, a list with commas."""
    if value is True or (isinstance(value, (int, float, str)) and not isinstance(value, bool)):
        if isinstance(value, str) and ("\n" in value or not value):
            raise UsageError(f"[slurm] {key}: must be a text of one line, got {value_text(value)}")
        return value
    if isinstance(value, list) and value and all(isinstance(one, (int, str)) for one in value):
        return _plain(key, ",".join(map(str, value)))
    raise UsageError(f"[slurm] {key}: must be a text, a number, true or a list of texts, got {value_text(value)}")


#: Settings that are not sbatch's -> the field of `SlurmTable`.
_OWN = {
    "signal_delay": "warning", "array_parallelism": "parallel", "max_jobs": "most", "poll": "poll", "setup": "setup",
    "python": "python",
}  # fmt: skip


def _own(key: str, value: Any) -> Any:
    if key == "setup":
        lines = [value] if isinstance(value, str) else value
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise UsageError(f"[slurm] setup: must be lines of shell, got {value_text(value)}")
        return tuple(lines)
    if key == "python":
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"[slurm] python: must be the command of an interpreter, got {value_text(value)}")
        return value
    number = (int, float) if key == "poll" else int
    if not isinstance(value, number) or isinstance(value, bool) or not value >= 1:
        raise UsageError(f"[slurm] {key}: must be a number of at least 1, got {value_text(value)}")
    return value
