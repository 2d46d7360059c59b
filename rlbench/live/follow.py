"""A run that another process trains, followed by its files: what is new in them becomes a `Status`, again and again."""

import math
from array import array
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import RunFolderError
from ..recipe import Recipe
from ..record.scoreboard import Scoreboard
from ..rollout.env_batch import Episode
from ..runfolder.documents import Read, ended
from ..runfolder.layout import TABLES, worker_folders
from ..runfolder.lock import holder
from ..runfolder.reader import Reader, sound
from ..runfolder.tables import Restarted, Row, Tail
from .recent_curve import RECENT, RecentCurve

State = Literal["under way", "finished", "interrupted"]
POINTS = 200  # of a `RecentCurve`
MOST_TIMES = 20_000  # of a process
LATELY = 10.0  # seconds of the record that the rate is taken from, or a tenth of it


class FollowedRun:
    """A run folder that is only read. `look` takes in what is new; the rest is as for `Status`.

    Attributes:
        state: as of the last look.
        process: number of the process that trains it, as text; empty where none does.

    Raises:
        UsageError: it is no run folder.
        RunFolderError: its recipe cannot be read.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._begin()

    def look(self) -> State:
        """Read what has come since the last look.

        Raises:
            RunFolderError: a file is damaged, or the folder is gone.
        """
        try:
            self._read()
        except Restarted:  # resumed from an earlier checkpoint
            self._begin()
            self._read()
        return self.state

    def recent_curve(self) -> RecentCurve:
        """Each seed's recent returns over env steps, up to where all are known."""
        curve, seeds = RecentCurve(), self.recipe.seeds
        ends = [steps[-1] for steps, _ in self._episodes if steps]
        if not ends:
            return curve
        grid = np.unique(np.linspace(min(s[0] for s, _ in self._episodes if s), max(ends), POINTS).astype(np.int64))
        values = np.full((len(grid), seeds), np.nan)
        for seed, (steps, returns) in enumerate(self._episodes):
            total = np.concatenate(([0.0], np.cumsum(returns)))  # (n + 1,)
            last = np.searchsorted(np.asarray(steps), grid, side="right")  # (N,) episodes finished
            first = np.maximum(last - RECENT, 0)
            values[:, seed] = np.where(last > 0, (total[last] - total[first]) / np.maximum(last - first, 1), np.nan)
        for at, recent in zip(grid.tolist(), values, strict=True):
            curve.add(at, recent)
        return curve

    @property
    def rate(self) -> float:
        """Env steps a second of all seeds together, of late."""
        if self.summary:
            return float(self.summary["env_steps_per_second"])
        rate = 0.0
        for place in self._places.values():
            seconds, steps = np.array(place.clock, np.float64).reshape(-1, 2).T
            if len(seconds):
                first = min(np.searchsorted(seconds, seconds[-1] - max(LATELY, seconds[-1] / 10)), len(seconds) - 1)
                passed, since = (
                    (seconds[-1] - seconds[first], steps[-1] - steps[first]) if first else (seconds[-1], steps[-1])
                )
                rate += len(place.seeds) * since / max(passed, 1e-9)
        return rate

    def _begin(self) -> None:
        """Forget everything that was read."""
        self._reader = Reader(self.folder)
        self.recipe = r = self._reader.model()
        self._read_at = _changed(self.folder)
        self.scores = Scoreboard(r.seed_numbers, _solved_at(r), r.solved_by)
        self.env_steps, self.train_seconds = 0, 0.0
        self.numbers: dict[str, list[float]] = {}
        self.summary: dict[str, Any] = {}
        self.evaluating = ""  # is told to who trains
        self.state: State = "interrupted"
        self.process = ""
        self._places: dict[Path, _Place] = {}
        self._episodes = [(array("q"), array("d")) for _ in range(r.seeds)]  # env steps and returns; may be millions

    def _read(self) -> None:
        if _changed(self.folder) != self._read_at:  # resumed, to more steps
            raise Restarted
        self.process = holder(self.folder)
        summary = _summary(Reader(self.folder))  # before the tables: when it is there, they are complete
        for path in worker_folders(self.folder) or [self.folder]:
            self._places.setdefault(path, _Place(self._reader, path))
        new: list[tuple[int, int, int, float]] = []  # env steps, kind, position of the seed, return
        for place in self._places.values():
            new += self._take(place)
        self._count(sorted(new, key=lambda row: row[:3]))
        reached = sum(len(place.seeds) * place.env_steps for place in self._places.values())
        known = sum(len(place.seeds) for place in self._places.values())
        self.env_steps = reached // (known if len(self._places) == 1 else self.recipe.seeds) if known else 0
        self.summary = summary
        self.state = "under way" if self.process else "interrupted"
        if summary:
            self.env_steps = summary["env_steps"]
            self.scores.solved_at = summary["solved_at"]
            self.state = "finished" if ended(summary) else self.state

    def _take(self, place: "_Place") -> list[tuple[int, int, int, float]]:
        """The new rows of one process: episodes (kind 0) and evaluations (kind 1) are returned, the others kept."""
        new = []
        for name, tail in place.tails.items():
            for row in tail.read():
                seed, at = row["seed"] - self.recipe.seed, row["env_steps"]
                if not 0 <= seed < self.recipe.seeds:
                    raise tail.damaged(f"there is no seed {row['seed']} in this run")
                place.seeds.add(seed)
                place.env_steps = max(place.env_steps, at)
                if name == "updates.csv":
                    self._learned(seed, row)
                    continue
                value = row["episode_return" if name == "episodes.csv" else "mean_return"]
                if name == "episodes.csv":
                    place.clock.append((row["wall_seconds"], at))
                    if len(place.clock) > MOST_TIMES:
                        del place.clock[-2::-2]  # the newest stays
                    self.train_seconds = max(self.train_seconds, row["wall_seconds"])
                    self._episodes[seed][0].append(at)
                    self._episodes[seed][1].append(value)
                new.append((at, int(name != "episodes.csv"), seed, value))
        return new

    def _learned(self, seed: int, row: Row) -> None:
        for name, value in row.items():
            if name not in ("seed", "env_steps", "updates"):
                self.numbers.setdefault(name, [math.nan] * self.recipe.seeds)[seed] = value

    def _count(self, rows: list[tuple[int, int, int, float]]) -> None:
        """Put episodes and evaluations into the scores, in the order of env steps."""
        seeds = self.recipe.seeds
        for at, evaluated, seed, value in rows:
            if evaluated:
                means = np.full(seeds, np.nan)
                means[seed] = value
                self.scores.evaluation(means, at)
            else:
                self.scores.episode(Episode(seed, 0, 0, value, 0, False, 0, []), at)


class _Place:
    """The files of one process: of the run itself, or of one of its workers."""

    def __init__(self, reader: Reader, path: Path) -> None:
        self.tails = {name: Tail(path / name, reader.called(path / name)) for name in TABLES}
        self.seeds: set[int] = set()  # positions
        self.env_steps = 0
        self.clock: list[tuple[float, int]] = []  # (wall seconds, env steps) of episodes' ends


def _changed(folder: Path) -> int:
    """When the recipe was written, in nanoseconds."""
    try:
        return (folder / "recipe.toml").stat().st_mtime_ns
    except OSError as e:
        raise RunFolderError(f"{folder} is gone: {e.strerror}.") from e


def _summary(reader: Reader) -> dict[str, Any]:
    """What summary.json holds; {} where the run has not come to an end."""
    summary, name = sound(reader.summary), reader.called(reader.folder / "summary.json")
    of_seeds = ("final_eval_return", "best_eval_return", "solved_at_env_steps")
    for key in ("env_steps", "env_steps_per_second", "wall_seconds", "updates", "stopped_because", *of_seeds):
        if summary and summary.get(key) is None:
            sound(Read(summary, f"{name} is damaged: there is no {key!r}"))
    if not summary:
        return {}
    return {**summary, "stopped_because": str(summary["stopped_because"]), "solved_at": summary.get("solved_at")}


def _solved_at(recipe: Recipe) -> float | None:
    """As the recipe says, or else Gymnasium's threshold where it knows the environment already. Imports nothing new."""
    if recipe.solved_at is not None:
        return recipe.solved_at
    import gymnasium

    import rlbench.envs  # noqa: F401  (registers rlbench/...)

    spec = gymnasium.registry.get(recipe.env)
    return None if spec is None else spec.reward_threshold
