"""`run_sweep`: from a sweep file to finished cells."""

import datetime
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..engines.engine import Engine, Needs
from ..errors import RunFolderError, StoreError, UsageError
from ..files import unwritable, write_json, write_text
from ..process.places import absolute, shown
from ..rollout.signals import Interrupted, Interrupts
from ..runfolder.lock import Lock
from ..sweep.file import RESOURCES, SweepFile
from ..sweep.folder import ABOUT, CELLS, ENGINE, FILE, FORMAT
from ..sweep.index import CellState, Index
from ..sweep.plan import Cell
from ..user_code.commands import command
from ..user_code.user_files import changed, facts
from .driver import Driver, Onlooker
from .engines import brings_code, open_engine
from .kept import known_of, store_of
from .mirror import Mirror
from .prepare import Recipes, Trust
from .reconcile import check_folder, reconciled
from .resources import needs_of, time_limit_of

GLANCE = 0.5  # seconds that another driver of the sweep is waited for


class SweepPlan(NamedTuple):
    """A sweep that could begin.

    Attributes:
        recipes: of its cells, checked.
        out: its folder.
        engine: where cells run, which has been asked whether they can.
        needs: what every cell takes.
        notes: what the user should know before.
        store: where run folders are kept, an fsspec address; "": below the sweep folder, which every machine finds.
        time_limit: seconds of an attempt at a cell; 0: as long as it likes.
    """

    recipes: Recipes
    out: Path
    engine: Engine
    needs: Needs
    notes: tuple[str, ...]
    store: str = ""
    time_limit: float = 0.0

    @property
    def cells(self) -> tuple[Cell, ...]:
        return self.recipes.cells


class SweepEnd(NamedTuple):
    """What became of a sweep.

    Attributes:
        out: its folder.
        cells: of the file.
        states: by name.
        notes: what the user should know of the results.
        again: the command that goes on, and tries again what failed.
    """

    out: Path
    cells: tuple[Cell, ...]
    states: dict[str, CellState]
    notes: tuple[str, ...]
    again: str = ""


def plan_sweep(
    file: SweepFile,
    out: str | Path,
    *,
    on: str = "local",
    settings: Mapping[str, Any] | None = None,
    trust: Trust | None = None,
    store: str = "",
) -> SweepPlan:
    """See that a sweep can begin, or go on; nothing is written.

    Args:
        file: from `file.read_file`.
        out: the sweep folder.
        on: the engine.
        settings: of the engine and of what a cell takes, before the file's: cpus, gpus, memory, and the engine's own.
        trust: code of the user's own that the command names.
        store: where run folders are kept, an fsspec address; "": where those of this sweep are kept already, else below
            ``out``.

    Raises:
        UsageError: anything that the user has to mend.
        StoreError: nothing can be put into the store.
    """
    out = absolute(out)
    before = known_of(out)
    recipes = Recipes(file, trust or Trust(), str(before.get("stands") or ""))
    recipes.check()
    check_folder(out, recipes.cells, file.name)
    given = dict(settings or {})
    resources = dict(file.resources)
    with_ = {key: given.pop(key) for key in RESOURCES if key in given}
    resources.update(with_)
    needs, limit = needs_of(resources, file.name, with_), time_limit_of(resources, file.name, with_)
    named = file.engines.get(on, {})
    for key, value in named.items():
        if brings_code(on, key) and key not in given:
            typed = shlex.join(["--with", f"{key}={value if isinstance(value, str) else json.dumps(value)}"])
            raise UsageError(f"{file.name}: [{on}] {key} can bring code along. If you trust it, say so: {typed}")
    engine = open_engine(on, out / ENGINE, {**named, **given})
    notes = engine.check(needs._replace(cpus=needs.cpus or 1.0))
    return SweepPlan(recipes, out, engine, needs, tuple(notes), store_of(out, before, store), limit)


def run_sweep(plan: SweepPlan, onlooker: Onlooker, *, retries: int = 2, command_again: str = "") -> SweepEnd:
    """Carry out what is left of a sweep.

    Args:
        plan: from `plan_sweep`.
        onlooker: told what happens.
        retries: how often a cell that failed is tried again, from its checkpoint.
        command_again: what the user types to go on.

    Raises:
        Interrupted: a signal came; every cell has saved and stopped.
        RunFolderError: the sweep folder cannot be written, or another process drives it; or the disk is full.
    """
    out, recipes = plan.out, plan.recipes
    try:
        (out / CELLS).mkdir(parents=True, exist_ok=True)
        (out / ENGINE).mkdir(exist_ok=True)
    except OSError as e:
        raise unwritable(shown(out), e, "Give another place: --out DIR") from e
    again = command_again or command("sweep", Path(recipes.file.name), "--out", out)
    with Interrupts() as interrupts, _locked(out):
        index = Index(out)
        mirror = Mirror(plan.store, out, onlooker.note) if plan.store else None
        if mirror:
            mirror.gather([cell.name for cell in plan.cells])
        states, notes = reconciled(out, index, recipes)
        try:
            about = {"format": FORMAT, "names": recipes.names._asdict(), "engine": plan.engine.name}
            code = recipes.trust.code
            for one in changed(known_of(out), code):
                notes.append(
                    f"{one} has changed since this sweep was last run: what is done stays as it is, and cells that go "
                    "on are of both"
                )
            about |= {"stands": recipes.stands, "code": facts(code)}
            written = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
            write_text(out / FILE, recipes.file.text)
            write_json(out / ABOUT, {**about, "written": written, "store": plan.store})
            index.begin(states)
        except OSError as e:
            raise unwritable(shown(out), e, f"Make room, then go on with: {again}") from e
        for note in notes:
            onlooker.note(note)
        driver = Driver(
            recipes,
            out,
            plan.engine,
            index,
            needs=plan.needs,
            retries=retries,
            mirror=mirror,
            onlooker=onlooker,
            time_limit=plan.time_limit,
        )
        try:
            driver.run(interrupts)
        finally:
            plan.engine.close()
            if mirror:
                mirror.close()
            index.end()
        if driver.full:
            raise RunFolderError(f"{driver.full.rstrip('.')}. All cells were stopped. Make room, then: {again}")
        if driver.silent:
            raise StoreError(f"{driver.silent}. All that was done is kept. Once it answers: {again}")
        _raise_if_stopped(interrupts, index.states, again)
    kinds = [f"{count} on {kind}" for kind, count in driver.cpus.most_common()]
    several = (
        [f"cells ran on {len(kinds)} kinds of CPU, between which the last bits may differ: {'; '.join(kinds)}"]
        if len(kinds) > 1
        else []
    )
    return SweepEnd(out, recipes.cells, index.states, tuple(several), again)


class _locked:
    """The lock of a sweep folder, with words of its own where another process has it."""

    def __init__(self, out: Path) -> None:
        try:
            self._lock = Lock(out, patience=GLANCE)
        except RunFolderError as e:
            if "in use" not in str(e):
                raise
            raise RunFolderError(
                f"{shown(out)} is driven by another process already. Look at it with: {command('watch', out)}"
            ) from e

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _raise_if_stopped(interrupts: Interrupts, states: Mapping[str, CellState], again: str) -> None:
    if not interrupts.signal:
        return
    count = sum(state.state == "done" for state in states.values())
    raise Interrupted(
        f"stopped; {count:,} of {len(states):,} cells are done, all others have saved. Go on with: {again}",
        interrupts.signal,
    )


def failed(end: SweepEnd) -> Sequence[tuple[Cell, CellState]]:
    """The cells that failed, in the order of the file."""
    return [(cell, state) for cell in end.cells if (state := end.states[cell.name]).state == "failed"]
