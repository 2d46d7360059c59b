"""n copies of one environment: stepped one by one, or all at once where NumPy does the same to the last bit."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from .make import EnvMaker
from .native import native
from .spaces import action_codec, obs_codec

Ended = dict[int, tuple[bool, bool]]  # copy -> (terminated, truncated)


class CopyError(Exception):
    """Copy ``i`` raised; the cause says what."""

    def __init__(self, i: int) -> None:
        super().__init__(i)
        self.i = i


class Copies:
    """n copies of an environment. It knows nothing of seeds and episodes; observations are encoded (`spaces`).

    Args:
        maker: makes one copy.
        n: how many.

    Attributes:
        limit: steps after which an episode is to be cut; 0: the copies do so themselves, or never.
    """

    def __init__(self, maker: EnvMaker, n: int) -> None:
        self.envs: list[gym.Env[Any, Any]] = [maker() for _ in range(n)]
        self.obs_codec = obs_codec(self.envs[0].observation_space, maker.env_id)
        self.action_codec = action_codec(self.envs[0].action_space, maker.env_id)
        bare = [_bare(env) for env in self.envs]
        self.limit = min((limit for limit in (maker.limit, bare[0][1]) if limit), default=0)
        self._steps: list[Callable[[Any], Any]] = [step for step, _ in bare]
        self._native = native(self.envs)

    def reset(self, i: int, seed: int) -> Any:
        """Reset copy ``i``; its first observation.

        Raises:
            CopyError: it raised.
        """
        try:
            obs, _ = self.envs[i].reset(seed=seed)
            encoded = self.obs_codec.encode(obs)
        except Exception as e:
            raise CopyError(i) from e
        if self._native is not None:
            self._native.adopt(i, self.envs[i])
        return encoded

    @property
    def at_once(self) -> bool:
        """Whether all copies are stepped by one call; their episodes follow from seed and actions alone."""
        return self._native is not None

    def replay(self, i: int, actions: Sequence[Any]) -> tuple[Any, float]:
        """Step copy ``i``, which was reset, through ``actions`` or to its end; the last observation and the return.

        Raises:
            CopyError: it raised.
        """
        seen, total = None, 0.0
        try:
            for action in actions:
                obs, reward, terminated, truncated, _ = self._steps[i](action)
                seen = self.obs_codec.encode(obs)
                total += float(reward)
                if terminated or truncated:
                    break
        except Exception as e:
            raise CopyError(i) from e
        if self._native is not None:
            self._native.adopt(i, self.envs[i])
        return seen, total

    def step(self, actions: Sequence[Any], running: Sequence[int], after: np.ndarray) -> tuple[list[float], Ended]:
        """Step the ``running`` copies.

        Args:
            actions: of all n, as the environment takes them.
            running: which to step, in increasing order.
            after: (n, *O); their observations are written into it.

        Returns:
            The rewards of all n, 0 for those that stand still, and which ended.

        Raises:
            CopyError: one raised.
        """
        if self._native is not None:
            return self._step_at_once(actions, running, after)
        rewards = [0.0] * len(self.envs)
        ended: Ended = {}
        encode, steps = self.obs_codec.encode, self._steps
        i = -1
        try:
            for i in running:
                obs, reward, terminated, truncated, _ = steps[i](actions[i])
                after[i] = encode(obs)
                rewards[i] = float(reward)
                if terminated or truncated:
                    ended[i] = (bool(terminated), bool(truncated))
        except Exception as e:
            raise CopyError(i) from e
        return rewards, ended

    def _step_at_once(
        self, actions: Sequence[Any], running: Sequence[int], after: np.ndarray
    ) -> tuple[list[float], Ended]:
        assert self._native is not None
        chosen = np.array(actions)
        if len(running) == len(self.envs):
            obs, reward, terminated = self._native.step(chosen, None)
            after[:] = obs
            return reward.tolist(), dict.fromkeys(np.flatnonzero(terminated).tolist(), (True, False))
        which = np.array(running, dtype=np.int64)
        after[which], some, terminated = self._native.step(chosen[which], which)
        rewards = np.zeros(len(self.envs))
        rewards[which] = some
        return rewards.tolist(), dict.fromkeys(which[terminated].tolist(), (True, False))

    def close(self) -> None:
        for env in self.envs:
            env.close()


def finite(obs: np.ndarray) -> bool:
    """Whether all numbers are finite. Of a few, the sum as Python has it tells, and at a third of the cost."""
    if obs.dtype.kind != "f":
        return True
    if obs.size <= 64:
        return math.isfinite(sum(obs.reshape(-1).tolist()))
    return bool(np.isfinite(obs).all())


def _bare(env: gym.Env[Any, Any]) -> tuple[Callable[[Any], Any], int]:
    """The step function below Gymnasium's own two wrappers, and the time limit that one of them held.

    They cost a tenth of a cheap environment's step, and `EnvBatch` does their work itself. Any other wrapper stays.
    """
    if type(env) is TimeLimit and type(env.env) is OrderEnforcing and env.spec and env.spec.max_episode_steps:
        return env.env.env.step, env.spec.max_episode_steps
    return env.step, 0
