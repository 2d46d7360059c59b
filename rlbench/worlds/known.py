"""Which environments rlbench has in torch, and what about another one does not fit."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ..border.make import EnvMaker
from ..classic import laws, sources
from ..classic.sources import Original
from .cartpole import CartPole
from .world import World

_SEEDS = np.array([0, 1, 7, 2**31 - 1, 2**32, 2**62 + 3])  # whose starts are compared before a world is given


class Likeness(NamedTuple):
    """A class of environments that is here in torch."""

    world: Callable[[Any], World]  # from a copy
    unfit: Callable[[Any], str]
    steps: Original
    starts: Original
    state: Callable[[Any], Any]  # of a copy, as `World.starts` has it


def world_of(maker: EnvMaker) -> World | None:
    """The environment in torch, or None where it is not certain that its episodes are Gymnasium's."""
    found = _found(maker)
    return found if isinstance(found, World) else None


def why_none(maker: EnvMaker) -> str:
    """Why `world_of` gives None, in a sentence for the user; "" where it gives a world."""
    found = _found(maker)
    return "" if isinstance(found, World) else found


def _found(maker: EnvMaker) -> World | str:
    name = maker.env_id
    if maker.wraps:
        return f"{name} is in a wrapper, {maker.wraps[0].shown}: what that does, rlbench cannot do in torch."
    env = maker._replace(anew=False)()
    try:
        inner = sources.bare(env.env)  # type: ignore[attr-defined]  # below `Border`
        cls = type(inner)
        known = KNOWN.get(sources.name_of(cls))
        if known is None or inner is None:
            return f"rlbench has no {name} in torch. It has {', '.join(IDS)}."
        for written in (known.steps, known.starts):
            if others := sources.other_settings(inner, written):
                setting, value = next(iter(others.items()))
                return f"rlbench has no {name} in torch whose {setting.lstrip('_')} is {value!r}."
            if sources.constants(inner, written) is None:
                return f"a constant of this {name} is none that its law in torch can have."
            if not sources.as_written(cls, written):
                return f"the code of {name} is not the one that its law in torch was written after."
        if why := known.unfit(inner):
            return f"this {name} is not for its law in torch: {why}."
        world = known.world(inner)
        missing = [source.name for source in maker.extras if world.extras.get(source.name) != source.form]
        if missing:
            return f"{name} in torch does not say {missing[0]!r}, which the agent wants."
        if not _same_starts(env, world, known):
            return f"episodes of {name} begin with other numbers here than those of its law in torch."
        return world
    finally:
        env.close()


def _same_starts(env: gym.Env[Any, Any], world: World, known: Likeness) -> bool:
    """Whether some episodes begin to the bit as the world has it: who knows how the NumPy at hand was built."""
    expected = world.starts(_SEEDS).state
    for seed, state in zip(_SEEDS.tolist(), expected, strict=True):
        env.reset(seed=seed)
        if np.asarray(known.state(env.unwrapped), expected.dtype).reshape(-1).tobytes() != state.tobytes():
            return False
    return True


def _state(env: Any) -> Any:
    return env.state


_CONTROL = "gymnasium.envs.classic_control"
IDS = ("CartPole-v1",)
KNOWN: Mapping[str, Likeness] = {
    f"{_CONTROL}.cartpole.CartPoleEnv": Likeness(
        CartPole,
        CartPole.unfit,
        laws.KINDS[f"{_CONTROL}.cartpole.CartPoleEnv"].written,
        Original("", {}, "reset", "22f743b6adfff780"),
        _state,
    ),
}
