"""Agents written for one learner, without the seed axis, and the adapter that runs S of them side by side."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .acting import choose, explained, wanted
from .agent import Agent, AgentConfig
from .errors import AgentError, first_line
from .rng import Streams
from .types import NO_EXTRAS, Extras, Spec, Transition

NAN = float("nan")


class Learner(ABC):
    """One learner. Give such a class wherever an agent is asked for; `lift` makes an `Agent` of it.

    Args:
        spec: as for `Agent`, with ``num_seeds`` 1; always on the CPU.
        config: an instance of ``Config``.
        rng: this learner's own random numbers. Use no other source; its state is saved for you.

    Attributes:
        updates: learning steps taken so far; the learner counts them itself.
        run_defaults: as of `Agent`.
    """

    Config: ClassVar[type[AgentConfig]] = AgentConfig
    run_defaults: ClassVar[Mapping[str, Any]] = Agent.run_defaults
    wants: ClassVar[tuple[str, ...]] = ()
    updates: int = 0

    @abstractmethod
    def __init__(self, spec: Spec, config: Any, rng: np.random.Generator) -> None: ...

    def begin(self, started: Tensor, *, explore: bool) -> None:  # noqa: B027  (may be left out)
        """Episodes begin in the envs of ``started``, (E,) bool: see `Agent.begin`. May be left out."""

    @abstractmethod
    def act(self, obs: Tensor, *, explore: bool) -> Tensor | tuple[Tensor, Extras]:
        """(E, *O) -> (E,) int64, or (E, *action_shape), as `rlbench.Spec` has it; not to explore is to draw nothing.

        As with `Agent.act`, a learner that ``wants`` more takes ``extras``, and may return extras beside the action.
        """

    @abstractmethod
    def observe(self, transition: Transition) -> None:
        """Take in one transition of every env; each leaf is (E, ...)."""

    @abstractmethod
    def update(self) -> dict[str, float]:
        """Do the learning that is due; {} when nothing was, else named metrics."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that shapes what comes next, ``rng`` apart: tensors, numbers, strings, lists and dicts of these."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that ``state_dict`` gave. Copy; do not keep references."""

    def cut(self, where: Tensor) -> None:  # noqa: B027  (may be left out)
        """Episodes broke off in the envs of ``where``, (E,) bool: see `Agent.cut`. May be left out."""

    def recall(self) -> dict[str, Tensor]:
        """What is remembered of the episodes under way, as `Agent.recall`, without S. May be left out."""
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:  # noqa: B027  (may be left out)
        """What `recall` gave is remembered from here on: see `Agent.remember`. May be left out."""

    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        """For people to look at, as `Agent.explain`, without S: any of "q_values" and "probabilities", (E, A), "value",
        (E,), "mean" and "std", (E, n). May be left out; leaves no trace."""
        return {}

    def diagnostics(self) -> dict[str, Any]:
        """What there is to see of learning at this moment, as `Agent.diagnostics`: numbers, and larger tensors of one
        shape, which become histograms. May be left out; leaves no trace."""
        return {}


def _on_cpu(extras: Extras) -> Extras:
    return {name: leaf.cpu() for name, leaf in extras.items()} if extras else NO_EXTRAS


def _of(extras: Extras, s: int) -> Extras:
    """What belongs to the learner at position ``s``, without the seed axis."""
    return {name: leaf[s] for name, leaf in extras.items()} if extras else NO_EXTRAS


def lift(learner: type[Learner]) -> type[Agent]:
    """An `Agent` class that runs S separate instances of ``learner``, one after the other."""

    class Lifted(Agent):
        Config = learner.Config
        run_defaults = learner.run_defaults
        nan_is_silence = True  # they learn when each of them has something to learn from
        wants = wanted(learner)

        def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
            cpu = torch.device("cpu")  # one learner at a time is faster there, and NumPy is at hand
            low, high = (None if bound is None else bound.cpu() for bound in (spec.action_low, spec.action_high))
            alone = spec._replace(num_seeds=1, device=cpu, action_low=low, action_high=high)
            self.device = spec.device
            self.rngs = streams.learners()
            self.learners = [learner(alone, config, rng) for rng in self.rngs]

        @property
        def updates(self) -> int:  # type: ignore[override]
            return max(one.updates for one in self.learners)

        def begin(self, started: Tensor, *, explore: bool) -> None:
            here = started.cpu()
            for s, one in enumerate(self.learners):
                one.begin(here[s], explore=explore)

        def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor | tuple[Tensor, Extras]:
            here, more = obs.cpu().unbind(), _on_cpu(extras)
            each = [choose(one, here[s], _of(more, s), explore=explore, axes=1) for s, one in enumerate(self.learners)]
            actions = [action for action, _ in each]
            if odd := [a for a in actions if not isinstance(a, Tensor)]:
                raise AgentError(f"{learner.__name__}.act gave a {type(odd[0]).__name__}, expected a Tensor")
            if any(a.shape != actions[0].shape or a.dtype != actions[0].dtype for a in actions[1:]):
                shapes = " and ".join(sorted({f"{tuple(a.shape)} {a.dtype}" for a in actions}))
                raise AgentError(f"{learner.__name__}.act gave actions of different kinds: {shapes}")
            action = torch.stack(actions).to(self.device)
            forms = {", ".join(f"{n} {tuple(x.shape)} {x.dtype}" for n, x in sorted(more.items())) for _, more in each}
            if len(forms) > 1:
                told = " and ".join(sorted(form or "nothing" for form in forms))
                raise AgentError(f"{learner.__name__}.act said different things besides its actions: {told}")
            said = {name: torch.stack([others[name] for _, others in each]).to(self.device) for name in each[0][1]}
            return (action, said) if said else action

        def observe(self, transition: Transition) -> None:
            rows = zip(*(leaf.cpu().unbind() for leaf in transition), strict=True)  # at once: one by one costs more
            extras, more = _on_cpu(transition.extras), _on_cpu(transition.next_extras)
            for s, (one, row) in enumerate(zip(self.learners, rows, strict=True)):
                own = Transition._make(row)
                if extras or more:
                    own.extras, own.next_extras = _of(extras, s), _of(more, s)
                one.observe(own)

        def update(self) -> dict[str, Tensor]:
            each = [one.update() or {} for one in self.learners]
            if odd := [m for m in each if not isinstance(m, dict)]:
                raise AgentError(f"{learner.__name__}.update gave a {type(odd[0]).__name__}, expected a dict or {{}}")
            names = dict.fromkeys(name for metrics in each for name in metrics)
            return {
                name: torch.tensor([_number(learner, name, m[name]) if name in m else NAN for m in each])
                for name in names
            }

        def state_dict(self) -> dict[str, Any]:
            return {
                "learners": [one.state_dict() for one in self.learners],
                "rngs": [_rng_state(rng) for rng in self.rngs],
            }

        def load_state_dict(self, state: dict[str, Any]) -> None:
            for one, saved in zip(self.learners, state["learners"], strict=True):
                one.load_state_dict(saved)
            for rng, saved in zip(self.rngs, state["rngs"], strict=True):
                _set_rng_state(rng, saved)

        def cut(self, where: Tensor) -> None:
            for s, one in enumerate(self.learners):
                if where[s].any():
                    one.cut(where[s])

        def recall(self) -> dict[str, Tensor]:
            each = [one.recall() for one in self.learners]
            return {name: torch.stack([kept[name] for kept in each]).to(self.device) for name in each[0]}

        def remember(self, memory: Mapping[str, Tensor]) -> None:
            for s, one in enumerate(self.learners):
                one.remember({name: x[s].cpu() for name, x in memory.items()})

        def diagnostics(self) -> dict[str, Tensor]:
            each = [_told(learner, one.diagnostics()) for one in self.learners]
            names = [name for name in each[0] if all(name in told for told in each)]  # those of some alone have no S
            known = {name: [told[name] for told in each] for name in names}
            return {name: torch.stack(x) for name, x in known.items() if len({one.shape for one in x}) == 1}

        def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
            here, more = obs.cpu(), _on_cpu(extras)
            each = [explained(one, here[s], _of(more, s)) for s, one in enumerate(self.learners)]
            if odd := [told for told in each if not isinstance(told, dict)]:
                raise AgentError(
                    f"{learner.__name__}.explain gave a {type(odd[0]).__name__}, expected a dict of tensors"
                )
            try:
                names = [name for name in each[0] if all(name in told for told in each)]
                return {name: torch.stack([told[name] for told in each]) for name in names}
            except (TypeError, RuntimeError) as e:
                raise AgentError(f"{learner.__name__}.explain gave no tensors of one shape: {first_line(e)}") from e

    Lifted.__name__, Lifted.__qualname__, Lifted.__doc__ = learner.__name__, learner.__qualname__, learner.__doc__
    Lifted.__module__ = learner.__module__
    Lifted.origin = learner  # type: ignore[attr-defined]  # where its code is found
    return Lifted


def _number(learner: type[Learner], name: str, value: Any) -> float:
    """Of a metric; a learner's own loss that is NaN becomes infinite, for NaN is of those that had nothing to say."""
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError) as e:
        raise AgentError(f"{learner.__name__}.update gave a metric {name!r} that is no number: {value!r}") from e
    return math.inf if math.isnan(number) and name.endswith("loss") else number


def _told(learner: type[Learner], given: Any) -> dict[str, Tensor]:
    """What a learner's ``diagnostics`` gave, as tensors."""
    if not isinstance(given, dict):
        raise AgentError(f"{learner.__name__}.diagnostics gave a {type(given).__name__}, expected a dict")
    try:
        return {str(name): torch.as_tensor(value).detach() for name, value in given.items()}
    except (TypeError, ValueError, RuntimeError) as e:
        raise AgentError(f"{learner.__name__}.diagnostics gave something that is no number: {e}") from e


def _rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """State of a PCG64; its 128-bit integers as hexadecimal text, which every loader reads."""
    state: dict[str, Any] = dict(rng.bit_generator.state)
    return {**state, "state": {name: f"{value:x}" for name, value in state["state"].items()}}


def _set_rng_state(rng: np.random.Generator, saved: dict[str, Any]) -> None:
    rng.bit_generator.state = {**saved, "state": {name: int(value, 16) for name, value in saved["state"].items()}}
