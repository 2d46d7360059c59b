"""How long a sweep may take: the first cell of each environment and agent runs for a few seconds."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..cells.attempt import Attempt, read_attempt
from ..cells.order import Order
from ..process.orphans import PARENT
from ..process.places import home
from ..sweep.index import Index
from ..sweep.plan import Cell
from ..units import duration
from .reconcile import reconciled
from .run import SweepPlan
from .telling import steps_of

SECONDS = 8.0  # of a probe, with what it takes to begin
MOST = 12  # probes: one for each environment and agent, of the first of them
PATIENCE = 30.0  # seconds that a probe may take until its first word
LOOK = 0.2
#: A process that has imported all that runs need before it begins, as that of a cell has.
_READY = """
import signal
from rlbench.process.orphans import named_parent, when_the_parent_dies
when_the_parent_dies(signal.SIGTERM, named_parent())  # at once: importing takes seconds
from rlbench.engines.ready import ready
kept = ready()
from rlbench.cells.__main__ import main
main()
"""


def estimate(plan: SweepPlan) -> Iterator[str]:
    """Lines on how long what is left of the sweep may take; measured here, whatever the engine."""
    states, notes = reconciled(plan.out, Index(plan.out), plan.recipes)
    yield from notes
    left = [k for k, cell in enumerate(plan.cells) if states[cell.name].state != "done"]
    if len(left) < len(plan.cells):
        yield f"{len(plan.cells) - len(left):,} of them are done already"
    kinds: dict[tuple[str, str], list[int]] = {}
    for k in left:
        cell = plan.cells[k]
        kinds.setdefault((cell.env, cell.label.partition(" ")[0]), []).append(k)
    steps = steps_of(plan)
    seconds, known, whole = 0.0, 0, sum(steps[k] for k in left)
    if not left:
        return
    for (env, agent), places in list(kinds.items())[:MOST]:
        rate, said = _rate(plan, plan.cells[places[0]])
        of_kind = sum(steps[k] for k in places)
        if not rate:
            yield f"  {agent} on {env}: {said}"
            continue
        seconds, known = seconds + of_kind / rate, known + of_kind
        yield f"  {agent} on {env}: {rate:,.0f} env steps/s, {duration(of_kind / rate)} for {len(places):,} of them"
    if not known:
        yield "how long it may take is not known: no probe got anywhere"
        return
    one = seconds * whole / known
    slots = max(min(plan.engine.free(plan.needs._replace(cpus=plan.needs.cpus or 1.0)), len(left)), 1)
    beside = f", about {duration(one / slots)} with {slots:,} at a time" if slots > 1 else ""
    yield f"about {duration(one)} one after the other{beside}; each was measured for {SECONDS:g} s at most"


def _rate(plan: SweepPlan, cell: Cell) -> tuple[float, str]:
    """Env steps a second of a cell over all its seeds, evaluations counted in; 0 and why where it is not known."""
    with tempfile.TemporaryDirectory(prefix="rlbench-probe-", ignore_cleanup_errors=True) as place:
        folder = Path(place) / "cell"
        recipe = plan.recipes.recipe(cell)
        order = Order(cell.name, str(folder), recipe.content(), stands=str(home()))
        environment = {**os.environ, "TMPDIR": place, PARENT: str(os.getpid())}
        process = subprocess.Popen([sys.executable, "-c", _READY], stdin=subprocess.PIPE, env=environment)
        assert process.stdin is not None
        process.stdin.write(order.to_json().encode())
        process.stdin.close()
        seen: list[Attempt] = []
        until = time.monotonic() + PATIENCE
        try:
            while process.poll() is None and time.monotonic() < until:
                time.sleep(LOOK)
                now = read_attempt(folder)
                if now and now.env_steps and (not seen or now.seconds > seen[-1].seconds):
                    until = min(until, time.monotonic() + SECONDS) if not seen else until
                    seen.append(now)
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
        last = read_attempt(folder)
        if last and last.state in ("failed", "refused"):
            return 0.0, last.message
        if last and last.state == "done":
            return recipe.seeds * last.env_steps / max(last.seconds, 0.01), ""
        shutil.rmtree(folder, ignore_errors=True)
    if len(seen) < 2:
        return 0.0, f"no step within {PATIENCE:g} s"
    first, newest = seen[len(seen) // 3], seen[-1]  # the first steps are learning_starts, without updates
    if newest.env_steps <= first.env_steps:
        first = seen[0]
    passed = newest.seconds - first.seconds
    return recipe.seeds * (newest.env_steps - first.env_steps) / max(passed, 0.01), ""
