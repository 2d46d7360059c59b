"""An engine for tests of searches: a run is over at once, and scores what a function says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlbench.cells.attempt import Attempt, write_attempt
from rlbench.cells.order import Order
from rlbench.engines.engine import CellEnd, Needs
from rlbench.recipe import Recipe

Score = Callable[[dict[str, Any], int], float]
HEADER = "seed,env_steps,episodes,mean_return,std_return,min_return,max_return,mean_length,wall_seconds"


class StubEngine:
    """An `Engine`.

    Args:
        score: of the hyper-parameters and a seed.
        codes: cell -> exit codes of its attempts, in order; 0 where none are left.
        evaluations: how many a run has, each with the score times its share of the budget.
    """

    name = "stub"

    def __init__(self, score: Score, codes: dict[str, list[int | None]] | None = None, evaluations: int = 2) -> None:
        self.score, self.codes, self.evaluations = score, codes or {}, evaluations
        self.orders: list[Order] = []
        self.closed = False
        self._hand: list[Order] = []

    def check(self, needs: Needs) -> list[str]:
        return []

    def taken(self) -> dict[str, int]:
        return {}

    def queued(self) -> set[str]:
        return set()

    def free(self, needs: Needs) -> int:
        return 1

    def begin(self, order: Order, needs: Needs) -> None:
        self.orders.append(order)
        self._hand.append(order)

    def wait(self, seconds: float) -> list[CellEnd]:
        ends = []
        while self._hand:
            order = self._hand.pop(0)
            codes = self.codes.get(order.cell)
            code = codes.pop(0) if codes else 0
            folder = Path(order.folder)
            folder.mkdir(parents=True, exist_ok=True)
            if code == 0:
                write_run(folder, Recipe.from_content(order.recipe, "stub"), self.score, self.evaluations)
            state: Any = "done" if code == 0 else "failed"
            message = "" if code in (0, None) else f"code {code} was asked for"
            write_attempt(folder, Attempt(order.attempt, state, message))
            ends.append(CellEnd(order.cell, code, "killed by SIGKILL" if code is None else ""))
        return ends

    def stop(self, *, insist: bool = False) -> None:
        self._hand.clear()

    def close(self) -> None:
        self.closed = True


def write_run(folder: Path, recipe: Recipe, score: Score, evaluations: int = 2) -> None:
    """A run folder that holds what a verdict needs."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = {seed: score(recipe.hyper, seed) for seed in recipe.seed_numbers}
    (folder / "recipe.toml").write_text(recipe.to_toml())
    rows = [
        f"{seed},{recipe.total_steps * k // evaluations},10,{value * k / evaluations},0,0,0,10,1.0"
        for k in range(1, evaluations + 1)
        for seed, value in scores.items()
    ]
    (folder / "evaluations.csv").write_text("\n".join([HEADER, *rows, ""]))
    table = {str(seed): value for seed, value in scores.items()}
    counts = {str(seed): 10 for seed in scores}
    summary = {
        "env_steps": recipe.total_steps, "stopped_because": "total_steps", "final_eval_return": table,
        "best_eval_return": table, "final_eval_episodes": counts, "best_eval_episodes": counts,
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
