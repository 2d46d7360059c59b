"""A run in the hands of a program or a notebook: its scores, its records, its curve and its episodes."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ..errors import RlbenchError, UsageError
from ..numbers import interval, number, of_seeds
from ..process.places import absolute, shown
from ..recipe import Recipe
from ..recipe.registry import given_class
from ..runfolder.documents import ended
from ..runfolder.reader import Reader, sound
from ..runfolder.records import Records, records
from ..stats.estimates import aggregate
from ..trained.load import load
from ..trained.recording import choose, open_recording
from ..user_code.commands import ref

if TYPE_CHECKING:
    from ..play.movie import Movie


@dataclass(frozen=True, repr=False)
class Run:
    """A finished, or interrupted, run.

    Attributes:
        folder: everything about it lies there.
        summary: what summary.json holds; {} where it has not come to an end.
        recipe: what was run.
        agent: where the agent's code is, if it is code of the user's own, and whoever opened the run said so.
        imports: likewise, of the environment's code.
    """

    folder: Path
    summary: dict[str, Any]
    recipe: Recipe
    agent: str | None = None
    imports: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: str | Path, *, agent: str | type | None = None, imports: Sequence[str] = ()) -> Self:
        """A run that is on the disk, under way perhaps, as it is now.

        Args:
            folder: the run folder.
            agent: needed to film it, where the agent is code of your own.
            imports: likewise, modules that register the environment.

        Raises:
            UsageError: it is no run folder.
            RunFolderError: its recipe or its summary is damaged.
        """
        reader = Reader(absolute(folder))
        recipe = reader.model()
        agent = given_class(agent) if isinstance(agent, type) else agent
        return cls(reader.folder, sound(reader.summary), recipe, agent, tuple(imports))

    def plot(self, out: str | Path | None = None) -> Path:
        """Draw the learning curve; to ``curve.png`` in the run folder unless ``out`` says otherwise."""
        from ..plots.learning import plot_runs

        return plot_runs([self.folder], Path(out) if out else self.folder / "curve.png")

    def play(
        self, episode: str | int | None = None, *, seed: int | Literal["best"] = "best", episodes: int = 1
    ) -> "Movie":
        """A film of what was learned, or of the learning; a cell shows it, ``save`` writes it.

        Args:
            episode: of training, as ``rlbench play --episode`` takes it: "first,best,last", a number, N@COPY; they are
                run again, side by side. None: greedy episodes of the best weights.
            seed: its number. "best": the one with the best evaluation; of training, the one with the best episode.
            episodes: how many greedy ones.

        Raises:
            UsageError: there is no such seed or episode, or the environment makes no pictures.
            RlbenchError: something in the run folder is damaged or missing, or the environment fails.
        """
        from ..play.movie import movie_of, movie_of_training  # brings in Pillow, which training does without

        if episode is None:
            return movie_of(load(self.folder, seed=seed, agent=self.agent, imports=self.imports), episodes)
        if episodes != 1:
            raise UsageError("episodes counts greedy ones; those of training are named: play('first,best,last')")
        recording = open_recording(self.folder, agent=self.agent, imports=self.imports)
        try:
            return movie_of_training(recording, choose(recording, str(episode), None if seed == "best" else seed))
        finally:
            for journal in recording.journals.values():
                journal.close()

    def episodes(self) -> Records:
        """Every finished episode of training: seed, env, episode, env_steps, episode_return, ... (episodes.csv).

        Raises:
            RunFolderError: the table is damaged.
        """
        return records(Reader(self.folder), "episodes.csv")

    def evaluations(self) -> Records:
        """Every greedy evaluation during training: seed, env_steps, mean_return, std_return, ... (evaluations.csv)."""
        return records(Reader(self.folder), "evaluations.csv")

    def updates(self) -> Records:
        """What learning said of itself, now and then: seed, env_steps, updates, and the agent's own (updates.csv)."""
        return records(Reader(self.folder), "updates.csv")

    def __repr__(self) -> str:
        scores = [f"greedy return {_estimate(means)}" for _, means in self._scores()[:1]]
        return f"<run: {', '.join([self._what(), self._how_far(), *scores])}; {shown(self.folder)}>"

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        rows = "".join(f"<tr><th {left}>{name}</th><td {left}>{text}</td></tr>" for name, text in self._rows())
        return (
            f"<div><b>{escape(self._what())}</b>: {escape(self._how_far())}{_picture(self.folder)}"
            f"<table>{rows}</table><code>{escape(shown(self.folder))}</code></div>"
        )

    def _what(self) -> str:
        count = "1 seed" if self.recipe.seeds == 1 else f"{self.recipe.seeds:,} seeds"
        return f"{ref(self.recipe.agent).rpartition(':')[2]} on {self.recipe.env}, {count}"

    def _how_far(self) -> str:
        if not self.summary:
            return "not at its end"
        whole, done = self.recipe.total_steps, self.summary["env_steps"]
        if ended(self.summary):
            return f"{done:,} env steps per seed"
        return f"{self.summary['stopped_because']} after {done:,} of {whole:,} env steps per seed"

    def _scores(self) -> list[tuple[str, np.ndarray]]:
        """Mean greedy returns of the final and the best weights, of the seeds that have one."""
        found = []
        for words, key in (("final weights", "final_eval_return"), ("best weights", "best_eval_return")):
            known = [x for x in (self.summary.get(key) or {}).values() if isinstance(x, int | float)]
            found += [(words, np.array(known, np.float64))] if known else []
        return found

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            (f"greedy return, {words}", f"{_estimate(means)} &ensp; {of_seeds(means.tolist())}")
            for words, means in self._scores()
        ]
        solved = self.summary.get("solved_at_env_steps") or {}
        if self.summary.get("solved_at") is not None:
            count = sum(at is not None for at in solved.values())
            rows.append((f"solved ({number(self.summary['solved_at'])})", f"{count} of {len(solved)} seeds"))
        return rows


def _estimate(means: np.ndarray) -> str:
    """Mean across seeds with its interval, as `rlbench train` says it in the end."""
    return number(means[0]) if len(means) == 1 else interval(*aggregate([means]).mean)


def _picture(folder: Path) -> str:
    """The learning curve, inline; nothing where there is none yet."""
    from ..plots.learning import figure, to_png  # slow to import

    try:
        content = to_png(figure([folder]), 90)
    except RlbenchError:
        return ""
    style, code = "display:block;max-width:640px;width:100%", base64.b64encode(content).decode()
    return f'<img alt="The learning curve" style="{style}" src="data:image/png;base64,{code}">'
