"""A search from its file to its report: joined, carried out, ended by whichever process is the last."""

from collections.abc import Callable
from pathlib import Path

from ..driving.engines import open_engine
from ..process.places import shown
from ..recipe.shares import cores
from ..rollout.signals import Interrupts
from ..tunefile.file import TuneFile
from ..tunefile.same import value_in
from ..tunefile.space import Dimension
from .courses import AT_LEAST
from .crew import NEEDS, Crew
from .files import write_files
from .finish import train_finals
from .report import SearchReport, make_report, report_lines
from .search import TrialLoop
from .study import SharedStudy

ENGINE = "local"


def carry_out(
    file: TuneFile, out: Path, jobs: int | None, tell: Callable[[str], None]
) -> tuple[SearchReport | None, list[str], int]:
    """Join a search, or begin it, and stay until it has ended.

    Args:
        file: what is searched.
        out: its folder.
        jobs: trials at a time in this process; None: one per core.
        tell: given a line for whatever happens.

    Returns:
        The report, the same as lines to print, and 0; or None, no lines, and the signal that stopped it with all saved.

    Raises:
        RlbenchError: the folder is another search's, all trials fail, a disk is full.
    """
    jobs = jobs or cores()
    shared = SharedStudy(out, file)
    engine = open_engine(ENGINE, out / "engine", {"cores": max(jobs, 1)})
    for line in [*engine.check(NEEDS), *beginning(shared, jobs)]:
        tell(line)
    crew = Crew(engine, jobs, file.settings.retries)
    try:
        with Interrupts() as interrupts:
            TrialLoop(shared, crew, tell).run(interrupts)
            if not interrupts.signal:
                train_finals(shared, crew, interrupts, tell)
            if interrupts.signal:
                return None, [], interrupts.signal
            with shared.alone():
                report = make_report(shared)
                written = write_files(shared, report)
    finally:
        engine.close()
    names = ", ".join(shown(path) for path in written)
    return report, [*report_lines(report, out), f"Written: {names}"], 0


def beginning(shared: SharedStudy, jobs: int) -> list[str]:
    """What is said before the first trial."""
    file = shared.file
    settings, seeds, final = file.settings, file.tuning_seeds, file.final_seeds
    there = len(shared.trials("COMPLETE", "PRUNED", "FAIL"))
    known = f"; {there} have ended" if there else ""
    lines = [
        f"{shown(shared.out)}: {settings.trials} trials by {settings.sampler}, {len(seeds)} seeds each "
        f"({seeds.start} to {seeds.stop - 1}), {file.base.total_steps:,} steps per seed{known}; {jobs} at a time here",
        f"searched: {', '.join(one.key for one in file.space)}; judged in the end on seeds {final.start} to "
        f"{final.stop - 1}",
    ]
    if shared.begins_with is None:
        outside = [_outside(shared, one) for one in file.space if one.store(value_in(file, one)) is None]
        lines.append(f"note: the base recipe is no trial, as the space does not hold its {', '.join(outside)}")
    if settings.pruner == "interval":
        lines.append(
            "a trial is stopped where the upper end of its interval lies below the median of the others at that "
            f"evaluation, once {AT_LEAST} have come so far"
        )
    if not shared.locks:
        lines.append("note: this file system knows no locks: what killed processes leave is not taken over")
    return lines


def _outside(shared: SharedStudy, one: Dimension) -> str:
    return f"{one.key} = {value_in(shared.file, one)}"
