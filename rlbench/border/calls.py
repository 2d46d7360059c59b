"""The border to an environment's code: what is lent is a copy, what comes back is checked, what is raised is told.

Everything that `make` makes stands behind a `Border`, so that whoever steps it, draws it or closes it gets numbers, or
one error that names the culprit. `stepper` steps many in a tight loop, below this wrapper, with the same checks.
"""

import copy
import decimal
import numbers
from collections.abc import Callable, Mapping
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import torch

from ..errors import UsageError
from ..process.settings import Restoring
from .blame import OLD_API, OR_WRAP, foreign, four_values, in_one_line
from .observations import Unfit, as_array, kind
from .spaces import declared, obs_codec

_QUIET = ("gymnasium.", "rlbench.envs.")  # modules whose environments leave the process's settings alone


def stepped(result: Any) -> Any:
    """The five values that ``step`` returned.

    Raises:
        Unfit: it returned something else.
    """
    if isinstance(result, (tuple, list)) and len(result) == 5:
        return result
    if isinstance(result, (tuple, list)) and len(result) == 4:
        raise Unfit(four_values(4))
    raise Unfit(f"{four_values(0)}; it returned {kind(result)}")


def begun(result: Any) -> Any:
    """The observation and the info that ``reset`` returned.

    Raises:
        Unfit: it returned something else.
    """
    if isinstance(result, (tuple, list)) and len(result) == 2 and isinstance(result[1], Mapping | None):
        return result
    what = f"reset() returned {kind(result)} where (obs, info) is due, info being a dict"
    if isinstance(result, tuple) and len(result) == 2:
        raise Unfit(f"{what}; its second part is {kind(result[1])}")
    raise Unfit(f"{what}. {OLD_API} if it is the observation alone: return obs, {{}}, {OR_WRAP}")


def number(reward: Any) -> float:
    """A reward as a float.

    Raises:
        Unfit: it is no single number.
    """
    name, due = "the reward", "where a number is due"
    try:
        if isinstance(reward, (float, int, np.number, np.bool_, numbers.Real, decimal.Decimal)):
            if isinstance(reward, np.complexfloating):
                raise Unfit(f"{name} is {kind(reward)} {due}")
            return float(reward)
    except OverflowError:
        raise Unfit(f"{name} is too large for float32: a number of {len(str(reward))} digits") from None
    if reward is None or isinstance(reward, (str, bytes, complex)) or not hasattr(reward, "shape"):
        raise Unfit(f"{name} is {kind(reward)} {due}")
    found = as_array(reward, name)
    if found.shape != ():
        how = ": return reward.item()" if found.size == 1 else ""
        raise Unfit(f"{name} is {kind(found)} {due}{how}")
    return float(found)


def flag(value: Any, name: str) -> bool:
    """``terminated`` or ``truncated``, as ``name`` says, as a bool.

    Raises:
        Unfit: it is neither true nor false, nor 1 or 0.
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)) and value in (0, 1):
        return bool(value)
    if getattr(value, "shape", None) == () and as_array(value, name).dtype.kind in "biu" and value in (0, 1):
        return bool(value)
    how = f": return bool({name}[0])" if getattr(value, "shape", None) == (1,) else ""
    raise Unfit(f"{name} is {kind(value)} where True or False is due{how}")


def copied(value: Any) -> Any:
    """An observation that the environment cannot write to any more."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(copied(part) for part in value)
    return value


def lent(action: Any, space: Any) -> Any:
    """A copy of an action; a Python int as the NumPy number that ``space`` samples, indices in its own type."""
    if isinstance(space, gym.spaces.Discrete) and isinstance(action, int):
        return space.dtype.type(action)
    if isinstance(space, gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
        return np.array(action, space.dtype)
    return action.copy() if isinstance(action, np.ndarray) else copy.deepcopy(action)


class Border(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose every call is guarded. Each raises `ForeignError`, save ``close``, which never raises.

    Args:
        env: what Gymnasium made.
        env_id: its name in errors.
        folder: the working directory that it chose for itself, if it did: its code runs there, ours does not.

    Attributes:
        problem: what ``close`` raised, or nothing.
    """

    def __init__(self, env: gym.Env[Any, Any], env_id: str, folder: str | None = None) -> None:
        super().__init__(env)
        self.env_id, self.folder, self.problem = env_id, folder, ""
        self._seed: int | None = None
        self._taken = 0
        self.trusted = folder is None and _all_quiet(env)
        self._fresh = True
        self._encode: Callable[[Any], Any] | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The observation, the caller's own, and the info."""
        self._seed, self._taken = seed, 0

        def act() -> Any:
            obs, info = self.begin(seed, options)
            self._fits(obs)
            return copied(obs), info

        return self._guarded(act)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """The observation, the caller's own; reward and flags are of Python's types."""
        self._taken += 1

        def act() -> Any:
            obs, reward, terminated, truncated, info = stepped(self.bare_step(lent(action, self.action_space)))
            self._fits(obs)
            over = flag(terminated, "terminated"), flag(truncated, "truncated")
            return copied(obs), number(reward), *over, info

        return self._guarded(act)

    def render(self) -> Any:
        """What the environment drew, the caller's own."""
        return copied(self._guarded(lambda: self._inside(self.env.render)))

    def close(self) -> None:
        try:
            self._inside(self.env.close)
        except KeyboardInterrupt:
            raise
        except BaseException as e:
            self.problem = f"{self.env_id}: its close() failed, which harms nothing here: {in_one_line(e)}"

    def begin(self, seed: int | None, options: dict[str, Any] | None = None) -> Any:
        """Reset it: observation and info, unguarded; the observation is the environment's own.

        Raises:
            Unfit: it returned something else.
            BaseException: whatever its code raises.
        """
        how = {} if options is None else {"options": options}
        if self.trusted:
            return begun(self.env.reset(seed=seed, **how))
        return begun(self._inside(self.env.reset, seed=seed, **how))

    def bare_step(self, action: Any) -> Any:
        """What its ``step`` returns, unguarded and unchecked."""
        return self.env.step(action) if self.folder is None else self._inside(self.env.step, action)

    def first_step(self, step: Callable[[Any], Any], action: Any) -> Any:
        """What ``step``, its own or of what it wraps, returns at its first call: some set themselves up in there."""
        self._fresh = True
        return self._inside(step, action)

    def _fits(self, obs: Any) -> None:
        """Raises Unfit where ``obs`` is none of the declared space; of one that rlbench does not know, all are."""
        if self._encode is None:
            try:
                self._encode = obs_codec(declared(self.env, "observation_space", self.env_id), self.env_id).encode
            except UsageError:
                self._encode = copied
        self._encode(obs)

    def _inside(self, call: Callable[..., Any], *args: Any, **how: Any) -> Any:
        """Call its code where it may change settings of the process without harm."""
        with Restoring(self.folder, everything=self._fresh) as kept:
            result = call(*args, **how)
        self.folder, self._fresh = kept.folder, False
        return result

    def _guarded(self, act: Callable[[], Any]) -> Any:
        with foreign(self.env_id, self._where):
            return act()

    def _where(self) -> str:
        return f"step {self._taken}" + ("" if self._seed is None else f" after reset(seed={self._seed})")


def _all_quiet(env: gym.Env[Any, Any]) -> bool:
    """Whether the environment and all wrappers around it come with Gymnasium or rlbench."""
    layer: Any = env
    while True:
        if not type(layer).__module__.startswith(_QUIET):
            return False
        if not isinstance(layer, gym.Wrapper):
            return True
        layer = layer.env
