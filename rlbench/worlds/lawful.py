"""Gymnasium's own copy of an environment, stepped by its law in torch: what was learned on a card, seen on the host.

An episode that was stepped by a law differs from Gymnasium's in the last place of a number, and so, after some hundred
steps, altogether. Running it again takes the same law; drawing it takes the environment itself.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch

from ..border.make import EnvMaker
from .straight import OneByOne, Straight, watched
from .world import World


def lawful(maker: EnvMaker, world: World, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """A copy in its usual wrappers, whose episodes are those of ``world``, and which draws what happens in them.

    Args:
        maker: that ``world`` was made for.
        world: on the host.
        render_mode: of the copy.
    """
    env = maker._replace(anew=False)(render_mode)  # nothing of these outlives a reset
    if world.exact:
        return env
    layer: Any = env
    while isinstance(layer.env, gym.Wrapper):
        layer = layer.env
    layer.env = Lawful(layer.env, world)
    return env


class LawfulMaker(EnvMaker):
    """Makes copies that are `lawful`; ``world`` is their law."""

    world: World

    def __call__(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        return lawful(EnvMaker._make(self), self.world, render_mode)


def lawful_maker(maker: EnvMaker, world: World) -> LawfulMaker:
    """``maker``, whose copies step by ``world``."""
    made = LawfulMaker._make(maker)
    made.world = world
    return made


class Lawful(gym.Wrapper[Any, Any, Any, Any]):
    """Steps one copy by a law, and lets the environment below stand where that leads.

    Args:
        env: of Gymnasium's classic control, bare.
        world: its law.
    """

    def __init__(self, env: gym.Env[Any, Any], world: World) -> None:
        super().__init__(env)
        self._step, self._obs = map(OneByOne, _straight(world))
        self._state: list[float] = []

    def reset(self, **how: Any) -> Any:
        _, info = self.env.reset(**how)
        inner: Any = self.env
        self._state = [float(x) for x in inner.state]
        return self._seen(), info

    def step(self, action: Any) -> Any:
        *self._state, reward, terminated = self._step(*self._state, np.asarray(action).item())
        inner: Any = self.env
        inner.state = np.array(self._state)
        if hasattr(inner, "last_u"):  # a pendulum shows what turns it
            inner.last_u = np.clip(action, -inner.max_torque, inner.max_torque)[0]
        if inner.render_mode == "human":  # as its own step does
            inner.render()
        return self._seen(), reward, terminated, False, {}

    def _seen(self) -> np.ndarray:
        found: np.ndarray = np.array(self._obs(*self._state), np.float32)
        return found


@functools.lru_cache(8)
def _straight(world: World) -> tuple[Straight, Straight]:
    """A step, and what is seen; watched once for all copies."""
    state, action = world.example()
    return watched(world.step, state, action), watched(lambda state: [world.obs(state)], state)


class Came(NamedTuple):
    """What an episode came to."""

    steps: int
    episode_return: float
    terminated: bool


def outcomes(world: World, seeds: Sequence[int], actions: Sequence[Sequence[Any]]) -> list[Came]:
    """Run recorded episodes again, all at once: hundreds take hardly longer than one.

    Args:
        world: on the host.
        seeds: of the m episodes, as ``env.reset`` got them.
        actions: of each, one after the other. It ends with the last one, or where it terminates.

    Returns:
        What each comes to, in their order.
    """
    lengths = np.array([len(each) for each in actions], np.int64)
    order = np.argsort(-lengths, kind="stable")  # the longest first: those that go on are the first so many
    starts = world.starts(np.array(seeds, np.int64)[order])
    state, draws = torch.from_numpy(starts.state), torch.from_numpy(starts.draws)
    total, steps, over = np.zeros(len(seeds)), np.zeros(len(seeds), np.int64), np.zeros(len(seeds), np.bool_)
    chosen = [actions[i] for i in order.tolist()]
    longest = int(lengths.max(initial=0))
    going = np.searchsorted(-lengths[order], -np.arange(longest), side="left")  # (longest,) episodes longer than t
    for t, n in enumerate(going.tolist()):
        taken = _as_given([each[t] for each in chosen[:n]])
        draw = draws[:n, t] if world.draws else None
        state, reward, terminated = world.step(state[:n], taken, draw)
        on = ~over[:n]
        total[:n] += np.where(on, reward.numpy(), 0.0)  # the sum of one after the other, as it was recorded
        steps[:n] += on
        over[:n] |= terminated.numpy()
        if over[:n].all():
            break
    back = np.argsort(order)
    ended = zip(steps[back].tolist(), total[back].tolist(), over[back].tolist(), strict=True)
    return [Came(*one) for one in ended]


def _as_given(actions: Sequence[Any]) -> torch.Tensor:
    """(n, *action_shape), as an agent gives them, of actions as the environment takes them."""
    found = torch.from_numpy(np.array(actions))
    return found if found.is_floating_point() else found.long()
