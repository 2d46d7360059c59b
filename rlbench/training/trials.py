"""Evaluations of a run: they can be cut off, are kept while they go on, and say how far they are."""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import write_json
from ..recipe.eval_cost import Cost, advice
from ..rollout.evaluation import Plan, Played
from ..runfolder import checkpoint_file

if TYPE_CHECKING:
    from .session import Session

FILE = "evaluation.json"  # in the run folder, while there is an evaluation that has not ended
KEEP_SECONDS = 1.0  # between two writings of it


class Paused(Exception):
    """A signal came in the middle of an evaluation; what it had played is kept."""


class Trials:
    """Plays the evaluations of a session.

    Attributes:
        text: of the one under way, how far it is; empty where there is none.
        cost: of all so far.
    """

    def __init__(self, session: "Session") -> None:
        self._session, self.text = session, ""
        self._kept_at = self._shown_at = 0.0
        self._key = ""
        self.cost = Cost()
        self._told_cost = False

    def __call__(
        self, episodes: int, round: int, bounds: Sequence[int], skip: Sequence[int] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let the session's agent, as it is now, play ``episodes`` per seed, or as many as fit into ``bounds``.

        Args:
            episodes: per seed, at most.
            round: another number gives other episodes.
            bounds: env steps of each seed that its episodes should take at most; ten episodes are played in any case.
            skip: positions of seeds that do not play.

        Returns:
            Returns and lengths, both (S, episodes) float64; NaN where none was played.

        Raises:
            Paused: a signal came.
        """
        session, self._key = self._session, ""
        kept, before = self._read(round), self.cost
        self._kept_at = began = time.perf_counter()

        def look(plan: Plan) -> None:
            played = max(0, len(plan.played) - len(kept)) / max(1, len(plan.wanted))
            self.cost = before.more(time.perf_counter() - began, played, final=not round)
            self._look(plan, round)

        try:
            return session.evaluator(
                session.agent, episodes, round=round, skip=skip, most_steps=bounds, played=kept, look=look
            )
        finally:
            self.text = ""
            self._tell_cost()

    def done(self) -> None:
        """Nothing is to be gone on with."""
        (self._session.folder / FILE).unlink(missing_ok=True)

    def _look(self, plan: Plan, round: int) -> None:
        session, now = self._session, time.perf_counter()
        if session.stopping:
            self._write(plan, round)
            raise Paused
        if now - self._kept_at > KEEP_SECONDS:
            self._write(plan, round)
            session.keep_up()
            self._kept_at = time.perf_counter()
        if now - self._shown_at > session.tick_seconds:
            self.text = plan.text
            self._tell_cost()
            session.recorder.flush_if_due()
            session.watcher.tick(session)
            self._shown_at = time.perf_counter()

    def _tell_cost(self) -> None:
        """Say, once, that evaluations cost more than training. Of several processes, the whole run says so."""
        session = self._session
        if session.draws and not self._told_cost:
            said = advice(session.recipe, self.cost, session.env_steps, session.train_seconds)
            if said:
                self._told_cost = True
                session.watcher.note(said)

    def _name(self, round: int) -> str:
        """Of an evaluation of these weights: what it gives follows from them, the round and the seeds."""
        self._key = self._key or f"{round} {checkpoint_file.digest_of(self._session.agent.state_dict()):08x}"
        return self._key

    def _read(self, round: int) -> Played:
        """What an evaluation of the same weights had played when it was cut off."""
        kept = self._load()
        found = kept.get(self._name(round), []) if kept else []
        return {(s, k): (float(value), int(length)) for s, k, value, length in found}

    def _write(self, plan: Plan, round: int) -> None:
        """Keep what has been played, beside what others of the same round have: the end has two."""
        name = self._name(round)
        others = {key: value for key, value in self._load().items() if key.partition(" ")[0] == str(round)}
        played = [[s, k, *value] for (s, k), value in plan.played.items()]
        write_json(self._session.folder / FILE, {**others, name: played})

    def _load(self) -> dict[str, Any]:
        try:
            content = json.loads((self._session.folder / FILE).read_text(encoding="utf-8"))
            return {str(key): [(int(s), int(k), float(r), int(n)) for s, k, r, n in v] for key, v in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):  # none, or half a one: it is played again
            return {}
