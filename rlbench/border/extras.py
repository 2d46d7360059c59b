"""What an environment says besides its observations, where an agent wants it: found once, then read and checked.

It says so in its ``info``, under a key of its Dict observation, or, of a mask of actions, by a method. What is read is
copied, as everything is that crosses the border.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from ..errors import UsageError
from ..types import Extra
from .observations import Unfit, array_text, as_array, kind
from .spaces import declared

MASK, METHOD = "action_mask", "action_masks"  # the method as sb3-contrib's MaskablePPO calls it
_DTYPES = {"b": torch.bool, "i": torch.int64, "u": torch.int64, "f": torch.float32}
NUMPY = {torch.bool: np.dtype(np.bool_), torch.int64: np.dtype(np.int64), torch.float32: np.dtype(np.float32)}


class Source(NamedTuple):
    """Where an environment says one thing, and what that looks like."""

    name: str
    where: Literal["key", "info", "method"]
    form: Extra

    @property
    def text(self) -> str:
        """The place, as its author knows it."""
        return {"key": f"observation[{self.name!r}]", "info": f"info[{self.name!r}]", "method": f"{METHOD}()"}[
            self.where
        ]


def find(env: gym.Env[Any, Any], env_id: str, wants: Collection[str]) -> tuple[Source, ...]:
    """Where ``env``, which may be reset for it, says what is wanted; without what it does not say.

    Raises:
        UsageError: what it says is no array of numbers, or no mask of its actions.
    """
    found, info = [], None
    space = declared(env, "observation_space", env_id)
    for name in wants:
        where: Literal["key", "info", "method"]
        if isinstance(space, spaces.Dict) and name in space.spaces:
            where, shown = "key", _zero(space.spaces[name], name, env_id)
        elif name == MASK and masks_method(env) is not None:
            where, shown = "method", None
        else:
            info = _first_info(env) if info is None else info
            if name not in info:
                continue
            where, shown = "info", info[name]
        found.append(Source(name, where, _form(env, env_id, name, shown)))
    return tuple(found)


def taken(sources: Sequence[Source]) -> tuple[str, ...]:
    """Keys of the Dict observation that are no longer part of what is observed."""
    return tuple(source.name for source in sources if source.where == "key")


def forms(sources: Sequence[Source]) -> dict[str, Extra]:
    """As `Spec.extras` has it."""
    return {source.name: source.form for source in sources}


class Told:
    """What n copies said last.

    Args:
        sources: where they say it.
        envs: the n copies.

    Attributes:
        arrays: name -> (n, *shape); written to in place.
    """

    def __init__(self, sources: Sequence[Source], envs: Sequence[gym.Env[Any, Any]]) -> None:
        self.sources = tuple(sources)
        self.arrays = {s.name: np.zeros((len(envs), *s.form.shape), NUMPY[s.form.dtype]) for s in sources}
        wanted = any(source.where == "method" for source in sources)
        self._methods = [masks_method(env) for env in envs] if wanted else []

    def read(self, i: int, obs: Any, info: Any, *, over: bool = False) -> None:
        """Take in what copy ``i`` said with the observation ``obs``; ``over``: with the one that its episode terminates
        with, when it may be silent.

        Raises:
            Unfit: it said nothing, or something of another form.
        """
        for source in self.sources:
            array = self.arrays[source.name]
            if source.where == "method":
                array[i] = _checked(self._methods[i](), source)
                continue
            said = obs if source.where == "key" else info
            if isinstance(said, Mapping) and source.name in said:
                array[i] = _checked(said[source.name], source)
            elif not over:
                raise Unfit(f"{source.text} is missing")


def read_one(sources: Sequence[Source], obs: Any, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What one copy says with ``obs``, name -> (*shape). What a method says is looked for in ``info``, by its name.

    Raises:
        Unfit: as for `Told.read`.
    """
    told = Told([s._replace(where="info") if s.where == "method" else s for s in sources], [])
    told.arrays = {s.name: np.zeros((1, *s.form.shape), NUMPY[s.form.dtype]) for s in sources}
    told.read(0, obs, info)
    return {name: array[0] for name, array in told.arrays.items()}


def _checked(value: Any, source: Source) -> np.ndarray:
    form, name = source.form, source.text
    found = value if type(value) is np.ndarray else as_array(value, name)
    if found.shape != form.shape:
        raise Unfit(f"{name} has shape {found.shape} where {form.shape} is due")
    if form.dtype == torch.bool:
        if found.dtype.kind != "b" and not ((found == 0) | (found == 1)).all():
            raise Unfit(f"{name} is {array_text(found)} where zeros and ones are due")
    elif found.dtype.kind not in "biuf":
        raise Unfit(f"{name} is {kind(value)} where numbers are due")
    elif not np.isfinite(found).all():
        raise Unfit(f"{name} is not finite: {array_text(found)}")
    return found


def _form(env: gym.Env[Any, Any], env_id: str, name: str, shown: Any) -> Extra:
    actions = declared(env, "action_space", env_id)
    if name == MASK and isinstance(actions, spaces.Discrete):
        due = (int(actions.n),)
        if shown is not None and np.shape(shown) != due:
            raise UsageError(
                f"{env_id!r} says an action_mask of shape {np.shape(shown)}, and has {due[0]} actions: a mask has one "
                "entry for each, 1 where the action may be taken."
            )
        return Extra(due, torch.bool)
    if shown is None:  # of a method, before the first reset
        raise UsageError(f"{env_id!r} has {METHOD}(), and no Discrete actions, which is what rlbench masks.")
    try:
        array = as_array(shown, name)
    except Unfit as e:
        raise UsageError(f"{env_id!r}: the agent wants {name!r}, and {e}") from e
    return Extra(array.shape, torch.bool if name == MASK else _DTYPES[array.dtype.kind])


def _zero(space: spaces.Space[Any], name: str, env_id: str) -> np.ndarray:
    """An array of the form that the values of a Dict's part have."""
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(space.shape, np.bool_)
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.Discrete)):
        return np.zeros(space.shape or (), space.dtype)
    raise UsageError(
        f"{env_id!r}: the agent wants {name!r}, which is a {type(space).__name__} there: no array of numbers."
    )


def masks_method(env: gym.Env[Any, Any]) -> Any:
    """The method of an environment that says which actions it may be asked for; None where it has none."""
    try:
        found = env.get_wrapper_attr(METHOD)
    except AttributeError:
        return None
    return found if callable(found) else None


def _first_info(env: gym.Env[Any, Any]) -> Mapping[str, Any]:
    """What it says after a reset. Where that fails, the run's own first reset will say so."""
    try:
        _, info = env.reset(seed=0)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return {}
    return info if isinstance(info, Mapping) else {}
