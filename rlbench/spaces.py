"""Between Gymnasium's spaces and tensors: what a space becomes, and the conversion of each observation and action."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from .errors import UsageError
from .types import Spec

_DTYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.uint8): torch.uint8, np.dtype(np.int64): torch.int64}


class ObsCodec(NamedTuple):
    """How observations of one space are stored.

    ``shape`` and ``dtype`` are of the stored observation; ``raw_shape`` is what the environment must return, None
    where Gymnasium's `flatten` looks after it; ``offset`` is subtracted (Discrete spaces that do not start at 0).
    """

    space: spaces.Space[Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    num_obs: int | None
    raw_shape: tuple[int, ...] | None
    offset: int
    note: str

    def encode(self, obs: Any) -> Any:
        """One observation as something that NumPy stores in an array of ``dtype``.

        Raises:
            ValueError: it is not of this space's shape or range.
        """
        if self.num_obs is not None:
            index = int(obs) - self.offset
            if not 0 <= index < self.num_obs:
                raise ValueError(f"{obs!r} where {self.space} was declared")
            return index
        if self.raw_shape is None:
            if isinstance(self.space, spaces.Dict):
                obs = {key: obs[key] for key in self.space.spaces}
            return spaces.flatten(self.space, obs)
        shape = getattr(obs, "shape", None)
        if shape != self.raw_shape and np.shape(obs) != self.raw_shape:
            raise ValueError(f"an observation of shape {np.shape(obs)} where {self.raw_shape} was declared")
        return obs


def obs_codec(space: spaces.Space[Any], env_id: str) -> ObsCodec:
    """How to store the observations of ``space``.

    Raises:
        UsageError: the space has no fixed-size form (Graph, Sequence).
    """
    if isinstance(space, spaces.Discrete):
        return ObsCodec(space, (), np.dtype(np.int64), int(space.n), None, int(space.start), "one-hot")
    if isinstance(space, spaces.Box):
        if space.dtype == np.uint8 and len(space.shape) in (2, 3):
            return ObsCodec(space, space.shape, np.dtype(np.uint8), None, space.shape, 0, "image")
        return ObsCodec(space, space.shape, np.dtype(np.float32), None, space.shape, 0, "vector")
    kept, left_out = _fixed_size(space)
    if kept is not None:
        width = spaces.flatdim(kept)
        note = f"{type(space).__name__} observations are flattened to {width} numbers"
        if left_out:
            note += f", without {', '.join(left_out)}, which has no fixed size"
        return ObsCodec(kept, (width,), np.dtype(np.float32), None, None, 0, note)
    raise UsageError(
        f"{env_id!r} has observations of type {type(space).__name__}, which have no fixed size. "
        "Wrap the environment so that it returns a Box, Discrete, Dict or Tuple, and register it under its own name."
    )


def _fixed_size(space: spaces.Space[Any]) -> tuple[spaces.Space[Any] | None, list[str]]:
    """The part of ``space`` that can be flattened, or None, and the keys of a Dict that had to be left out."""
    try:
        if space.is_np_flattenable:
            return space, []
    except NotImplementedError:  # a space of a third party
        pass
    if not isinstance(space, spaces.Dict):
        return None, []
    parts = {key: inner for key, inner in space.spaces.items() if _fixed_size(inner)[0] is inner}
    return (spaces.Dict(parts) if parts else None), [key for key in space.spaces if key not in parts]


class ActionCodec(NamedTuple):
    """How actions of a space are read out of a tensor: ``start`` and ``n`` of Discrete, or ``shape`` and ``dtype``."""

    discrete: bool
    start: int
    n: int
    shape: tuple[int, ...]
    dtype: Any

    def decode(self, actions: torch.Tensor) -> Sequence[Any]:
        """The (S, E, ...) tensor as a list of S*E actions to hand to the environments."""
        if self.discrete:
            flat: list[int] = actions.reshape(-1).tolist()
            return [a + self.start for a in flat] if self.start else flat
        return list(actions.detach().cpu().numpy().reshape(-1, *self.shape).astype(self.dtype))


def action_codec(space: spaces.Space[Any], env_id: str) -> ActionCodec:
    """How to read actions of ``space``.

    Raises:
        UsageError: neither Discrete nor a Box.
    """
    if isinstance(space, spaces.Discrete):
        return ActionCodec(True, int(space.start), int(space.n), (), None)
    if isinstance(space, spaces.Box):
        return ActionCodec(False, 0, 0, space.shape, space.dtype)
    raise UsageError(
        f"{env_id!r} has actions of type {type(space).__name__}; rlbench knows Discrete and Box. "
        "Wrap the environment so that its action space is one of these, and register it under its own name."
    )


def spec_of(
    env: gym.Env[Any, Any], env_id: str, num_seeds: int, num_envs: int, device: torch.device, total_steps: int = 0
) -> Spec:
    """What an agent must know of ``env``."""
    obs = obs_codec(env.observation_space, env_id)
    actions = env.action_space
    action_codec(actions, env_id)
    box = isinstance(actions, spaces.Box)
    return Spec(
        obs_shape=obs.shape,
        obs_dtype=_DTYPES[obs.dtype],
        num_obs=obs.num_obs,
        num_actions=None if box else int(actions.n),  # type: ignore[attr-defined]
        action_shape=tuple(actions.shape or ()),
        action_low=torch.tensor(actions.low, dtype=torch.float32, device=device) if box else None,  # type: ignore[attr-defined]
        action_high=torch.tensor(actions.high, dtype=torch.float32, device=device) if box else None,  # type: ignore[attr-defined]
        num_seeds=num_seeds,
        num_envs=num_envs,
        device=device,
        total_steps=total_steps,
    )
