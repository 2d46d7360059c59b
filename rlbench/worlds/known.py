"""Which environments rlbench has in torch, and what about another one does not fit."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ..border.make import NO_LIMIT, EnvMaker
from ..classic import laws, sources
from ..classic.sources import Original
from .acrobot import Acrobot
from .cartpole import CartPole
from .catch import CatchWorld
from .mountain_car import MountainCar
from .pendulum import Pendulum
from .tables import TableWorld
from .world import World

_SEEDS = np.array([0, 1, 7, 2**31 - 1, 2**32, 2**62 + 3])  # whose starts are compared before a world is given


_Made = Callable[[Any, int], World]  # from a copy, and how long its episodes are at most


class Likeness(NamedTuple):
    """A class of environments that is here in torch."""

    world: _Made
    unfit: Callable[[Any], str]  # what about a copy does not fit, as the end of a sentence; or ""
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
        world = known.world(inner, maker.time_limit or NO_LIMIT)
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


def _control(world: Any, name: str, steps: Original | None, reset: str) -> tuple[str, Likeness]:
    """Of a class of Gymnasium's classic control; ``reset`` is the digest of its way to begin."""
    full = f"gymnasium.envs.classic_control.{name}"
    starts = Original("", {}, "reset", reset)
    steps = steps or laws.KINDS[full].written
    return full, Likeness(lambda env, _: world(env), world.unfit, steps, starts, lambda env: env.state)


def _table(name: str, code: str, world: _Made = TableWorld, **settings: Any) -> tuple[str, Likeness]:
    """Of one whose transitions are a table; ``code`` is the digest of how it steps and begins."""
    functions = "step reset categorical_sample" + (" action_mask decode" if "fickle_passenger" in settings else "")
    original = Original("", {"render_mode": None, **settings}, functions, code)
    full = f"gymnasium.envs.toy_text.{name}"
    return full, Likeness(world, TableWorld.unfit, original, original, lambda env: env.s)


def _masked(env: Any, longest: int) -> World:
    return TableWorld(env, longest, np.array([env.action_mask(s) for s in env.P], np.bool_))


_PENDULUM = Original(
    "max_speed max_torque dt g m l", {"render_mode": None}, "step _get_obs angle_normalize", "ff315fbce3821080"
)
_CATCH = Original("rows columns", {"render_mode": None}, "step reset _obs", "19be10eebf260a3c")
IDS = (
    "CartPole-v1", "MountainCar-v0", "Acrobot-v1", "Pendulum-v1", "FrozenLake-v1", "CliffWalking-v1", "Taxi-v4",
    "rlbench/Catch-v0",
)  # fmt: skip
KNOWN: Mapping[str, Likeness] = dict(
    (
        _control(CartPole, "cartpole.CartPoleEnv", None, "22f743b6adfff780"),
        _control(MountainCar, "mountain_car.MountainCarEnv", None, "ae18951faadfdb60"),
        _control(Acrobot, "acrobot.AcrobotEnv", None, "8bbd7eaffcff9690"),
        _control(Pendulum, "pendulum.PendulumEnv", _PENDULUM, "e1849434a4ef83b1"),
        _table("frozen_lake.FrozenLakeEnv", "a751f91ac25da573"),
        _table("cliffwalking.CliffWalkingEnv", "5da26bdcca85e099"),
        _table("taxi.TaxiEnv", "ad3336f78d7c5725", _masked, fickle_passenger=False),
        (
            "rlbench.envs.catch.Catch",
            Likeness(
                lambda env, _: CatchWorld(env),
                CatchWorld.unfit,
                _CATCH,
                _CATCH,
                lambda env: (env._ball_row, env._ball_column, env._paddle),
            ),
        ),
    )
)
