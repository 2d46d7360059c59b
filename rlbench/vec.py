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
from .native import native
from .pages import Pages
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
    reset_seed: int
    actions: list[Any]  # as the environment took them


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
        self._away = self.device.type != "cpu"
        self.stream = stream
        self.finished: list[Episode] = []
        n = len(self.seeds) * num_envs
        self.envs: list[gym.Env[Any, Any]] = [maker() for _ in range(n)]
        self.spec: Spec = spec_of(self.envs[0], maker.env_id, len(self.seeds), num_envs, self.device)
        self._obs_codec = obs_codec(self.envs[0].observation_space, maker.env_id)
        self._action_codec = action_codec(self.envs[0].action_space, maker.env_id)
        self._first = self._action_codec.start
        self._last = self._first + (self.spec.num_actions or 0) - 1
        self._lead = (len(self.seeds), num_envs)
        self._action_shape = (*self._lead, *self.spec.action_shape)
        bare = [_bare(env) for env in self.envs]
        self._steps: list[Callable[[Any], Any]] = [step for step, _ in bare]
        self._native = native(self.envs)
        limits = [limit for limit in (maker.limit, bare[0][1]) if limit]
        self._limit = min(limits, default=0)
        self._running = list(range(n))
        self._episodes = [-1] * n  # index of the episode under way
        self._returns = [0.0] * n
        self._clock = 0  # vector steps since the last `reset`
        self._began = [0] * n  # by that clock, of the episode under way
        self._deadline = math.inf  # by that clock, when the first of them reaches the time limit
        self._log: list[Sequence[Any]] = []  # what all copies did in the newest vector steps, as many as still matter
        self._obs_pages = Pages(self._lead, self._obs_codec.shape, self._obs_codec.dtype)
        self._reward_pages = Pages(self._lead, (), np.dtype(np.float32))
        self._flag_pages = Pages(self._lead, (), np.dtype(np.bool_))
        self._nowhere = torch.zeros(self._lead, dtype=torch.bool, device=self.device)
        self._obs, self._current = self._obs_pages.take()  # (n, *O), and the same (S, E, *O) on the device

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
        self._clock, self._log = 0, []
        self._obs, self._current = self._obs_pages.take()
        for i in range(n):
            self._next_episode(i)
        return self._settle()

    def step(self, action: Tensor) -> tuple[Transition, Tensor]:
        """Step every running copy, and start the next episode where one ended.

        Args:
            action: (S, E) int64 or (S, E, *action_shape) float32.

        Returns:
            The transition, with the true next observations, and the observations to act on next, (S, E, *O). Do not
            write to them: they may share memory with each other and with later ones.

        Raises:
            AgentError: the actions are no such tensor.
            EnvError: a copy raised, or returned NaN, infinity or a wrong shape. Names env, seed, episode and step.
        """
        actions = self._decoded(action)
        after, next_obs = self._obs_pages.take()
        if len(self._running) < len(self.envs):
            after[:] = self._obs
        advance = self._advance if self._native is None else self._advance_natively
        rewards, ended = advance(actions, after)
        self._log.append(actions)
        self._clock += 1
        if self._clock >= self._deadline:
            for i in self._running:
                if self._clock - self._began[i] >= self._limit:
                    ended[i] = (ended.get(i, _NEITHER)[0], True)
        if not _finite(after) or not abs(sum(rewards)) < _LARGE:
            if not action.isfinite().all():
                raise AgentError(f"the agent gave an action that is not finite: {action.flatten()[:8].tolist()}")
            self._check_finite(after, rewards)
        reward_array, reward = self._reward_pages.take()
        reward_array[:] = rewards
        if self._away:
            reward, next_obs = reward.to(self.device), next_obs.to(self.device)
        obs = self._current
        self._obs, self._current, self.finished = after, next_obs, []
        terminated = truncated = self._nowhere
        if ended:
            terminated, truncated = self._flags(ended)
            self._obs, self._current = self._obs_pages.take()
            self._obs[:] = after
            for i in sorted(ended):
                self.finished.append(self._episode(i, ended[i][0]))
                self._next_episode(i)
            self._settle()
        return Transition(obs, action, reward, next_obs, terminated, truncated), self._current

    def _decoded(self, action: Tensor) -> Sequence[Any]:
        """The actions of all copies as their environments take them."""
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
        return actions

    def _advance(self, actions: Sequence[Any], after: np.ndarray) -> tuple[list[float], dict[int, tuple[bool, bool]]]:
        """Step the running copies one by one. Their observations go into ``after``; returns the rewards of all, and
        (terminated, truncated) of those that ended."""
        rewards = [0.0] * len(self.envs)
        ended = {}
        encode, steps, returns = self._obs_codec.encode, self._steps, self._returns
        i = -1
        try:
            for i in self._running:
                obs, reward, terminated, truncated, _ = steps[i](actions[i])
                after[i] = encode(obs)
                rewards[i] = reward = float(reward)
                returns[i] += reward
                if terminated or truncated:
                    ended[i] = (bool(terminated), bool(truncated))
        except Exception as e:
            raise self._broken(i, self._clock - self._began[i] + 1, e) from e
        return rewards, ended

    def _advance_natively(
        self, actions: Sequence[Any], after: np.ndarray
    ) -> tuple[list[float], dict[int, tuple[bool, bool]]]:
        """The same, all at once."""
        assert self._native is not None
        chosen = np.array(actions)
        if len(self._running) == len(self.envs):
            obs, reward, terminated = self._native.step(chosen, None)
            after[:] = obs
            rewards = reward.tolist()
            ends = np.flatnonzero(terminated).tolist()
        else:
            running = np.array(self._running)
            after[running], some, terminated = self._native.step(chosen[running], running)
            reward = np.zeros(len(self.envs))
            reward[running] = some
            rewards, ends = reward.tolist(), running[terminated].tolist()
        self._returns = [total + one for total, one in zip(self._returns, rewards, strict=True)]
        return rewards, dict.fromkeys(ends, (True, False))

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def state_dict(self) -> dict[str, Any]:
        """Where every copy stands: episode numbers (S, E), the actions of the episodes under way, the observations."""
        dtype = torch.int64 if self._action_codec.discrete else torch.float32
        running = torch.zeros(len(self.envs), dtype=torch.bool)
        running[self._running] = True
        return {
            "episodes": torch.tensor(self._episodes).view(self._lead),
            "running": running.view(self._lead),
            "actions": [torch.tensor(np.array(self._actions(i)), dtype=dtype) for i in range(len(self.envs))],
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
        self._obs, self._current = self._obs_pages.take()
        self._obs[:] = stood
        discrete, dtype = self._action_codec.discrete, self._action_codec.dtype
        taken = [a.tolist() if discrete else list(a.numpy().astype(dtype)) for a in state["actions"]]
        self._clock = max(map(len, taken))
        for i in self._running:
            self._episodes[i] -= 1
            self._next_episode(i)
            for a in taken[i]:
                obs, reward, terminated, truncated, _ = self._steps[i](a)
                self._obs[i] = self._obs_codec.encode(obs)
                self._returns[i] += float(reward)
                if terminated or truncated:
                    break
            self._began[i] = self._clock - len(taken[i])
            if self._native is not None:
                self._native.adopt(i, self.envs[i])
        idle = next((a[0] for a in taken if a), None)  # stands in the log before an episode began
        rows = zip(*([idle] * (self._clock - len(a)) + a for a in taken), strict=True)
        self._log = [list(row) for row in rows]
        strayed = [i for i in self._running if not np.array_equal(self._obs[i], stood[i])]
        for i in strayed:
            self._next_episode(i)
        return self._settle(), strayed

    def _actions(self, i: int) -> list[Any]:
        """What copy ``i`` did in its episode under way."""
        begin = len(self._log) - (self._clock - self._began[i])
        return [row[i] for row in self._log[max(0, begin) :]]

    def _next_episode(self, i: int) -> None:
        self._episodes[i] += 1
        self._returns[i] = 0.0
        self._began[i] = self._clock
        s, e = divmod(i, self.num_envs)
        try:
            obs, _ = self.envs[i].reset(seed=rng.episode_seed(self.seeds[s], self.stream, e, self._episodes[i]))
            self._obs[i] = self._obs_codec.encode(obs)
        except Exception as error:
            raise self._broken(i, 0, error) from error
        if not _finite(self._obs[i]):
            self._check_finite(self._obs, [0.0] * len(self.envs))
        if self._native is not None:
            self._native.adopt(i, self.envs[i])

    def _settle(self) -> Tensor:
        """After episodes began and ``_obs`` was written to: the observations to act on, (S, E, *O)."""
        if self._away:
            self._current = self._current.to(self.device)
        oldest = min((self._began[i] for i in self._running), default=self._clock)
        self._deadline = oldest + self._limit if self._limit else math.inf
        if len(self._log) > 2 * (self._clock - oldest) + 1000:
            del self._log[: len(self._log) - (self._clock - oldest)]
        return self._current

    def _episode(self, i: int, terminated: bool) -> Episode:
        s, e = divmod(i, self.num_envs)
        taken, number = self._actions(i), self._episodes[i]
        reset_seed = rng.episode_seed(self.seeds[s], self.stream, e, number)
        return Episode(s, e, number, self._returns[i], len(taken), terminated, reset_seed, taken)

    def _flags(self, ended: dict[int, tuple[bool, bool]]) -> tuple[Tensor, Tensor]:
        """terminated and truncated, both (S, E)."""
        (terminated, one), (truncated, other) = self._flag_pages.take(), self._flag_pages.take()
        terminated[:] = truncated[:] = False
        for i, both in ended.items():
            terminated[i], truncated[i] = both
        return (one.to(self.device), other.to(self.device)) if self._away else (one, other)

    def _where(self, i: int, step: int) -> str:
        s, e = divmod(i, self.num_envs)
        return f"step {step} of episode {self._episodes[i]} (seed {self.seeds[s]}, env {e})"

    def _broken(self, i: int, step: int, e: Exception) -> EnvError:
        what = str(e) if isinstance(e, ValueError) else f"{type(e).__name__}: {e}"
        return EnvError(f"{self.maker.env_id} failed at {self._where(i, step)}: {what}")

    def _check_finite(self, obs: np.ndarray, rewards: list[float]) -> None:
        """Look closely at numbers that may not be finite; rewards have to be so in float32 as well."""
        with np.errstate(over="ignore"):
            for i in range(len(self.envs)):
                for name, value in (("a reward", np.float32(rewards[i])), ("an observation", obs[i])):
                    if not np.isfinite(value).all():
                        where = self._where(i, self._clock - self._began[i])
                        shown = np.array2string(np.array(value), threshold=8)
                        raise EnvError(f"{self.maker.env_id} returned {name} that is not finite at {where}: {shown}")


_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_NEITHER = (False, False)
_LARGE = 1e30  # a sum of rewards beyond this, or one that is not finite, is looked into


def _bare(env: gym.Env[Any, Any]) -> tuple[Callable[[Any], Any], int]:
    """The step function below Gymnasium's own two wrappers, and the time limit that one of them held.

    They cost a tenth of a cheap environment's step, and `EnvBatch` does their work itself. Any other wrapper stays.
    """
    if type(env) is TimeLimit and type(env.env) is OrderEnforcing and env.spec and env.spec.max_episode_steps:
        return env.env.env.step, env.spec.max_episode_steps
    return env.step, 0


def _finite(obs: np.ndarray) -> bool:
    """Whether all numbers are finite. Of a few, the sum as Python has it tells, and at a third of the cost."""
    if obs.dtype.kind != "f":
        return True
    if obs.size <= 64:
        return math.isfinite(sum(obs.reshape(-1).tolist()))
    return bool(np.isfinite(obs).all())
