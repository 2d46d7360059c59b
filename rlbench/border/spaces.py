"""Between Gymnasium's spaces and tensors: what a space becomes, and the conversion of each observation and action."""

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from ..errors import UsageError
from ..types import Extra, Spec
from . import observations
from .nested import writer
from .observations import Check, TooLarge

MOST = 2**20  # indicators that indices become at most, and actions to choose from: networks have a column for each
_DTYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.uint8): torch.uint8, np.dtype(np.int64): torch.int64}
_OBS = "the observation"


class ObsCodec(NamedTuple):
    """How observations of one space are stored.

    ``shape`` and ``dtype`` are of the stored observation. ``encode`` turns one observation into something that NumPy
    stores as it is in an array of ``dtype``, or raises `observations.Unfit`; what it gives may be the environment's own
    memory, to be copied at once. ``too_large`` is filled by it.
    """

    space: spaces.Space[Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    num_obs: int | None
    note: str
    encode: Check
    too_large: TooLarge


def obs_codec(space: spaces.Space[Any], env_id: str, without: Collection[str] = ()) -> ObsCodec:
    """How to store the observations of ``space``; of a Dict, without the keys that are told apart from them.

    Raises:
        UsageError: the space has no fixed-size form (Graph, Sequence), no numbers at all, or too many.
    """
    if without and isinstance(space, spaces.Dict) and len(left := set(space.spaces) - set(without)) == 1:
        return _part_codec(space, left.pop(), env_id)
    large = TooLarge()
    if isinstance(space, spaces.Discrete):
        _few(int(space.n), str(space), "observations", env_id)
        check = observations.index(space, _OBS)
        return ObsCodec(space, (), np.dtype(np.int64), int(space.n), "one-hot", check, large)
    if isinstance(space, spaces.Box):
        _some(math.prod(space.shape), space, "observations", env_id)
        if space.dtype == np.uint8 and len(space.shape) in (2, 3):
            if (space.low == 0).all() and (space.high == 255).all():
                check = observations.box(space, _OBS, large)
                return ObsCodec(space, space.shape, np.dtype(np.uint8), None, "image", check, large)
            limits = observations.bounds(space)
            note = f"observations of whole numbers from {limits} are no pictures: they are scaled to 0..1"
            return ObsCodec(space, space.shape, observations.F32, None, note, observations.board(space, _OBS), large)
        check = observations.box(space, _OBS, large)
        return ObsCodec(space, space.shape, observations.F32, None, "vector", check, large)
    kept, left_out = _fixed_size(_less(space, without))
    if kept is not None:
        width = spaces.flatdim(kept)
        _some(width, space, "observations", env_id)
        _few(width, type(space).__name__, "observations", env_id)
        note = f"{type(space).__name__} observations are flattened to {width} numbers"
        if left_out:
            note += f", without {', '.join(left_out)}, which has no fixed size"
        write, _ = writer(kept, _OBS, 0, large, [*left_out, *without])

        def encode(obs: Any) -> np.ndarray:
            out = np.zeros(width, np.float32)
            write(out, obs)
            return out

        return ObsCodec(kept, (width,), observations.F32, None, note, encode, large)
    where, part = _without_size(space, "")
    what = f"observations with a part{where} of type" if where else "observations of type"
    raise UsageError(
        f"{env_id!r} has {what} {type(part).__name__}, which have no fixed size. "
        "Wrap the environment so that it returns a Box, Discrete, Dict or Tuple of fixed-size parts, and register it "
        "under its own name."
    )


def _part_codec(space: spaces.Dict, key: str, env_id: str) -> ObsCodec:
    """Of a Dict of which one key is left: its value, in its own form."""
    inner = obs_codec(space.spaces[key], env_id)

    def encode(obs: Any) -> Any:
        if not isinstance(obs, Mapping) or key not in obs:
            raise observations.Unfit(f"{_OBS} is {observations.kind(obs)} where a dict with {key!r} was declared")
        return inner.encode(obs[key])

    return inner._replace(encode=encode)


def _less(space: spaces.Space[Any], without: Collection[str]) -> spaces.Space[Any]:
    if not without or not isinstance(space, spaces.Dict):
        return space
    return spaces.Dict({key: inner for key, inner in space.spaces.items() if key not in without})


def space_text(space: Any) -> str:
    """A space in one line of a bearable length."""
    text = " ".join(str(space).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _few(n: int, what: str, of: str, env_id: str) -> None:
    if n > MOST:
        raise UsageError(
            f"{env_id!r} has {of} of {n:,} kinds ({what}); rlbench gives each a column of its own and stops at "
            f"{MOST:,}. Wrap the environment so that it says the same in a Box, or in several smaller numbers."
        )


def _some(n: int, space: Any, of: str, env_id: str) -> None:
    if not n:
        raise UsageError(
            f"{env_id!r} has {of} without a single number ({space_text(space)}): there is nothing to learn "
            "from. Declare a space with at least one."
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


def _without_size(space: spaces.Space[Any], where: str) -> tuple[str, spaces.Space[Any]]:
    """The innermost part of ``space`` that cannot be flattened, and its place, as ``['a'][0]``."""
    inside: list[tuple[Any, spaces.Space[Any]]] = []
    if isinstance(space, spaces.Dict):
        inside = list(space.spaces.items())
    elif isinstance(space, (spaces.Tuple, spaces.OneOf)):
        inside = list(enumerate(space.spaces))
    for key, inner in inside:
        if _fixed_size(inner)[0] is not inner:
            return _without_size(inner, f"{where or ' '}[{key!r}]")
    return where, space


class ActionCodec(NamedTuple):
    """How actions of a space are read out of a tensor: ``start`` and ``n`` of Discrete, or ``shape`` and ``dtype``.

    Of several choices at once ``sizes`` says how many each is from, and ``starts`` where each begins to count.
    """

    discrete: bool
    start: int
    n: int
    shape: tuple[int, ...]
    dtype: Any
    sizes: tuple[int, ...] | None = None
    starts: tuple[int, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether the numbers of an action are indices."""
        return self.discrete or self.sizes is not None

    @property
    def packed(self) -> np.dtype[Any]:
        """How an action is kept: indices in as few bytes as their range needs, a Box's numbers as the space has
        them."""
        if not self.counts:
            return np.dtype(self.dtype)
        starts, sizes = ((self.start,), (self.n,)) if self.sizes is None else (self.starts, self.sizes)
        first, last = min(starts), max(start + n - 1 for start, n in zip(starts, sizes, strict=True))
        for name in ("u1", "<i2", "<i4"):
            if np.iinfo(name).min <= first and last <= np.iinfo(name).max:
                return np.dtype(name)
        return np.dtype("<i8")

    def decode(self, actions: torch.Tensor) -> Sequence[Any]:
        """The (S, E, ...) tensor as a list of S*E actions to keep: an int each, or an array of ``dtype``.

        A Box of whole numbers gets the nearest ones.

        Raises:
            ValueError: a number that ``dtype`` does not hold, or one that is none of ``sizes``.
        """
        if self.discrete:
            flat: list[int] = actions.reshape(-1).tolist()
            return [a + self.start for a in flat] if self.start else flat
        if self.sizes is not None:
            several = actions.detach().cpu().numpy().reshape(-1, len(self.sizes))
            if several.dtype.kind not in "iu" or not ((several >= 0) & (several < self.sizes)).all():
                raise ValueError(
                    f"{actions.flatten()[:8].tolist()} of {actions.dtype}, expected integers from 0 to "
                    f"{', '.join(str(n - 1) for n in self.sizes[:8])}{', ...' if self.sizes[8:] else ''}"
                )
            return list((several + self.starts).reshape(-1, *self.shape).astype(self.dtype))
        chosen = actions.detach().cpu().numpy().reshape(-1, *self.shape)
        if self.dtype.kind != "f":
            low, high = (0, 1) if self.dtype.kind == "b" else (np.iinfo(self.dtype).min, np.iinfo(self.dtype).max)
            chosen = np.rint(chosen.astype(np.float64))
            if not ((chosen >= low) & (chosen < float(high) + 1)).all():
                raise ValueError(f"{actions.flatten()[:8].tolist()} where {self.dtype} reaches from {low} to {high}")
        return list(chosen.astype(self.dtype))

    def lend(self, action: Any) -> Any:
        """A kept action as the space's ``sample`` gives one: a NumPy number, or an array that may be written to."""
        return self.dtype.type(action) if self.discrete else np.array(action, self.dtype)

    def chosen(self, action: Any) -> Any:
        """An action as the environment takes it, as the agent gave it: indices begin with 0 there."""
        if self.sizes is not None:
            return np.asarray(action).reshape(-1) - self.starts
        return np.asarray(action) - self.start if self.discrete else action


def action_codec(space: spaces.Space[Any], env_id: str) -> ActionCodec:
    """How to read actions of ``space``.

    Raises:
        UsageError: none of Discrete, MultiDiscrete, MultiBinary and Box, without a number, or with too many.
    """
    if isinstance(space, spaces.Discrete):
        _few(int(space.n), str(space), "actions", env_id)
        return ActionCodec(True, int(space.start), int(space.n), (), np.dtype(space.dtype))
    if isinstance(space, spaces.Box):
        _some(math.prod(space.shape), space, "actions", env_id)
        return ActionCodec(False, 0, 0, space.shape, space.dtype)
    if isinstance(space, (spaces.MultiDiscrete, spaces.MultiBinary)):
        sizes, starts = _choices(space)
        _some(len(sizes), space, "actions", env_id)
        _few(sum(sizes), space_text(space), "actions", env_id)
        return ActionCodec(False, 0, 0, tuple(space.shape), np.dtype(space.dtype), sizes, starts)
    raise UsageError(
        f"{env_id!r} has actions of type {type(space).__name__}; rlbench knows Discrete, MultiDiscrete, MultiBinary "
        "and Box. Put a --wrapper around the environment whose action space is one of these."
    )


def _choices(space: spaces.MultiDiscrete | spaces.MultiBinary) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How many there are to choose from at once, each, and where each begins to count; rows one after the other."""
    if isinstance(space, spaces.MultiBinary):
        n = math.prod(space.shape)
        return (2,) * n, (0,) * n
    return tuple(space.nvec.ravel().tolist()), tuple(space.start.ravel().tolist())


def declared(env: gym.Env[Any, Any], name: str, env_id: str) -> spaces.Space[Any]:
    """The space of an environment: ``name`` is observation_space or action_space.

    Raises:
        UsageError: it has none before its first reset, or something else.
    """
    try:
        found = getattr(env, name)
    except Exception as e:
        found, why = None, f" ({type(e).__name__})" if not isinstance(e, AttributeError) else ""
    else:
        why = ""
    if isinstance(found, spaces.Space):
        return found
    if found is None:
        raise UsageError(
            f"{env_id!r} has no {name}{why}. Set self.{name} in its __init__: it must be known before the first reset."
        )
    if type(found).__module__.partition(".")[0] == "gym":
        raise UsageError(
            f"{env_id!r} has the {name} of the old Gym API ({type(found).__module__}). Use gymnasium.spaces instead."
        )
    raise UsageError(
        f"{env_id!r} has a {name} of type {type(found).__name__}, which is no space. Use those of gymnasium.spaces."
    )


def spec_of(
    env: gym.Env[Any, Any],
    env_id: str,
    num_seeds: int,
    num_envs: int,
    device: torch.device,
    total_steps: int = 0,
    time_limit: int | None = None,
    *,
    extras: Mapping[str, Extra] = MappingProxyType({}),
    without: Collection[str] = (),
) -> Spec:
    """What an agent must know of ``env`` that shows a Dict ``without`` some keys, and says ``extras``."""
    obs = obs_codec(declared(env, "observation_space", env_id), env_id, without)
    actions = declared(env, "action_space", env_id)
    sizes = action_codec(actions, env_id).sizes
    low, high = _inner_bounds(actions, device) if isinstance(actions, spaces.Box) else (None, None)
    return Spec(
        obs_shape=obs.shape,
        obs_dtype=_DTYPES[obs.dtype],
        num_obs=obs.num_obs,
        num_actions=int(actions.n) if isinstance(actions, spaces.Discrete) else None,
        action_shape=tuple(actions.shape or ()) if sizes is None else (len(sizes),),
        action_low=low,
        action_high=high,
        num_seeds=num_seeds,
        num_envs=num_envs,
        device=device,
        total_steps=total_steps,
        whole_actions=isinstance(actions, spaces.Box) and actions.dtype.kind != "f",
        action_sizes=sizes,
        time_limit=time_limit,
        extras=extras,
    )


def _inner_bounds(space: spaces.Box, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The bounds in float32, never outside the space's own: 0.1 of float64 becomes the float32 just below it."""
    both = []
    for bound, towards in ((space.low, np.inf), (space.high, -np.inf)):
        with np.errstate(over="ignore"):
            near = np.asarray(bound).astype(np.float32)
        outside = [
            math.isfinite(b) and (n < b if towards > 0 else n > b)
            for n, b in zip(near.ravel().tolist(), np.asarray(bound).ravel().tolist(), strict=True)
        ]
        moved = np.nextafter(near, np.float32(towards), dtype=np.float32)
        both.append(torch.tensor(np.where(np.reshape(outside, near.shape), moved, near), device=device))
    return torch.minimum(*both), both[1]  # where none of float32 lies between them, the two are one
