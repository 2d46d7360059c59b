"""Carries out a cell in this process: begins its run, goes on with it exactly, or finds that it is done.

Exit codes: 0 done; 1 failed; 2 refused, as a wrong request that no other attempt makes right; 74 no room on the disk;
128 + n stopped by signal n, with everything saved.
"""

import errno
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..cuda.failure import card_failure
from ..errors import RlbenchError, StoreError, UsageError, first_line
from ..process import mkl
from ..process.places import stand
from ..recipe import Recipe
from ..recipe.width import Width
from ..rollout.signals import Interrupted
from ..runfolder.documents import ended
from ..runfolder.layout import worker_folders
from ..runfolder.lock import holder
from ..runfolder.reader import Reader
from ..training import train as training
from ..units import duration
from ..user_code.refs import runs_user_code
from .attempt import final_returns
from .keeping import Keeping
from .limit import TimeLimit
from .order import Order
from .telling import Telling

DONE, FAILED, REFUSED, FULL = 0, 1, 2, 74  # 74: EX_IOERR of sysexits.h
PATIENCE = 60.0  # seconds


def perform(order: Order, again: Callable[[str], object] = lambda mode: None, elsewhere: str = "") -> int:
    """Carry ``order`` out; gives the exit code.

    Args:
        order: what to do.
        again: begins this process again in another mode of MKL, in which seeds are exact; does not return.
        elsewhere: who else is at work at this cell, in words: then this says so, and no more; "": nobody.
    """
    stand(order.stands or None)
    folder = Path(order.folder)
    telling: Telling | None = None
    limit = TimeLimit(order.time_limit)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        recipe = Recipe.from_content(order.recipe, order.cell)
        telling = Telling(folder, order.attempt, recipe.total_steps)
        if elsewhere:
            raise UsageError(elsewhere)
        if order.store:
            if recipe.workers > 1:
                telling.note(f"{order.store}: a run of several processes is brought up at its end alone")
            keeping = Keeping(order)
            keeping.down()
            telling.keeping = keeping
        with limit.kept():
            summary = _go(folder, recipe, telling, again)
        telling.end("done", env_steps=int(summary["env_steps"]), returns=final_returns(summary))
        if telling.keeping:
            telling.keeping.end(done=True)
        return DONE
    except Interrupted as e:
        if limit.passed:
            said = f"its time limit of {duration(limit.seconds)} came before its end; everything is saved"
            return _ended(telling, FAILED, f"{said}. To give it more: [resources] time_limit", said)
        return _ended(telling, e.exit_code, str(e), e.short)
    except KeyboardInterrupt:
        return _ended(telling, 130, "stopped at once")
    except (RlbenchError, OSError) as e:
        if no_room(e):
            return _ended(telling, FULL, str(e))
        return _ended(telling, REFUSED if isinstance(e, UsageError) else FAILED, str(e), getattr(e, "short", ""))
    except Exception as e:  # a defect, of ours or of a card
        traceback.print_exc()
        return _ended(telling, FAILED, card_failure(e) or f"{type(e).__name__}: {first_line(e)}")


def _ended(telling: Telling | None, code: int, message: str, short: str = "") -> int:
    """Say how it ended, in the log and for the driver, who knows of a better command to go on: ``short`` names none."""
    print(message, flush=True)
    if telling is not None:
        telling.end("refused" if code == REFUSED else "stopped" if code > 128 else "failed", short or message)
        if telling.keeping:
            try:
                telling.keeping.end()
            except StoreError as e:
                print(e, flush=True)
    return code


def _go(folder: Path, recipe: Recipe, telling: Telling, again: Callable[[str], object]) -> dict[str, Any]:
    """Whatever is left to do; gives what summary.json holds then."""
    reader = Reader(folder)
    summary, steps = reader.summary.value, int(reader.summary.value.get("env_steps") or 0)
    recorded = reader.recipe.value.get("total_steps", 0)
    if ended(summary) and recipe.total_steps <= max(recorded, steps):
        return {**summary, "env_steps": steps}
    _wait_for(folder)
    if begun(folder):
        agent = recipe.agent if runs_user_code(recipe.agent) else None
        more = recipe.total_steps if recipe.total_steps != recorded else None
        run = training.resume(folder, agent=agent, imports=recipe.imports, total_steps=more, watcher=telling)
        return run.summary
    if not (folder / "episodes.csv").exists() and not (folder / "run.json").exists():
        (folder / "recipe.toml").unlink(missing_ok=True)  # killed in between: it is written before run.json

    def width_lost(found: Width) -> None:
        if slower := mkl.slower():
            again(slower)

    run = training.train(recipe=recipe, out=folder, watcher=telling, width_lost=width_lost)
    return run.summary


def _wait_for(folder: Path) -> None:
    """Wait until the process of the attempt before has saved and ended, where its driver or machine died."""
    until, told = time.monotonic() + PATIENCE, False
    while (process := holder(folder)) and time.monotonic() < until:
        if not told:
            print(f"process {process} is still at work here: waiting for its end", flush=True)
            told = True
        time.sleep(0.1)


def begun(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return any((place / "checkpoint.pth").exists() for place in (folder, *worker_folders(folder)))


def no_room(e: BaseException | None) -> bool:
    """Whether an error comes of a disk without room."""
    while e is not None:
        if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        e = e.__cause__ or e.__context__
    return False
