"""For tests of what reads sweeps: a small one, carried out cell by cell in this process."""

import json
from collections.abc import Iterable
from pathlib import Path

from rlbench.cells.order import Order
from rlbench.cells.perform import perform
from rlbench.driving.prepare import Recipes, Trust
from rlbench.sweep.file import parse_file
from rlbench.sweep.folder import ABOUT, FILE, FORMAT, SweepFolder, open_sweep

#: Two agents on two environments, five seeds each: over in a few seconds.
AGENTS = """
[base]
seeds = 5
total_steps = 120
eval_every = 60
eval_episodes = 2
final_eval_episodes = 2
device = "cpu"
track = "none"
[base.dqn]
hidden = [8]
batch_size = 8
learning_starts = 20
capacity = 100
[grid]
env = ["CartPole-v1", "rlbench/Catch-v0"]
agent = ["random", "dqn"]
"""


def lay_out(place: Path, text: str = AGENTS, undone: Iterable[str] = ()) -> SweepFolder:
    """A sweep in the folder ``place``, all of whose cells are done, save those whose names are ``undone``."""
    file = parse_file(text, "sweep.toml")
    recipes = Recipes(file, Trust())
    names = recipes.names
    (place / "cells").mkdir(parents=True)
    (place / FILE).write_text(text)
    kept = {"recipes": names.recipes, "envs": names.envs, "agents": names.agents}
    (place / ABOUT).write_text(json.dumps({"format": FORMAT, "names": kept}))
    left = set(undone)
    assert left <= {cell.name for cell in recipes.cells}, [cell.name for cell in recipes.cells]
    for cell in recipes.cells:
        if cell.name not in left:
            folder = place / "cells" / cell.name
            assert perform(Order(cell.name, str(folder), recipes.recipe(cell).content())) == 0
    return open_sweep(place)
