"""The row about cost: told, beside that of the agents that come along, and never a failure."""

import contextlib
import time
from typing import Any, NamedTuple

from ..agent_state import nbytes
from ..errors import RlbenchError
from ..probing.answers import LeftOut
from ..probing.rows import row
from ..probing.subject import Subject
from ..probing.trial import Trial
from ..recipe.registry import BUILT_IN, find_agent
from ..units import byte_size

SECONDS = 0.4  # that each is timed
WARM = 40  # vector steps before


class Priced(NamedTuple):
    """What one seed costs."""

    name: str
    rate: float  # env steps a second
    update: float  # seconds; 0 where there was none
    state: int  # bytes
    replay: int  # bytes, when full


@row("cost", "what it costs, beside the agents that come along", group="cost", quick=False, limit=40.0)
def cost(subject: Subject) -> str:
    place = subject.places()[0]
    found = [_measured(subject, place)]
    for name in sorted(BUILT_IN):
        other = Subject(find_agent(name), find_agent(name).cls.Config(), env=subject.env, seed=subject.seed)
        if other.cls is not subject.cls:
            with contextlib.suppress(RlbenchError, ValueError, TypeError, LeftOut):
                found.append(_measured(other, place))
    lines = [f"{'':16}{'env steps/s':>12}{'ms/update':>11}{'weights':>12}{'full replay':>13}"]
    for each in found:
        update = f"{1e3 * each.update:.2f}" if each.update else "-"
        replay = byte_size(each.replay) if each.replay else "-"
        lines.append(f"{each.name:16}{each.rate:>12,.0f}{update:>11}{byte_size(each.state):>12}{replay:>13}")
    lines.append(f"Of one seed with two envs on {subject.described(place)}, hyper-parameters as they are.")
    return "\n".join(lines)


def _measured(subject: Subject, place: str) -> Priced:
    start = {"learning_starts": 20} if hasattr(subject.config, "learning_starts") else {}
    config = subject.config.model_copy(update=start)
    trial = subject.trial(place, (0,), 2, config=config)
    timed = _Timed(trial)
    trial.go(WARM)
    timed.seconds, before, taken = 0.0, trial.updates, trial.taken
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        trial.go(5)
    seconds = time.perf_counter() - began
    updates = trial.updates - before
    replay: Any = trial.agent.replay
    held = 0 if replay is None else getattr(replay, "nbytes", 0) or nbytes(replay.state_dict())
    return Priced(
        subject.name,
        2 * (trial.taken - taken) / seconds,
        timed.seconds / updates if updates else 0.0,
        nbytes(trial.agent.state_dict()),
        held,
    )


class _Timed:
    """Adds up what `update` takes."""

    def __init__(self, trial: Trial) -> None:
        self.seconds, self._update = 0.0, trial.agent.update
        trial.agent.update = self  # type: ignore[method-assign]

    def __call__(self) -> Any:
        began = time.perf_counter()
        metrics = self._update()
        self.seconds += time.perf_counter() - began
        return metrics
