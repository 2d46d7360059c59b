"""The row about where random numbers come from: who draws from what belongs to nobody fails many other rows as well."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..probing.answers import Fails
from ..probing.rows import row
from ..probing.subject import Subject

STEPS = 40
DRAWS = "draw from streams[...], or from rng, and seed nothing; other rows fail by it, too"
TORCHS = (
    "torch's layers draw when they are made, and its distributions: make and draw them `with "
    "rlbench.rng.seeded_torch(rng):`, in a Learner, or take those of rlbench.nn and rlbench.distributions"
)


def _globals() -> dict[str, Callable[[], Any]]:
    return {
        "torch's": lambda: torch.random.get_rng_state().tolist(),
        "NumPy's": lambda: [str(part) for part in np.random.get_state(legacy=True)],  # noqa: NPY002  (it is looked at)
        "Python's": random.getstate,
    }


@row("no-global-random", "no global random generator is used: torch's, NumPy's, Python's", group="interface")
def no_global_random(subject: Subject) -> None:
    watched = _globals()
    for place, config in subject.variants():
        known = {name: look() for name, look in watched.items()}
        moved: dict[str, list[str]] = {}  # whose generator -> when

        def look(when: str, known: dict[str, Any] = known, moved: dict[str, list[str]] = moved) -> None:
            for name, look in watched.items():
                if (now := look()) != known[name]:
                    known[name] = now
                    moved.setdefault(name, []).append(when)

        trial = subject.trial(place, config=config)
        look("in __init__")
        obs = trial.look(2)
        trial.act(obs, explore=True)
        look("in act(explore=True)")
        trial.act(obs)
        look("in act(explore=False)")
        trial.go(STEPS)
        look(f"within {STEPS} steps of act, observe and update")
        trial.explain(obs)
        trial.agent.diagnostics()
        look("in explain or diagnostics")
        for name, when in moved.items():
            raise Fails(
                f"Expected {name} global generator to stay where it is, it moved {', '.join(when)}, on "
                f"{subject.described(place)}.",
                f"{DRAWS}; {TORCHS}" if name == "torch's" else DRAWS,
            )
