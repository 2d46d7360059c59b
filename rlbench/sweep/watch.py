"""The loop of `rlbench watch` on a sweep: look at its folder, draw its cells, wait for a key or for its end."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from ..live.progress import Screen, make_console
from ..live.watch import SECONDS, pressed_keys
from ..process.places import shown
from ..rollout.signals import Interrupts
from ..user_code.commands import command
from .folder import FILE, SweepFolder, open_sweep
from .index import CellState
from .view import CellPanel

MOST_FAILED = 10  # cells of which the whole message is printed in the end


def watch_sweep(folder: Path, *, once: bool = False) -> int:
    """Show a sweep until nobody drives it any more, the user presses q or a signal comes; nothing is written.

    Args:
        folder: of the sweep.
        once: print the cells once and return, as is done too where standard output is no terminal.

    Returns:
        The number of the signal that came, or 0.

    Raises:
        RlbenchError: it is no sweep, or damaged.
    """
    console = make_console()
    sweep, read_at = open_sweep(folder), _changed(folder)
    view = CellPanel(shown(folder), sweep.cells, Screen(console))
    states = sweep.states()
    if once or not console.is_terminal or console.is_dumb_terminal:
        console.print(view.drawn(states))
        _leave(sweep, states, view)
        return 0
    with Interrupts() as interrupts:
        with pressed_keys() as pressed:
            while _under_way(sweep, states) and not interrupts.signal:
                view.look(states, "q leaves; the sweep goes on")
                if interrupts.wait(lambda: pressed(SECONDS), "") == "q":
                    break
                if _changed(folder) != read_at:  # run again, maybe with other cells
                    view.close()
                    sweep, read_at = open_sweep(folder), _changed(folder)
                    view = CellPanel(shown(folder), sweep.cells, Screen(console))
                states = sweep.states()
            view.look(states)
            view.close()
        if not interrupts.signal:
            _leave(sweep, states, view)
    return interrupts.signal


def _under_way(sweep: SweepFolder, states: Mapping[str, CellState]) -> bool:
    """Whether somebody drives it, be it on another machine: then only the cells tell."""
    return bool(sweep.driver()) or any(state.state in ("running", "queued") for state in states.values())


def _leave(sweep: SweepFolder, states: Mapping[str, CellState], view: CellPanel) -> None:
    """Say of failed cells why, and what can be done."""
    failed = [cell for cell in sweep.cells if states[cell.name].state == "failed"]
    lines = [f"{cell.name}: {' '.join(states[cell.name].message.split())}" for cell in failed[:MOST_FAILED]]
    if failed:
        more = f", the first {MOST_FAILED}" if len(failed) > MOST_FAILED else ""
        lines.insert(0, f"Failed{more}; what each said is in {shown(sweep.path / 'cells')}/CELL/log.txt:")
    if driver := sweep.driver():
        lines.append(f"Process {driver} goes on with it; stop it with: kill {driver}")
    elif not _under_way(sweep, states) and any(
        states[cell.name].state in ("waiting", "stopped") for cell in sweep.cells
    ):
        lines.append(f"Nobody drives it. Go on with: {command('sweep', sweep.path)}")
    for line in lines:
        view.console.print(line, markup=False, soft_wrap=True)


def _changed(folder: Path) -> int:
    """When the sweep file was written, in nanoseconds; 0 while it is not there."""
    with contextlib.suppress(OSError):
        return (folder / FILE).stat().st_mtime_ns
    return 0
