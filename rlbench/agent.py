"""The interface that every agent fits, and nothing else.

The runner calls, for every vector step: ``begin`` where episodes begin, ``act``, then ``observe`` with what came of it,
then ``update`` once. Whatever an agent learns from (a replay buffer, a rollout, an episode) it collects in ``observe``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from .rng import Streams
from .types import Extras, Spec, Transition


class AgentConfig(BaseModel):
    """Hyper-parameters of an agent: subclass it, one annotated field each. Frozen; unknown keys are an error.

    Use `pydantic.Field` for ranges: ``learning_rate: float = Field(1e-3, gt=0)``. A key that one value switches off
    says so, for `rlbench ablate`: ``n_step: int = Field(3, ge=1, json_schema_extra={"off": 1})``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Saveable(Protocol):
    """Anything whose state can be taken and given back."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Agent(ABC):
    """S learners that train side by side, none of which sees another.

    A subclass defines ``Config``, builds itself in ``__init__`` from the three arguments below, and implements the six
    abstract methods. Raise `rlbench.UsageError` from ``__init__`` where it cannot act in the environment at hand. Seeds
    must not see each other, not even through sizes: pad to a fixed length, never to the longest among the seeds.
    When some of them stop before the others, one that has only the others is made, takes over their rows of
    ``state_dict``, of ``replay`` and of the streams, and goes on in the first one's place.

    Args:
        spec: observations, actions, S, E and the device.
        config: an instance of ``Config``, validated.
        streams: random numbers, one independent sequence per seed and name; use no other source of randomness.

    Attributes:
        updates: gradient steps taken so far by each seed; an agent counts them itself.
        replay: the replay buffer, if there is one. It is saved in a file of its own, apart from ``state_dict``.
        run_defaults: run keys that suit the agent, such as ``{"num_envs": 8}``: recipes and command lines go before
            them, and what belongs to an environment, its budget and how it is evaluated, does too.
        nan_is_silence: whether NaN in what ``update`` gives is a seed that had nothing to say; what is not finite of a
            loss is else taken for a seed that went wrong. Learners side by side have it so.
        wants: what the agent makes use of besides observations, where the environment says it, such as
            ``("action_mask",)``: a key of its ``info``, a key of its Dict observation (which is then no longer part of
            what is observed), or, for a mask, its method ``action_masks()``. ``spec.extras`` has what was found. Where
            anything was, ``act`` and ``explain`` are given it as ``extras=``, and transitions and batches carry it.
    """

    Config: ClassVar[type[AgentConfig]] = AgentConfig
    run_defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    nan_is_silence: bool = False
    wants: ClassVar[tuple[str, ...]] = ()
    replay: Saveable | None = None
    updates: int = 0

    @abstractmethod
    def __init__(self, spec: Spec, config: Any, streams: Streams) -> None: ...

    @classmethod
    def wanted(cls, config: Any) -> tuple[str, ...]:
        """Of ``wants``, what it makes use of with these hyper-parameters: all, unless a subclass says less.

        The rest stays where it is, as part of a Dict observation, say.
        """
        return cls.wants

    def begin(self, started: Tensor, *, explore: bool) -> None:  # noqa: B027  (may be left out)
        """Episodes begin: what an agent with memory remembers of the ones before is to be forgotten there.

        Called before the ``act`` that sees the first observation of an episode, by whoever lets the agent act. Those
        who act without ``explore`` (evaluations, films, ...) take turns, each with an E of its own, and begin with a
        call in which ``started`` is True everywhere: only that much has to be remembered of them. What is remembered
        for ``explore`` lives on beside it, and belongs in ``state_dict``.

        Args:
            started: (S, E) bool: whose next observation is the first one of an episode.
            explore: as in the calls of ``act`` that follow.
        """

    @abstractmethod
    def act(self, obs: Tensor, *, explore: bool) -> Tensor | tuple[Tensor, Extras]:
        """Choose an action for every observation.

        Args:
            obs: (S, E, *O); E may differ from ``spec.num_envs`` when ``explore`` is False.
            explore: True while collecting experience. False asks for the best policy known, and must leave no trace
                in anything that learning depends on.

        An agent that ``wants`` more takes ``extras`` too, a dict of (S, E, ...) with what ``spec.extras`` lists; it is
        left out where that is empty, and ``extras`` has a default.

        Returns:
            (S, E) int64, or (S, E, *action_shape) of ``spec.action_dtype``: see `rlbench.Spec`. Or a pair: that, and a
            dict of tensors (S, E, ...), which come back as ``extras`` of the transition (a log-probability, a value).
        """

    @abstractmethod
    def observe(self, transition: Transition) -> None:
        """Take in what came of the last ``act``; each leaf of ``transition`` is (S, E, ...). Keep what you need."""

    @abstractmethod
    def update(self) -> dict[str, Tensor]:
        """Do the learning that is due, if any.

        Returns:
            {} when nothing was due, else named metrics, each (S,), of the newest gradient step.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything but the replay buffer that shapes what comes next.

        Tensors with a leading S axis, lists of length S, numbers, strings, and dicts and lists of these: what
        ``torch.load(weights_only=True)`` reads. A tensor with an axis that belongs to all seeds is given as
        ``rlbench.Shared(tensor)``. The keys are the same for every S, and shapes throughout a run. Tensors may be the
        live ones; who keeps them makes a copy.
        """

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that ``state_dict`` gave, `rlbench.Shared` included. Copy; do not keep references."""

    def cut(self, where: Tensor) -> None:
        """Episodes broke off: what comes next from these envs is another episode, though no transition said so.

        It happens where a run is resumed and an environment does not come back to where it stood. The newest transition
        of these envs is to be taken as truncated. The default hands it on to ``replay``, if that has a ``cut`` as
        `rlbench.Replay` has; an agent that collects experience elsewhere looks after it here.

        Args:
            where: (S, E) bool, on the CPU.
        """
        if cut := getattr(self.replay, "cut", None):
            cut(where.numpy())

    def recall(self) -> dict[str, Tensor]:
        """What is remembered of the episodes under way that are played without ``explore``; {} of an agent that acts by
        the observation alone.

        For whoever lets the agent act elsewhere, as an exported policy does: an agent that remembers anything says so
        here, all of it, and takes it back in `remember`. Zero where an episode begins.

        Returns:
            By names of its own, tensors (S, E, ...), E as in the last `begin` without ``explore``.
        """
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:  # noqa: B027  (may be left out)
        """What `recall` gave is remembered from here on, in place of what was; keep it as it is, without a copy."""

    def diagnostics(self) -> dict[str, Tensor]:
        """What there is to see of learning at this moment, for people to look at. An agent may leave this out.

        Called now and then between two steps; it must leave no trace.

        Returns:
            Numbers of shape (S,), which are recorded as those of ``update`` are ("epsilon"), and larger tensors
            (S, ...), which become histograms ("q_values", "gradients"). Anything but "epsilon" may come and go.
        """
        return {}

    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        """What the agent makes of observations, for people to look at. An agent may leave this out.

        Args:
            obs: (S, E, *O), as for ``act``. Like ``act`` without ``explore``, this must leave no trace.

        Returns:
            Any of "q_values", (S, E, A), and "value", (S, E), the return expected from here on; "probabilities",
            (S, E, A), of the actions where the agent draws them; "mean" and "std", (S, E, n), of continuous ones, the
            std at least 0.
        """
        return {}
