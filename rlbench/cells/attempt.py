"""What a cell's process says of itself, in attempt.json of the run folder: while it works, and of how it ended."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from ..files import write_json

FILE, LOG, ORDER = "attempt.json", "log.txt", "order.json"  # in the run folder of a cell
Stage = Literal["running", "done", "failed", "refused", "stopped"]


class Attempt(NamedTuple):
    """One attempt at a cell, as it stands.

    Attributes:
        attempt: 1, 2, ...
        state: "running" is also what stays of a process that was killed; "refused": no other attempt would do better;
            "stopped": by a signal, with everything saved.
        message: what the user would read, where it failed, was refused or stopped.
        lines: of one that failed, the last of its log.
        host: name of the machine.
        process: its number there.
        cpu: the kind of CPU.
        mode: MKL's mode, which numbers depend on; "" where it takes its own.
        started: seconds since 1970.
        seconds: of this attempt, so far.
        env_steps: per seed, so far.
        total_steps: per seed.
        rate: env steps a second over all seeds, of this attempt.
        returns: per seed, of the newest evaluation, else of its recent episodes; NaN before there is one. Of one that
            is done, those of its final weights.
        peak: most bytes of memory that the process has held; 0: not known.
    """

    attempt: int
    state: Stage
    message: str = ""
    lines: tuple[str, ...] = ()
    host: str = ""
    process: int = 0
    cpu: str = ""
    mode: str = ""
    started: float = 0.0
    seconds: float = 0.0
    env_steps: int = 0
    total_steps: int = 0
    rate: float = 0.0
    returns: tuple[float, ...] = ()
    peak: int = 0


def write_attempt(folder: Path, attempt: Attempt, *, sync: bool = False) -> None:
    """Write attempt.json in one piece."""
    returns = [x if math.isfinite(x) else None for x in attempt.returns]  # JSON knows no NaN
    write_json(folder / FILE, {**attempt._asdict(), "returns": returns}, sync=sync)


def final_returns(summary: Mapping[str, Any]) -> tuple[float, ...]:
    """Greedy returns of the final weights, per seed, NaN of one that was lost; () where there are none.

    Args:
        summary: what summary.json of the run folder holds.
    """
    found = summary.get("final_eval_return")
    if not isinstance(found, dict):
        return ()
    returns = tuple(float(x) if isinstance(x, int | float) else math.nan for x in found.values())
    return returns if any(map(math.isfinite, returns)) else ()


def read_attempt(folder: Path) -> Attempt | None:
    """What attempt.json says; None where there is none, or it is damaged: then nothing is known."""
    try:
        return parse_attempt((folder / FILE).read_text(encoding="utf-8"))
    except OSError:
        return None


def parse_attempt(text: str) -> Attempt | None:
    """As `read_attempt`, of the file's content."""
    try:
        content: dict[str, Any] = json.loads(text)
        known = {name: content[name] for name in Attempt._fields if name in content}
        attempt = Attempt(**known)
        returns = tuple(math.nan if x is None else float(x) for x in attempt.returns)
        attempt = attempt._replace(returns=returns, lines=tuple(map(str, attempt.lines)))
    except (ValueError, TypeError, RecursionError):
        return None
    kinds = {str: str, int: int, float: int | float}
    whole = all(
        isinstance(value, kinds[kind])
        for value, kind in zip(attempt, Attempt.__annotations__.values(), strict=True)
        if kind in kinds
    )
    return attempt if whole and isinstance(attempt.state, str) and attempt.state in get_args(Stage) else None
