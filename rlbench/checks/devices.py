"""The row about devices: that an agent's code leaves to `rlbench.Spec` where its tensors lie."""

from typing import Any

import torch

from ..probing.answers import Fails, LeftOut
from ..probing.fault import own_files
from ..probing.places import Following, Strayed, there
from ..probing.rows import row
from ..probing.subject import Subject
from ..probing.trial import Trial
from ..types import Transition

LIES = (
    "give device=spec.device where it is made, or make it of one that is there: x.new_zeros(...), torch.zeros_like(x)"
)


@row("device", "tensors are made on the device that it is told of", group="interface", limit=60.0)
def device(subject: Subject) -> str:
    if hasattr(subject.cls, "origin"):
        raise LeftOut("a Learner always computes on the CPU")
    if torch.cuda.is_available():
        for place, config in subject.variants():
            trial = Trial(subject.cls, config, subject.maker(place), [0, 1], 2, 2_000, "cuda")
            trial.go(40)
        return "It was run on this machine's card."
    for place, config in subject.variants():
        try:
            with Following(own_files(subject.cls)):
                trial = subject.trial(place, config=config)
                _lent(trial.agent)
                trial.go(25)
                obs = trial.look(3)
                there(obs)
                trial.act(obs)
                trial.explain(obs)
                trial.agent.diagnostics()
                trial.agent.load_state_dict(trial.held()["agent"])
        except Strayed as e:
            raise Fails(f"It would fail on a card, at {e} (seen {subject.whereabouts()}).", LIES) from e
    return "Seen on a CPU: what its own code makes and brings together, and not what libraries do."


def _lent(agent: Any) -> None:
    """Let all that it is given lie on the device."""
    for name in ("begin", "act", "observe", "explain"):
        setattr(agent, name, _Lending(getattr(agent, name)))
    if hasattr(agent.replay, "sample"):
        agent.replay.sample = _Lending(agent.replay.sample, gives=True)


class _Lending:
    """Stands for a method whose arguments, or what it ``gives``, lie on the device."""

    def __init__(self, method: Any, *, gives: bool = False) -> None:
        self._method, self._gives = method, gives

    def __call__(self, *args: Any, **how: Any) -> Any:
        for x in (*args, *how.values()):
            there(x)
            if isinstance(x, Transition):
                there((x.extras, x.next_extras))
        given = self._method(*args, **how)
        if self._gives:
            there(given)
        return given
