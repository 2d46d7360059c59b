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
from torch import Tensor

from . import rng
from .errors import EnvError
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
        self._steps: list[Callable[[Any], Any]] = [env.step for env in self.envs]
        self._running = list(range(n))
        self._episodes = [-1] * n  # index of the episode under way
        self._returns = [0.0] * n
        self._actions: list[list[Any]] = [[] for _ in range(n)]  # of the episode under way
        self._obs = np.zeros((n, *self._obs_codec.shape), self._obs_codec.dtype)

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
        return self._tensor(self._obs)

    def step(self, action: Tensor) -> tuple[Transition, Tensor]:
        """Step every running copy, and start the next episode where one ended.

        Args:
            action: (S, E) int64 or (S, E, *action_shape) float32.

        Returns:
            The transition, with the true next observations, and the observations to act on next, (S, E, *O).

        Raises:
            EnvError: a copy raised, or returned NaN, infinity or a wrong shape. Names env, seed, episode and step.
        """
        actions = self._action_codec.decode(action)
        before = self._obs
        if len(actions) != len(self.envs):
            raise EnvError(f"the agent gave actions of shape {tuple(action.shape)}, expected {self._batch_shape()}")
        after = before.copy()
        n = len(self.envs)
        rewards = [0.0] * n
        terminations = np.zeros(n, np.bool_)
        truncations = np.zeros(n, np.bool_)
        done: list[int] = []
        encode, steps, limit = self._obs_codec.encode, self._steps, self.maker.limit
        i = -1
        try:
            for i in self._running:
                a = actions[i]
                obs, reward, terminated, truncated, _ = steps[i](a)
                after[i] = encode(obs)
                rewards[i] = reward = float(reward)
                taken = self._actions[i]
                taken.append(a)
                self._returns[i] += reward
                if limit and len(taken) >= limit:
                    truncated = True
                if terminated or truncated:
                    terminations[i], truncations[i] = terminated, truncated
                    done.append(i)
        except Exception as e:
            raise self._broken(i, e) from e
        if not _finite(np.asarray(rewards)) or not _finite(after):
            raise self._not_finite(after, rewards)
        shape = self._batch_shape()
        next_obs = self._tensor(after)
        transition = Transition(
            obs=self._tensor(before),
            action=action,
            reward=torch.tensor(rewards, dtype=torch.float32, device=self.device).view(shape),
            next_obs=next_obs,
            terminated=torch.from_numpy(terminations).to(self.device).view(shape),
            truncated=torch.from_numpy(truncations).to(self.device).view(shape),
        )
        self._obs = after
        self.finished = []
        if done:
            self._obs = after.copy()
            for i in done:
                self.finished.append(self._episode(i, bool(terminations[i])))
                self._next_episode(i)
            next_obs = self._tensor(self._obs)
        return transition, next_obs

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def state_dict(self) -> dict[str, Any]:
        """Where every copy stands: episode numbers (S, E), the actions of the episodes under way, the observations."""
        dtype = torch.int64 if self._action_codec.discrete else torch.float32
        return {
            "episodes": torch.tensor(self._episodes).view(self._batch_shape()),
            "running": self._mask().view(self._batch_shape()),
            "actions": [torch.tensor(np.array(a), dtype=dtype) for a in self._actions],
            "obs": torch.from_numpy(self._obs.copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> tuple[Tensor, list[int]]:
        """Bring every copy back to where it stood, by replaying the episode under way.

        Returns:
            The observations to act on, (S, E, *O), and the positions of the copies that did not come back to the
            observation they stood at: these are not deterministic given their seed, and start their next episode.
        """
        self._episodes = [int(e) - 1 for e in state["episodes"].flatten()]
        self._running = [i for i, on in enumerate(state["running"].flatten().tolist()) if on]
        stood = state["obs"].numpy()
        self._obs = stood.copy()
        strayed = []
        encode = self._obs_codec.encode
        for i in self._running:
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
        return self._tensor(self._obs), strayed

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
            raise self._not_finite(self._obs, [0.0] * len(self.envs))

    def _episode(self, i: int, terminated: bool) -> Episode:
        s, e = divmod(i, self.num_envs)
        return Episode(s, e, self._episodes[i], self._returns[i], len(self._actions[i]), terminated)

    def _tensor(self, obs: np.ndarray) -> Tensor:
        return torch.from_numpy(obs).to(self.device).view(len(self.seeds), self.num_envs, *obs.shape[1:])

    def _batch_shape(self) -> tuple[int, int]:
        return len(self.seeds), self.num_envs

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

    def _not_finite(self, obs: np.ndarray, rewards: list[float]) -> EnvError:
        for i in range(len(self.envs)):
            for name, value in (("reward", rewards[i]), ("observation", obs[i])):
                if not np.isfinite(value).all():
                    return EnvError(
                        f"{self.maker.env_id} returned a {name} that is not finite at "
                        f"{self._where(i, len(self._actions[i]))}: {np.array2string(np.asarray(value), threshold=8)}"
                    )
        raise AssertionError("called though every number is finite")


def _finite(obs: np.ndarray) -> bool:
    """Whether all numbers are finite: one sum finds NaN and infinity, and only a suspect sum is looked at closely."""
    return obs.dtype.kind != "f" or math.isfinite(obs.sum()) or bool(np.isfinite(obs).all())
