"""Carries trials out, until there are no more: asks, hands runs over, reads what they scored, tells."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..cells.attempt import read_attempt
from ..errors import RlbenchError, RunFolderError, UsageError
from ..numbers import interval, number
from ..process.places import shown
from ..rollout.signals import Interrupts
from ..runfolder.lock import holder
from ..stats.estimates import Estimate
from ..units import duration
from .courses import TrialCourse, course, estimate, final_scores, hopeless
from .crew import Crew, Retry, RunOutcome
from .same import check_same
from .study import AskedTrial, SharedStudy

GIVE_UP = 10  # trials in a row that fail, with none that ends: something is wrong with all
LOOK = 2.0  # seconds between two looks at the courses of trials


class TrialLoop:
    """This process's share of a search.

    Args:
        shared: the search.
        crew: who runs trials.
        tell: given a line for every trial that ends, and for what happens to one.
    """

    def __init__(self, shared: SharedStudy, crew: Crew, tell: Callable[[str], None]) -> None:
        self.shared, self.crew, self.tell = shared, crew, tell
        self.seeds = shared.file.tuning_seeds
        self._asked: dict[str, AskedTrial] = {}
        self._courses: dict[int, TrialCourse] = {}  # of trials that have ended
        self._reported: dict[str, int] = {}  # evaluations that Optuna has been told
        self._stopped: set[str] = set()  # trials without hope, whose processes save and end
        self._look_due = 0.0

    def run(self, interrupts: Interrupts) -> None:
        """Until no trial is left, here or elsewhere, or a signal came, in which case all is saved.

        Raises:
            RlbenchError: all trials fail, a disk is full, the storage is lost, a trial's folder has another's run.
        """
        waiting = False
        try:
            while not interrupts.signal:
                self._hand_over(interrupts)
                if not self._asked:
                    others = self.shared.trials("RUNNING")
                    if not others:
                        return
                    if not waiting:
                        self.tell(f"waiting for {_listed([one.number for one in others])}, which others carry out")
                    waiting = True
                    time.sleep(0.5)
                    continue
                waiting = False
                for outcome in self.crew.wait():
                    self._take(outcome)
                if time.monotonic() >= self._look_due:
                    self._look()
                    self._look_due = time.monotonic() + LOOK
        finally:
            if self._asked:
                self.crew.stop()
                for asked in list(self._asked.values()):
                    self.shared.let_go(asked.number)
                self._asked.clear()

    def _hand_over(self, interrupts: Interrupts) -> None:
        while self.crew.room() and not interrupts.signal and (asked := self.shared.next()) is not None:
            try:
                recipe = self.shared.file.trial_recipe(asked.values)
            except UsageError as e:  # values that do not go together
                self._fail(asked, str(e))
                continue
            name = f"trial {asked.number}"
            self._asked[name] = asked
            check_same(asked.folder, recipe)
            if asked.taken_over:
                said = read_attempt(asked.folder)
                at = f", at step {said.env_steps:,}" if said and said.env_steps else ""
                self.tell(f"{name}: the process that had it is gone; it goes on here{at}")
            self.crew.begin(name, asked.folder, recipe)

    def _take(self, outcome: RunOutcome | Retry) -> None:
        asked = self._asked[outcome.name]
        if isinstance(outcome, Retry):
            self.tell(f"{outcome.name}: {outcome.why}; it goes on from its checkpoint")
            return
        del self._asked[outcome.name]
        if outcome.name in self._stopped:  # told when it was
            self.shared.let_go(asked.number)
            return
        if outcome.state == "failed":
            self._fail(asked, outcome.why)
            return
        try:
            scores = final_scores(asked.folder, self.seeds)
        except RlbenchError as e:
            self._fail(asked, str(e))
            return
        found = estimate(scores)
        self._report(asked)
        self.shared.finish(asked, found.value, scores=list(scores), **self._facts(asked))
        self.tell(self._line(asked, interval(*found)))

    def _fail(self, asked: AskedTrial, why: str) -> None:
        self.shared.finish(asked, None, "FAIL", why=why, **self._facts(asked))
        self.tell(self._line(asked, f"failed: {why}"))
        trials = self.shared.trials("COMPLETE", "PRUNED", "FAIL")
        if len(trials) >= GIVE_UP and all(trial.state.name == "FAIL" for trial in trials):
            raise RunFolderError(
                f"{GIVE_UP} trials failed and none ended; the last: {why}. Its run: {shown(asked.folder)}"
            )

    def _look(self) -> None:
        """Tell Optuna how trials are getting on, and stop those without hope."""
        for name, asked in list(self._asked.items()):
            points = () if name in self._stopped else self._report(asked)
            if self.shared.file.settings.pruner == "none" or not points:
                continue
            why = hopeless(points, self._others(), self.shared.file.base.total_steps)
            if why and self.crew.let_go(name):
                self._stopped.add(name)
                self.shared.tell_only(asked, "PRUNED", why=why, **self._facts(asked))
                self.tell(self._line(asked, f"stopped: {why}"))

    def _report(self, asked: AskedTrial) -> TrialCourse:
        """The evaluations of a trial, of which Optuna is told the new ones: dashboards show them."""
        points = course(asked.folder, self.seeds)
        known = self._reported.get(f"trial {asked.number}", 0)
        for point in points[known:]:
            with contextlib.suppress(ValueError):  # one that was told before it was taken over
                asked.trial.report(point.score.value, point.env_steps)
        self._reported[f"trial {asked.number}"] = len(points)
        return points

    def _others(self) -> list[TrialCourse]:
        """The courses of trials that have ended, or were stopped."""
        for trial in self.shared.trials("COMPLETE", "PRUNED"):
            if trial.number not in self._courses and not holder(self.shared.folder(trial.number)):
                self._courses[trial.number] = course(self.shared.folder(trial.number), self.seeds)
        return list(self._courses.values())

    def _facts(self, asked: AskedTrial) -> dict[str, Any]:
        """What is kept with a trial of its run."""
        said = read_attempt(asked.folder)
        folder = Path(asked.folder).relative_to(self.shared.out)
        known = {"host": said.host, "attempts": said.attempt} if said else {}
        return {"folder": str(folder), **known}

    def _line(self, asked: AskedTrial, how: str) -> str:
        """trial 7: -92.3 [-101, -85]  12s  dqn.n_step=3   best: -88.1, trial 3   8 of 40"""
        said = read_attempt(asked.folder)
        took = f"  {duration(said.seconds)}" if said else ""
        values = " ".join(f"{key}={value_text(value)}" for key, value in asked.values.items())
        ended = self.shared.trials("COMPLETE", "PRUNED", "FAIL")
        best = max((t for t in ended if t.state.name == "COMPLETE"), key=lambda t: float(t.value or 0.0), default=None)
        top = f"   best: {number(best.value)}, trial {best.number}" if best and best.value is not None else ""
        return f"trial {asked.number}: {how}{took}  {values}{top}   {len(ended)} of {self.shared.file.settings.trials}"


def value_text(value: Any) -> str:
    """A value of a key, short: 0.00123, true, [64,64]."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value).replace(" ", "")


def score_text(e: Estimate) -> str:
    """An IQM and its interval."""
    return interval(*e)


def _listed(numbers: list[int]) -> str:
    most = ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
    return f"trial{'s' * (len(numbers) > 1)} {most}"
