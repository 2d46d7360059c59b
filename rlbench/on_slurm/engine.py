"""Cells as jobs of a Slurm cluster, in arrays that submitit hands in. Jobs outlive the driver, and wait as they must.

Before a job's time limit its cell saves and ends, and the job goes back into the queue and on from there (see `job`):
that is no failure, and nothing is told of it.
"""

import contextlib
import importlib.util
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cells.order import Order
from ..cells.perform import REFUSED
from ..engines.engine import CellEnd, Needs
from ..errors import RlbenchError, UsageError, first_line
from . import queue, sbatch
from .arrays import InSlurm, JobArrays
from .job import ASKED, CellJob, read_end
from .queue import NoAnswer
from .submit import submit

SOON = 2.0  # seconds between two questions while one is known to have ended, and Slurm is to say of what
GLANCE = 0.25  # seconds between two looks at what jobs have told
LATE = 20.0  # seconds that a file of another machine may take to be seen here
AGAIN, PATIENCE = 20.0, 900.0  # seconds until an array that was not taken is handed in again, and how long that goes on
ROOM = 1.5  # times the memory that cells of a kind were seen to take


class Slurm:
    """An `Engine`.

    Args:
        place: a folder that all nodes see.
        settings: as `sbatch.SlurmTable.of` has them.
    """

    name = "slurm"
    worker: tuple[str, ...] = ("-m", "rlbench.cells")

    def __init__(self, place: Path, settings: Mapping[str, Any]) -> None:
        self.settings = sbatch.SlurmTable.of(settings)
        self.place = place
        self._arrays = JobArrays(place / "slurm")
        self._waiting: list[tuple[Order, Needs]] = []
        self._hand: dict[str, InSlurm] = {}
        self._said = Needs()  # what the user asked for
        self._kinds: dict[Needs, tuple[Needs, int]] = {}  # needs -> as Slurm is asked, and minutes of a job
        self._jobs: dict[tuple[str, int], queue.Job] = {}
        self._asked_at = self._due = 0.0  # when Slurm was asked, and is to be asked, how jobs stand
        self._missing: dict[str, float] = {}  # cell -> since when its job is over and nothing was told
        self._largest, self._next, self._refused_since = 1000, 0.0, 0.0
        self._stopping = self._unheard = False

    def check(self, needs: Needs) -> list[str]:
        """As of an `Engine`."""
        if importlib.util.find_spec("submitit") is None:
            raise UsageError("--on slurm needs submitit. Run: pip install 'rlbench[slurm]'")
        queue.check_there()
        notes = []
        try:
            partition = sbatch.fit(self.settings, needs, queue.partitions())
            self._largest = queue.largest_array()
        except NoAnswer as e:
            raise UsageError(f"Slurm does not say what it has: {e}") from e
        limit = sbatch.time_limit(self.settings, partition)
        sbatch.rehearse(sbatch.flags(self.settings, needs), limit)
        self._said = needs
        if self.settings.time is None and limit != queue.UNLIMITED:
            notes.append(
                f"[slurm] asks for no time, and partition {partition.name} gives {limit} min; cells that take longer "
                "save before that, and wait in the queue for more"
            )
        return notes

    def taken(self) -> dict[str, int]:
        """As of an `Engine`."""
        self._hand.update((one.cell, one) for one in self._arrays.all())
        return {one.cell: one.attempt for one in self._hand.values()}

    def queued(self) -> set[str]:
        """As of an `Engine`: what is not handed in yet, and what Slurm said when it was asked last."""
        pending = {
            one.cell
            for one in self._hand.values()
            if (job := _of(one, self._jobs)) is None or job.state in queue.BEFORE
        }
        return pending | {order.cell for order, _ in self._waiting}

    def free(self, needs: Needs) -> int:
        """As of an `Engine`: the queue takes all, up to ``max_jobs``."""
        return max(0, self.settings.most - len(self._hand) - len(self._waiting))

    def begin(self, order: Order, needs: Needs) -> None:
        """As of an `Engine`. Cells that were taken since the last `wait` are handed to Slurm there, as one array."""
        self._waiting.append((order, needs))

    def wait(self, seconds: float) -> list[CellEnd]:
        """As of an `Engine`."""
        until = time.monotonic() + seconds
        refused = self._hand_in()
        while not (ended := refused + self._ended()) and (left := until - time.monotonic()) > 0:
            time.sleep(min(GLANCE, left))
        return ended

    def stop(self, *, insist: bool = False) -> None:
        """As of an `Engine`. Cells that wait in the queue leave it; of them nothing is lost."""
        self._stopping, self._unheard = True, False
        numbers, self._due = {one.number for one in self._hand.values()}, 0.0
        try:
            queue.cancel(numbers, "--state=PENDING")
            if insist:
                queue.cancel(numbers, "--state=RUNNING", "--full", "--signal=KILL")
                queue.cancel(numbers)
            else:
                queue.cancel(numbers, "--state=RUNNING", "--batch", f"--signal={ASKED.name[3:]}")
        except NoAnswer:  # then as soon as the controller is back
            self._unheard = True

    def close(self) -> None:
        """As of an `Engine`: jobs that are in hand go on."""
        for _ in self._arrays.all():
            pass  # what is over is removed

    # -- handing in

    def _hand_in(self) -> list[CellEnd]:
        """Hand to Slurm what waits here, in as many arrays as there are kinds of needs; gives what no node can run."""
        refused: list[CellEnd] = []
        while self._waiting and not self._stopping and time.monotonic() >= self._next:
            needs = self._waiting[0][1]
            alike = [one for one in self._waiting if one[1] == needs][: self._largest]
            orders = [order for order, _ in alike]
            array = self._arrays.begin(orders)
            try:
                self._submit(array, len(orders), needs)
            except UsageError as e:
                self._arrays.drop(array)
                refused += [CellEnd(order.cell, REFUSED, str(e)) for order in orders]
            except Exception as e:  # whatever submitit makes of sbatch's complaint
                self._arrays.drop(array)
                self._not_taken(e, len(orders))
                continue
            else:
                self._refused_since = 0.0
                self._hand.update((one.cell, one) for one in self._arrays.handed(array))
                self._due = min(self._due, time.monotonic() + SOON)
            handed = {order.cell for order in orders}
            self._waiting = [one for one in self._waiting if one[0].cell not in handed]
        return refused

    def _not_taken(self, e: Exception, count: int) -> None:
        """Slurm took no array: its controller is away, or a limit of jobs is reached. Later, then, or by halves."""
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        why = queue.complaint(str(e)) or first_line(e)
        if now - self._refused_since > PATIENCE and not self._hand:
            raise RlbenchError(f"Slurm takes no jobs: {why}") from e
        if count > 1 and "limit" in why.lower():
            self._largest, self._next = count // 2, now
        else:
            self._next = now + AGAIN

    def _submit(self, array: Path, count: int, needs: Needs) -> None:
        asked, limit = self._fitted(needs)
        jobs = [
            CellJob(str(array / f"{place}.json"), str(self._arrays.end_of(array.name, place)), self.worker)
            for place in range(count)
        ]
        submit(array, jobs, self.settings, sbatch.flags(self.settings, asked), limit, self.place.parent.name)

    def _fitted(self, needs: Needs) -> tuple[Needs, int]:
        """What is asked for, and the minutes of a job. Memory that was measured is no limit yet: it gets some room.

        Raises:
            UsageError: no node is large enough.
        """
        if needs not in self._kinds:
            there = queue.partitions()
            asked = needs
            if needs.memory and needs.memory != self._said.memory:
                most = sbatch.fit(self.settings, needs, there).memory
                asked = needs._replace(memory=min(int(ROOM * needs.memory), most))
            self._kinds[needs] = asked, sbatch.time_limit(self.settings, sbatch.fit(self.settings, asked, there))
        return self._kinds[needs]

    # -- hearing of their end

    def _ended(self) -> list[CellEnd]:
        """What has ended since."""
        ended = []
        if self._stopping:
            ended = [CellEnd(order.cell, 128 + signal.SIGTERM, "never handed to Slurm") for order, _ in self._waiting]
            self._waiting = []
        names = self._told_names()
        for one in list(self._hand.values()):
            path = self._arrays.end_of(one.array, one.place)
            if path.name not in names or (end := read_end(path)) is None:
                continue
            if 0 <= end["code"] <= 128:
                ended.append(self._pass_on(one, self._words(end, "")))
            else:  # a signal: only Slurm knows whether that was the last of it
                self._due = min(self._due, self._asked_at + SOON)
        if time.monotonic() >= self._due and self._hand:
            ended += self._ask()
        return ended

    def _told_names(self) -> set[str]:
        try:
            return {path.name for path in self._arrays.ends.iterdir()} if self._hand else set()
        except OSError:
            return set()

    def _ask(self) -> list[CellEnd]:
        """Ask Slurm how all jobs stand; what it calls over has ended."""
        self._asked_at = time.monotonic()
        self._due = self._asked_at + self.settings.poll
        try:
            now = queue.jobs()
        except NoAnswer:  # the controller is away; jobs go on, and it is asked again
            return []
        if self._unheard:
            self.stop()
        before, self._jobs = self._jobs, now
        ended = []
        for one in list(self._hand.values()):
            job, last = _of(one, now), _of(one, before)
            if job is not None and job.state not in queue.OVER:
                self._missing.pop(one.cell, None)
                continue
            end = read_end(self._arrays.end_of(one.array, one.place))
            waited = last is None or last.state == "PENDING"
            if end is None and self._stopping and waited and (job is None or job.state == "CANCELLED"):
                said = CellEnd(one.cell, 128 + signal.SIGTERM, "taken out of the queue")
            elif end is None and not self._late(one):
                self._due = min(self._due, self._asked_at + SOON)
                continue
            else:
                said = self._words(end, self._how(one, job, end))
            ended.append(self._pass_on(one, said._replace(where=said.where or (job.nodes if job else ""))))
        return ended

    def _late(self, one: InSlurm) -> bool:
        """Whether no more is to be expected of a job that is over, and told nothing."""
        return time.monotonic() - self._missing.setdefault(one.cell, time.monotonic()) > LATE

    def _how(self, one: InSlurm, job: queue.Job | None, end: dict[str, Any] | None) -> str:
        """How a job ended that did not end by itself."""
        if job is None:
            known = any(number == one.number for number, _ in self._jobs)  # of an array, single ones just vanish
            return "cancelled in Slurm before it began" if known else "Slurm does not know its job any more"
        if words := queue.OVER[job.state]:
            return words
        log = self._arrays.place / one.array / f"{one.job}_0_log.out"
        with contextlib.suppress(OSError):
            if end is None and (lines := log.read_text(encoding="utf-8", errors="replace").split("\n")):
                last = next((line.strip() for line in reversed(lines) if line.strip()), "")
                return f"its job failed: {last[:300]}" if last else "its job failed"
        return ""

    def _words(self, end: dict[str, Any] | None, said: str) -> CellEnd:
        if end is None:
            return CellEnd("", None, said)
        code = end["code"]
        killed = f"killed by {signal.Signals(-code).name}" if -code in set(signal.Signals) else ""
        return CellEnd(
            "", code, said or str(end.get("said", "")) or killed, int(end.get("peak", 0)), str(end.get("where", ""))
        )

    def _pass_on(self, one: InSlurm, said: CellEnd) -> CellEnd:
        self._arrays.told(one)
        self._hand.pop(one.cell, None)
        self._missing.pop(one.cell, None)
        return said._replace(cell=one.cell)


def _of(one: InSlurm, jobs: Mapping[tuple[str, int], queue.Job]) -> queue.Job | None:
    """How the job of a cell stands; None: Slurm does not know it, or no more."""
    return jobs.get((one.number, one.place)) or jobs.get((one.number, queue.ALONE))
