"""S x E Gymnasium environments and their episodes. The only file that knows when to reset.

Every episode starts with ``env.reset(seed=...)`` where the seed is a hash of (seed, env, episode). The actions of the
episode under way are kept, so that an environment which is deterministic given its seed can be brought back to where it
stood by resetting it and replaying them.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from .. import rng
from ..border import leaves
from ..border.calls import ForeignError, told
from ..border.make import EnvMaker
from ..border.spaces import spec_of
from ..errors import AgentError, EnvError, NotFiniteError
from ..feed import away, send
from ..packing import Packed, Page, Rows, Twofold
from ..types import Spec, Transition
from .array_pool import Pages
from .comeback import Before, bring_back, state_of
from .digests import Digests
from .stepper import Copies, CopyError, Ended, finite


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
        keep_going: stop a seed whose environment returns NaN or infinity, and go on with the others.
        pausing: a copy stands still after its episode, until `begin` starts another.

    Attributes:
        spec: what an agent needs to know.
        finished: the episodes that the last `step` ended.
        broken: positions of the seeds that were stopped because of such numbers, and what came.
        asked: the actions of a step that failed, in which no copy counts as having moved; None after any other.
    """

    def __init__(
        self,
        maker: EnvMaker,
        seeds: Sequence[int],
        num_envs: int = 1,
        *,
        device: torch.device | str = "cpu",
        stream: str = "env",
        keep_going: bool = False,
        pausing: bool = False,
    ) -> None:
        self.maker, self.seeds, self.num_envs = maker, tuple(seeds), num_envs
        self.device = torch.device(device)
        self._away = away(self.device)
        self.stream, self.keep_going, self.pausing = stream, keep_going, pausing
        self.asked: Tensor | None = None
        self.broken: dict[int, str] = {}
        self.finished: list[Episode] = []
        n = len(self.seeds) * num_envs
        self.copies = Copies(maker, n)
        self.spec: Spec = spec_of(self.envs[0], maker.env_id, len(self.seeds), num_envs, self.device)
        self._action_codec, obs_codec = self.copies.action_codec, self.copies.obs_codec
        self._first = self._action_codec.start
        self._last = self._first + (self.spec.num_actions or 0) - 1
        self._lead = (len(self.seeds), num_envs)
        self._action_shape = (*self._lead, *self.spec.action_shape)
        self._limit = self.copies.limit
        self._running = list(range(n))
        self._episodes = [-1] * n  # index of the episode under way
        self._returns = [0.0] * n
        self._clock = 0  # vector steps since the last `reset`
        self._began = [0] * n  # by that clock, of the episode under way
        self._deadline = math.inf  # by that clock, when the first of them reaches the time limit
        self._log: list[Sequence[Any]] = []  # what all copies did in the newest vector steps, as many as still matter
        self._obs_pages = Pages(self._lead, obs_codec.shape, obs_codec.dtype, self.device)
        self._reward_pages = Pages(self._lead, (), np.dtype(np.float32), self.device)
        self._flag_pages = Pages(self._lead, (), np.dtype(np.bool_), self.device)
        packs = stream == "env" and self.spec.obs_dtype == torch.float32  # only these are learned from
        self._rows = Rows(self.spec) if packs else None
        self._plain = self._action_codec.discrete and self._first == 0  # actions, as given and as taken
        self._nowhere = torch.zeros(self._lead, dtype=torch.bool)
        self._never = self._nowhere.to(self.device)
        self._obs, self._here = self._obs_pages.take()  # (n, *O), and the same (S, E, *O)
        self._current = self._here  # likewise, on the device
        watched = (
            stream == "env" and not self.copies.known
        )  # only these are brought back, and may come to stand elsewhere
        self._digests = Digests(n, self._obs.nbytes) if watched else None

    @property
    def envs(self) -> list[gym.Env[Any, Any]]:
        """The S * E environments, seed by seed. Where they are stepped all at once their own state is not kept up."""
        return self.copies.envs

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

    def rest(self) -> None:
        """All copies stand still, and none is broken."""
        self._running, self.broken = [], {}
        self._obs, self._here = self._obs_pages.take()
        self._obs[:] = 0
        self._settle()

    def begin(self, seed: int, env: int, episode: int) -> None:
        """Let a copy that stands still begin its episode number ``episode``."""
        i = seed * self.num_envs + env
        stood = self._obs
        self._obs, self._here = self._obs_pages.take()
        self._obs[:] = stood
        self._episodes[i] = episode - 1
        self._running = sorted({*self._running, i})
        self._next_episode(i)
        self._settle()

    @property
    def obs(self) -> Tensor:
        """What to act on, (S, E, *O)."""
        return self._current

    @property
    def moving(self) -> int:
        """How many copies are being stepped."""
        return len(self._running)

    def reset(self, episode: int = 0) -> Tensor:
        """Start every copy afresh with its episode number ``episode``; (S, E, *O)."""
        n = len(self.envs)
        self._running = list(range(n))
        self._episodes = [episode - 1] * n
        self._clock, self._log = 0, []
        self._obs, self._here = self._obs_pages.take()
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
                All copies then stand where they stood before, as far as `state_dict` tells of them.
        """
        stood = self._returns, self._clock, self._obs, self._here, self._episodes, self._began, self._running
        current, broken, digests, logged = self._current, self.broken, self._digests, len(self._log)
        self.asked = None
        try:
            return self._step(action)
        except BaseException as e:
            self._returns, self._clock, self._obs, self._here, self._episodes, self._began, self._running = stood
            self._current, self.broken, self._digests = current, broken, digests
            del self._log[logged:]
            self.asked = None if isinstance(e, AgentError) else action
            raise

    def _step(self, action: Tensor) -> tuple[Transition, Tensor]:
        if isinstance(action, Tensor) and action.requires_grad:
            action = action.detach()  # what is recorded and learned from needs no graph
        there = action
        if self._away and isinstance(action, Tensor):
            action = action.cpu()  # the one place in a step that waits for the device
        actions = self._decoded(action)
        page = None if self._rows is None else self._rows.take()
        after, next_obs = self._obs_pages.take() if page is None else (page.after, page.next_obs)
        if len(self._running) < len(self.envs):
            after[:] = self._obs
        try:
            rewards, ended = self.copies.step(actions, self._running, after)
        except CopyError as e:
            raise self._broken(e.i, self._clock - self._began[e.i] + 1, e.__cause__) from e.__cause__
        self._returns = [total + reward for total, reward in zip(self._returns, rewards, strict=True)]
        self._log.append(actions)
        self._clock += 1
        if self._clock >= self._deadline:
            for i in self._running:
                if self._clock - self._began[i] >= self._limit:
                    ended[i] = (ended.get(i, _NEITHER)[0], True)
        if not finite(after) or not abs(sum(rewards)) < _LARGE:
            if not action.isfinite().all():
                raise AgentError(f"the agent gave an action that is not finite: {action.flatten()[:8].tolist()}")
            for i, what in self._not_finite(after, rewards):
                if not self.keep_going:
                    raise NotFiniteError(what, i // self.num_envs)
                self.broken = {**self.broken, i // self.num_envs: what}
                self.stop(i // self.num_envs)
                after[i], rewards[i] = self._obs[i], 0.0
            ended = {i: how for i, how in ended.items() if i // self.num_envs not in self.broken}
        if self._digests is not None:
            if ended:  # a reset may fail
                self._digests = self._digests.copy()
            self._digests.add(after, rewards)
        reward_array, reward = self._reward_pages.take() if page is None else (page.rewards, page.reward)
        reward_array[:] = rewards
        if page is not None:
            page.action[:] = actions if self._plain else action.detach().numpy().reshape(page.action.shape)
            page.obs[:] = self._obs
            for i, how in ended.items():
                page.flags[i] = how
        obs, current = self._here, self._current
        self._obs, self._here, self.finished = after, next_obs, []
        terminated = truncated = self._nowhere
        if ended:
            terminated, truncated = self._flags(ended)
            self._obs, self._here = self._obs_pages.take()
            self._obs[:] = after
            self._episodes, self._began = self._episodes.copy(), self._began.copy()  # a reset that fails changes none
            self.finished = [self._episode(i, ended[i][0]) for i in sorted(ended)]
            if self.pausing:
                self._running = [i for i in self._running if i not in ended]
            else:
                for i in sorted(ended):
                    self._next_episode(i)
            self._settle()
        else:
            self._current = self._here
        here = Transition(obs, action, reward, next_obs, terminated, truncated)
        if self._away:
            return self._sent(here, current, there, page, bool(ended)), self._current
        if page is None:
            return here, self._current
        packed = Packed(*here)
        packed.row = page.row
        return packed, self._current

    def _sent(self, here: Transition, obs: Tensor, action: Tensor, page: Page | None, ended: bool) -> Transition:
        """``here`` on the device, where ``obs`` and ``action`` are already; what follows is acted on, unless an episode
        ended."""
        flags = (send(here.terminated, self.device), send(here.truncated, self.device)) if ended else [self._never] * 2
        sent: Twofold | Packed
        if page is None:
            reward, next_obs = send(here.reward, self.device), send(here.next_obs, self.device)
            sent = Twofold(obs, action, reward, next_obs, *flags)
            sent.host = here
        else:  # all of it at once
            assert self._rows is not None
            row, at = send(page.whole, self.device), self._rows.layout
            next_obs = row[..., at.next_obs :].reshape(here.next_obs.shape)
            sent = Packed(obs, action, row[..., at.reward], next_obs, *flags)
            sent.row = page.row
        if not ended:
            self._current = next_obs
        return sent

    def _decoded(self, action: Tensor) -> Sequence[Any]:
        """The actions of all copies as their environments take them."""
        if not isinstance(action, Tensor):
            raise AgentError(f"the agent gave actions of type {type(action).__name__}, expected a Tensor")
        if action.shape != self._action_shape:
            raise AgentError(f"the agent gave actions of shape {tuple(action.shape)}, expected {self._action_shape}")
        if not self._action_codec.discrete and action.dtype != torch.float32:
            raise AgentError(f"the agent gave actions of {action.dtype}, expected torch.float32")
        try:
            actions = self._action_codec.decode(action)
        except ValueError as e:
            raise AgentError(f"the agent gave the actions {e}") from e
        if self._action_codec.discrete and (
            action.dtype not in _INTEGERS or min(actions) < self._first or max(actions) > self._last
        ):
            raise AgentError(
                f"the agent gave the actions {action.flatten()[:8].tolist()} of {action.dtype}, "
                f"expected integers from 0 to {self._last - self._first}"
            )
        return actions

    def close(self) -> None:
        self.copies.close()

    def state_dict(self) -> dict[str, Any]:
        """Where every copy stands: see `comeback.state_of`."""
        return state_of(self)

    def load_state_dict(self, state: dict[str, Any], before: Before | None = None) -> tuple[Tensor, list[int]]:
        """Bring every copy back to where it stood: see `comeback.bring_back`."""
        return bring_back(self, state, before)

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
            self._obs[i] = self.copies.reset(i, rng.episode_seed(self.seeds[s], self.stream, e, self._episodes[i]))
        except CopyError as error:
            raise self._broken(i, 0, error.__cause__) from error.__cause__
        if not finite(self._obs[i]):
            what = self._odd(i, 0, "an observation", self._obs[i])
            if not self.keep_going:
                raise NotFiniteError(what, s)
            self.broken = {**self.broken, s: what}
            self.stop(s)
            self._obs[i] = 0
        if self._digests is not None:
            self._digests.begin(i, self._obs[i : i + 1])

    def _settle(self) -> Tensor:
        """After episodes began and ``_obs`` was written to: the observations to act on, (S, E, *O)."""
        self._current = send(self._here, self.device) if self._away else self._here
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

    def _flags(self, ended: Ended) -> tuple[Tensor, Tensor]:
        """terminated and truncated, both (S, E)."""
        (terminated, one), (truncated, other) = self._flag_pages.take(), self._flag_pages.take()
        terminated[:] = truncated[:] = False
        for i, both in ended.items():
            terminated[i], truncated[i] = both
        return one, other

    def _where(self, i: int, step: int) -> str:
        s, e = divmod(i, self.num_envs)
        return f"step {step} of episode {self._episodes[i]} (seed {self.seeds[s]}, env {e})"

    def _broken(self, i: int, step: int, e: BaseException | None) -> EnvError:
        assert e is not None
        error = ForeignError(self.maker.env_id, self._where(i, step), told(e))
        error.seed = i // self.num_envs
        return error

    def _not_finite(self, obs: np.ndarray, rewards: list[float]) -> Iterator[tuple[int, str]]:
        """The copies with numbers that float32 does not hold, and what they returned."""
        for i in self._running:
            step = self._clock - self._began[i]
            if not abs(rewards[i]) <= _LARGEST:
                yield i, self._odd(i, step, "a reward", np.array(rewards[i]))
            elif not np.isfinite(obs[i]).all():
                yield i, self._odd(i, step, "an observation", obs[i])

    def _odd(self, i: int, step: int, name: str, value: np.ndarray) -> str:
        """What to say of numbers that are not finite, or not in float32."""
        large = self.copies.obs_codec.too_large
        shown, what = leaves.shown(value), "is not finite"
        if large or np.isfinite(value).all():
            shown, what = (f"{large[0]:g}" if large else shown), "is too large for float32"
            large.clear()
        return f"{self.maker.env_id} returned {name} that {what} at {self._where(i, step)}: {shown}"


_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_NEITHER = (False, False)
_LARGEST = float(np.finfo(np.float32).max)
_LARGE = 1e30  # a sum of rewards beyond this, or one that is not finite, is looked into
