"""An agent is taught by a small environment until what it says has settled: what the rows of values have in common.

A lesson is short where all is well: it ends when two looks in a row find what is expected, not before `LEAST` steps,
so that values on their way to somewhere else are not taken for those that are known. Where they are not found it goes
on to `MOST` steps or `UPDATES` updates, since agents learn at different speeds.

Defaults of hyper-parameters are for long trainings. A lesson changes those with names that are known (`names`), so that
a thousand steps are enough; what the user chose, and what an agent calls otherwise, stays as it is.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from ..agent import AgentConfig
from ..probing.answers import Fails, LeftOut
from ..probing.names import number, step_sizes
from ..probing.shorter import changed
from ..probing.subject import Subject
from ..probing.trial import Trial
from ..types import Extras, Spec

GAMMA = 0.8
LEAST, BETWEEN, MOST = 450, 150, 6_000  # env steps per seed: before the first look, between two, before giving up
UPDATES = 2_500  # after which it is given up, too
SEEDS, ENVS = (0, 1, 2), 4  # at most 4 envs: as many as the agent's runs have by default

#: Set to this.
_SET: dict[str, Any] = {
    "epsilon_start": 1.0, "epsilon_end": 1.0, "epsilon_factor": 1.0, "learning_rate_end": None,
    "alpha": 0.1, "alpha_learning_rate": 1e-2, "entropy_weight": 0.0, "noise_correlation": 0.0,
}  # fmt: skip
_STEP_SIZE = 3e-3  # and step sizes are raised to this, where they are smaller
_LEAST: dict[str, float] = {"tau": 0.1}  # likewise
_MOST: dict[str, int] = {  # or lowered
    "batch_size": 16, "learning_starts": 64, "capacity": 2_000, "rollout_steps": 8, "target_update_every": 4,
    "sequence_length": 4, "burn_in": 2,
}  # fmt: skip
LAG = 120  # updates that a target network may be behind: values pass one step on in as many
WIDTH = 32  # of hidden layers, at most


class Glance(NamedTuple):
    """What a look at an agent found: whether it is right, and where it is not what was expected, what came, and why."""

    right: bool
    expected: str = ""
    came: str = ""
    cause: str = ""
    known: bool = False  # that cause leads to just what came


def suited(subject: Subject, **changes: Any) -> AgentConfig:
    """The hyper-parameters of a lesson.

    Args:
        subject: the agent.
        **changes: of this lesson, where the agent has such hyper-parameters.

    Raises:
        LeftOut: it does not take them.
    """
    now = subject.config
    usual = {name: getattr(now, name) for name in subject.fit.short}
    known = {field: value for name, value in {**_SET, **changes}.items() if (field := subject.called(name))}
    least = dict.fromkeys(step_sizes(now, subject.given), _STEP_SIZE)
    least |= {field: limit for name, limit in _LEAST.items() if (field := subject.called(name))}
    most = {field: limit for name, limit in _MOST.items() if (field := subject.called(name))}
    for limits, better in ((least, max), (most, min)):
        for name, limit in limits.items():
            if name not in known and number(getattr(now, name)):
                known[name] = better(getattr(now, name), limit)
    if name := discount(subject):
        known.setdefault(name, GAMMA)
    hidden = subject.called("hidden")
    if hidden and isinstance(getattr(now, hidden), tuple):
        known[hidden] = tuple(min(WIDTH, width) for width in getattr(now, hidden))
    return subject.config_with(**{**usual, **known})


def in_time(subject: Subject) -> None:
    """Raises LeftOut where the user chose a target network that hardly moves in a lesson: values come from it."""
    c = suited(subject)
    tau, every = (getattr(c, name, 1) for name in ("tau", "target_update_every"))
    if subject.given & {"tau", "target_update_every"} and number(tau) and number(every) and every > LAG * tau:
        text = ", ".join(f"{name} {getattr(c, name):g}" for name in ("tau", "target_update_every") if hasattr(c, name))
        raise LeftOut(f"with {text}, values take longer to pass from step to step than it lasts")


def discount(subject: Subject) -> str:
    """The hyper-parameter that a lesson sets to `GAMMA`; "": none, or the user chose it."""
    name = subject.called("gamma")
    return name if name and number(getattr(subject.config, name)) else ""


def lesson(
    subject: Subject,
    env: type[gymnasium.Env[Any, Any]],
    kwargs: Mapping[str, Any],
    *,
    asked: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Trial:
    """The agent before it has learned anything.

    Args:
        subject: the agent.
        env: where it learns.
        kwargs: for the environment's constructor.
        asked: hyper-parameters that the lesson is about: those that it has are as here, whatever the user chose.
        **changes: others, as for `suited`.

    Raises:
        UsageError: it cannot act there.
        LeftOut: it does not take the hyper-parameters, or has nothing that could be learned.
    """
    envs = min(ENVS, dict(subject.cls.run_defaults).get("num_envs", 1))
    lifted = subject.quick and hasattr(subject.cls, "origin")  # its seeds are computed one after the other
    config = suited(subject, **changes)
    try:
        config = changed(config, {name: x for name, x in (asked or {}).items() if hasattr(config, name)})
    except ValidationError as e:
        raise LeftOut(f"it does not take {', '.join(f'{name}={x}' for name, x in (asked or {}).items())}") from e
    seeds = SEEDS[:1] if lifted else SEEDS
    made = subject.trial(env, seeds, envs, config=config, env_kwargs=kwargs, total_steps=MOST)
    if not made.held()["agent"]:
        raise LeftOut("it has no state, and so learns nothing")
    return made


def taught(
    trial: Trial,
    look: Callable[[Trial], Glance],
    *,
    least: int = LEAST,
    most: int = MOST,
    updates: int = UPDATES,
    needs: str = "",
) -> Glance:
    """What `look` finds when the lesson is over.

    Args:
        trial: the agent, as `lesson` gave it.
        look: looks at it, and leaves no trace.
        least: env steps of each seed before the first look.
        most: and before it is given up.
        updates: after which it is given up, too.
        needs: of what some agents do not learn, however long: these are left out.

    Raises:
        LeftOut: it learns nothing of that.
    """

    silent, first = True, look(trial) if needs else Glance(False)

    def go(steps: int) -> Glance:
        nonlocal silent
        silent &= not any(step.metrics for step in trial.go(max(1, steps // trial.spec.num_envs)))
        return look(trial)

    before, found = Glance(False), go(least)
    if needs and silent and not trial.updates and found == first:
        raise LeftOut(f"it learns nothing {needs}")
    while trial.env_steps < most and trial.updates < updates and not (before.right and found.right):
        before, found = found, go(BETWEEN)
    return found


def learned(subject: Subject, found: Glance) -> None:
    """Raises Fails where what was found is not right."""
    if found.right:
        return
    cause = found.cause
    if not found.known and not step_sizes(subject.config):  # which would have been raised
        slow = "it learns slowly, by a step size of another name: --set a larger one"
        cause = f"{cause}; or {slow}" if cause else slow
    raise Fails(f"Expected {found.expected}; came {found.came}, {subject.whereabouts()}.", cause)


def shown(pictures: list[np.ndarray], spec: Spec) -> Tensor:
    """Observations as every seed sees them: (S, N, *O)."""
    seen = torch.from_numpy(np.stack(pictures)).to(spec.obs_dtype)
    return seen.expand(spec.num_seeds, *seen.shape)


def told(trial: Trial, obs: Tensor, extras: Extras | None = None) -> dict[str, Tensor]:
    """What the agent makes of observations, (S, N, *O), each as the first one of an episode; float64."""
    trial.agent.begin(torch.ones(obs.shape[:2], dtype=torch.bool), explore=False)
    with torch.no_grad():
        return {name: x.detach().double() for name, x in trial.explain(obs, extras).items()}
