"""S x E Gymnasium environments, stepped in one lean loop. The only file that knows about resetting.

Every episode starts with ``env.reset(seed=...)`` where the seed is a hash of (seed, env, episode). The actions of the
episode under way are kept, so that an environment which is deterministic given its seed can be brought back to where it
stood by resetting it and replaying them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import OrderEnforcing, TimeLimit
from torch import Tensor

from . import rng
from .errors import AgentError, EnvError
from .make import EnvMaker
from .spaces import action_codec, obs_codec, spec_of
from .types import Spec, Transition


class Episode(NamedTuple):
    """A finished episode: ``seed`` and ``env`` are positions on the S and E axes."""

    seed: int
    env: int
    episode: int
    episode_return: float
    episode_length: int
    terminated: bool


class EnvBatch:
    """S x E copies of one environment.

    Args:
        maker: makes one copy.
        seeds: the S seed numbers; the E copies of a seed differ by their index.
        num_envs: E.
        device: where the tensors go.
        stream: names what the episodes are for; another name gives other episodes.

    Attributes:
        spec: what an agent needs to know.
        finished: the episodes that the last `step` ended.
    """

    def __init__(
        self,
        maker: EnvMaker,
        seeds: Sequence[int],
        num_envs: int = 1,
        *,
        device: torch.device | str = "cpu",
        stream: str = "env",
    ) -> None:
        self.maker, self.seeds, self.num_envs = maker, tuple(seeds), num_envs
        self.device = torch.device(device)
        self.stream = stream
        self.finished: list[Episode] = []
        n = len(self.seeds) * num_envs
        self.envs: list[gym.Env[Any, Any]] = [maker() for _ in range(n)]
        self.spec: Spec = spec_of(self.envs[0], maker.env_id, len(self.seeds), num_envs, self.device)
        self._obs_codec = obs_codec(self.envs[0].observation_space, maker.env_id)
        self._action_codec = action_codec(self.envs[0].action_space, maker.env_id)
        self._first = self._action_codec.start
        self._last = self._first + (self.spec.num_actions or 0) - 1
        self._action_shape = (len(self.seeds), num_envs, *self.spec.action_shape)
        bare = [_bare(env) for env in self.envs]
        self._steps: list[Callable[[Any], Any]] = [step for step, _ in bare]
        limits = [limit for limit in (maker.limit, bare[0][1]) if limit]
        self._limit = min(limits, default=0)
        self._running = list(range(n))
        self._episodes = [-1] * n  # index of the episode under way
        self._returns = [0.0] * n
        self._actions: list[list[Any]] = [[] for _ in range(n)]  # of the episode under way
        self._batch_shape = (len(self.seeds), num_envs)
        self._obs = np.zeros((n, *self._obs_codec.shape), self._obs_codec.dtype)
        self._current = self._tensor(self._obs)  # the same, (S, E, *O)

    @property
    def running(self) -> bool:
        """Whether any copy is still being stepped."""
        return bool(self._running)

    def stop(self, seed: int, env: int | None = None) -> None:
        """Step no more the copies of the seed at position ``seed``, or only its copy ``env``.

        From here on they repeat their last observation with reward 0.
        """
        e = self.num_envs
        stopped = set(range(seed * e, seed * e + e)) if env is None else {seed * e + env}
        self._running = [i for i in self._running if i not in stopped]

    def reset(self, episode: int = 0) -> Tensor:
        """Start every copy afresh with its episode number ``episode``; (S, E, *O)."""
        n = len(self.envs)
        self._running = list(range(n))
        self._episodes = [episode - 1] * n
        self._obs = np.zeros_like(self._obs)
        for i in range(n):
            self._next_episode(i)
        self._current = self._tensor(self._obs)
        return self._current

    def step(self, action: Tensor) -> tuple[Transition, Tensor]:
        """Step every running copy, and start the next episode where one ended.

        Args:
            action: (S, E) int64 or (S, E, *action_shape) float32.

        Returns:
            The transition, with the true next observations, and the observations to act on next, (S, E, *O).

        Raises:
            AgentError: the actions are no such tensor.
            EnvError: a copy raised, or returned NaN, infinity or a wrong shape. Names env, seed, episode and step.
        """
        if not isinstance(action, Tensor):
            raise AgentError(f"the agent gave actions of type {type(action).__name__}, expected a Tensor")
        if action.shape != self._action_shape:
            raise AgentError(f"the agent gave actions of shape {tuple(action.shape)}, expected {self._action_shape}")
        actions = self._action_codec.decode(action)
        if self._action_codec.discrete and (
            action.dtype not in _INTEGERS or min(actions) < self._first or max(actions) > self._last
        ):
            raise AgentError(
                f"the agent gave the actions {action.flatten()[:8].tolist()} of {action.dtype}, "
                f"expected integers from 0 to {self._last - self._first}"
            )
        n = len(self.envs)
        after = self._obs.copy()
        rewards = [0.0] * n
        ended: list[tuple[int, bool, bool]] = []
        encode, steps, taken, returns = self._obs_codec.encode, self._steps, self._actions, self._returns
        limit = self._limit
        i = -1
        try:
            for i in self._running:
                a = actions[i]
                obs, reward, terminated, truncated, _ = steps[i](a)
                after[i] = encode(obs)
                rewards[i] = reward = float(reward)
                taken[i].append(a)
                returns[i] += reward
                if limit and len(taken[i]) >= limit:
                    truncated = True
                if terminated or truncated:
                    ended.append((i, bool(terminated), bool(truncated)))
        except Exception as e:
            raise self._broken(i, e) from e
        if not _finite(after) or not abs(sum(rewards)) < _LARGE:
            if not action.isfinite().all():
                raise AgentError(f"the agent gave an action that is not finite: {action.flatten()[:8].tolist()}")
            self._check_finite(after, rewards)
        next_obs = self._tensor(after)
        flags = np.zeros((2, n), np.bool_)
        for i, terminated, truncated in ended:
            flags[0, i], flags[1, i] = terminated, truncated
        transition = Transition(
            obs=self._current,
            action=action,
            reward=self._tensor(np.array(rewards, np.float32)),
            next_obs=next_obs,
            terminated=self._tensor(flags[0]),
            truncated=self._tensor(flags[1]),
        )
        self._obs, self._current, self.finished = after, next_obs, []
        if ended:
            self._obs = after.copy()
            for i, terminated, _ in ended:
                self.finished.append(self._episode(i, terminated))
                self._next_episode(i)
            self._current = self._tensor(self._obs)
        return transition, self._current

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def state_dict(self) -> dict[str, Any]:
        """Where every copy stands: episode numbers (S, E), the actions of the episodes under way, the observations."""
        dtype = torch.int64 if self._action_codec.discrete else torch.float32
        return {
            "episodes": torch.tensor(self._episodes).view(self._batch_shape),
            "running": self._mask().view(self._batch_shape),
            "actions": [torch.tensor(np.array(a), dtype=dtype) for a in self._actions],
            "obs": torch.from_numpy(self._obs.copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> tuple[Tensor, list[int]]:
        """Bring every copy back to where it stood, by replaying the episode under way.

        Returns:
            The observations to act on, (S, E, *O), and the positions of the copies that did not come back to the
            observation they stood at: these are not deterministic given their seed, and start their next episode.
        """
        self._episodes = [int(e) for e in state["episodes"].flatten()]
        self._running = [i for i, on in enumerate(state["running"].flatten().tolist()) if on]
        stood = state["obs"].numpy()
        self._obs = stood.copy()
        strayed = []
        encode = self._obs_codec.encode
        for i in self._running:
            self._episodes[i] -= 1
            self._next_episode(i)
            for a in state["actions"][i].tolist() if self._action_codec.discrete else state["actions"][i].numpy():
                a = a if self._action_codec.discrete else a.astype(self._action_codec.dtype)
                obs, reward, terminated, truncated, _ = self._steps[i](a)
                self._obs[i] = encode(obs)
                self._returns[i] += float(reward)
                self._actions[i].append(a)
                if terminated or truncated:
                    break
            if not np.array_equal(self._obs[i], stood[i]):
                strayed.append(i)
                self._next_episode(i)
        self._current = self._tensor(self._obs)
        return self._current, strayed

    def _next_episode(self, i: int) -> None:
        self._episodes[i] += 1
        self._returns[i] = 0.0
        self._actions[i] = []
        s, e = divmod(i, self.num_envs)
        try:
            obs, _ = self.envs[i].reset(seed=rng.episode_seed(self.seeds[s], self.stream, e, self._episodes[i]))
            self._obs[i] = self._obs_codec.encode(obs)
        except Exception as error:
            raise self._broken(i, error) from error
        if not _finite(self._obs[i]):
            self._check_finite(self._obs, [0.0] * len(self.envs))

    def _episode(self, i: int, terminated: bool) -> Episode:
        s, e = divmod(i, self.num_envs)
        return Episode(s, e, self._episodes[i], self._returns[i], len(self._actions[i]), terminated)

    def _tensor(self, flat: np.ndarray) -> Tensor:
        """(S*E, ...) as a tensor (S, E, ...) on the device; on the CPU they share memory."""
        tensor = torch.from_numpy(flat.reshape(*self._batch_shape, *flat.shape[1:]))
        return tensor if self.device.type == "cpu" else tensor.to(self.device)

    def _mask(self) -> Tensor:
        mask = torch.zeros(len(self.envs), dtype=torch.bool)
        mask[self._running] = True
        return mask

    def _where(self, i: int, step: int) -> str:
        s, e = divmod(i, self.num_envs)
        return f"step {step} of episode {self._episodes[i]} (seed {self.seeds[s]}, env {e})"

    def _broken(self, i: int, e: Exception) -> EnvError:
        what = str(e) if isinstance(e, ValueError) else f"{type(e).__name__}: {e}"
        return EnvError(f"{self.maker.env_id} failed at {self._where(i, len(self._actions[i]) + 1)}: {what}")

    def _check_finite(self, obs: np.ndarray, rewards: list[float]) -> None:
        """Look closely at numbers that may not be finite; rewards have to be so in float32 as well."""
        with np.errstate(over="ignore"):
            for i in range(len(self.envs)):
                for name, value in (("a reward", np.float32(rewards[i])), ("an observation", obs[i])):
                    if not np.isfinite(value).all():
                        raise EnvError(
                            f"{self.maker.env_id} returned {name} that is not finite at "
                            f"{self._where(i, len(self._actions[i]))}: {np.array2string(np.array(value), threshold=8)}"
                        )


_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_LARGE = 1e30  # a sum of rewards beyond this, or one that is not finite, is looked into


def _bare(env: gym.Env[Any, Any]) -> tuple[Callable[[Any], Any], int]:
    """The step function below Gymnasium's own two wrappers, and the time limit that one of them held.

    They cost a tenth of a cheap environment's step, and `EnvBatch` does their work itself. Any other wrapper stays.
    """
    if type(env) is TimeLimit and type(env.env) is OrderEnforcing and env.spec and env.spec.max_episode_steps:
        return env.env.env.step, env.spec.max_episode_steps
    return env.step, 0


def _finite(obs: np.ndarray) -> bool:
    """Whether all numbers are finite: a sum of squares finds NaN and infinity; only a suspect one is looked into."""
    if obs.dtype.kind != "f":
        return True
    flat = obs.reshape(-1)
    with np.errstate(all="ignore"):  # finite numbers may have squares that are not
        return math.isfinite(np.dot(flat, flat)) or bool(np.isfinite(obs).all())
