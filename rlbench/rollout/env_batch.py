"""S x E Gymnasium environments as tensors: actions in, transitions out. When their episodes end is `episodes`' part."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from ..border.extras import forms, taken
from ..border.make import EnvMaker
from ..border.spaces import spec_of
from ..cuda.feed import away, send, sent
from ..errors import AgentError
from ..replay.packing import Packed, Page, Rows, Twofold
from ..types import NO_EXTRAS, Extras, Spec, Transition
from .array_pool import Pages
from .episodes import Episode as Episode
from .episodes import Episodes
from .restore_envs import Before, bring_back, state_of
from .said import Said
from .stepper import Copies, Ended

Asked = tuple[Tensor, Extras]  # actions, (S, E, ...), and what the agent said besides
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


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
        episodes: what the copies are in the midst of.
        asked: what was asked of a step that failed, in which no copy counts as having moved; None after any other.
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
        self.device, self.pausing = torch.device(device), pausing
        self.asked: Asked | None = None
        self.finished: list[Episode] = []
        self.episodes = Episodes(maker, self.seeds, num_envs, stream, keep_going)
        self.spec: Spec = spec_of(
            self.envs[0], maker.env_id, len(self.seeds), num_envs, self.device, time_limit=maker.time_limit,
            extras=forms(maker.extras), without=taken(maker.extras),
        )  # fmt: skip
        self._action_codec, obs_codec = self.copies.action_codec, self.copies.obs_codec
        self._first = self._action_codec.start
        self._last = self._first + (self.spec.num_actions or 0) - 1
        self._lead = (len(self.seeds), num_envs)
        self._action_shape = (*self._lead, *self.spec.action_shape)
        self._obs_pages = Pages(self._lead, obs_codec.shape, obs_codec.dtype, self.device)
        self._reward_pages = Pages(self._lead, (), np.dtype(np.float32), self.device)
        self._flag_pages = Pages(self._lead, (), np.dtype(np.bool_), self.device)
        learned = stream == "env"  # from these alone, and to these alone one comes back
        packed = learned and self.spec.obs_dtype == torch.float32 and not self.spec.extras
        self._rows = Rows(self.spec) if packed else None
        self._said = Said(self.spec)
        self._plain = self._action_codec.discrete and self._first == 0  # actions, as given and as taken
        self._away = away(self.device)
        self._nowhere = torch.zeros(self._lead, dtype=torch.bool)
        self._never = self._nowhere.to(self.device)
        self.episodes.obs, self._here = self._obs_pages.take()  # (n, *O), and the same (S, E, *O)
        self._current = self._here  # on the device
        if learned:
            self.episodes.watch()

    def _turn(self) -> np.ndarray:
        """A new page for the observations; what stood on the old one."""
        stood = self.episodes.obs
        self.episodes.obs, self._here = self._obs_pages.take()
        return stood

    @property
    def copies(self) -> Copies:
        return self.episodes.copies

    @property
    def broken(self) -> dict[int, str]:
        """Positions of the seeds that were stopped because of numbers that are not finite, and what came."""
        return self.episodes.broken

    @property
    def envs(self) -> list[gym.Env[Any, Any]]:
        """The S * E environments, seed by seed. Where they are stepped all at once their own state is not kept up."""
        return self.copies.envs

    @property
    def running(self) -> bool:
        """Whether any copy is still being stepped."""
        return bool(self.episodes.running)

    def stop(self, seed: int, env: int | None = None) -> None:
        """Step no more the copies of the seed at position ``seed``, or only its copy ``env``.

        From here on they repeat their last observation with reward 0.
        """
        self.episodes.stop(seed, env)

    def rest(self) -> None:
        """All copies stand still, and none is broken; what comes next from any of them is another episode."""
        self.episodes.running, self.episodes.broken = [], {}
        self.episodes.fresh = list(range(len(self.episodes.numbers)))
        self._turn()
        self.episodes.obs[:] = 0
        self._settle()

    def begin(self, starts: Sequence[tuple[int, int, int]]) -> None:
        """Let copies that stand still begin an episode each.

        Args:
            starts: the position of a seed, its copy, and the number of the episode. No more copies of a seed begin
                once one of them breaks.
        """
        episodes = self.episodes
        stood = self._turn()
        episodes.obs[:] = stood
        copies = [seed * self.num_envs + env for seed, env, _ in starts]
        episodes.running = sorted({*episodes.running, *copies})
        for i, (seed, _, episode) in zip(copies, starts, strict=True):
            if seed not in episodes.broken:
                episodes.numbers[i] = episode - 1
                episodes.next(i)
        self._settle()

    @property
    def obs(self) -> Tensor:
        """What to act on, (S, E, *O)."""
        return self._current

    @property
    def extras(self) -> Extras:
        """What the copies say with the observations to act on, of that which the agent wants; (S, E, ...) each."""
        return self._said.standing.there

    @property
    def started(self) -> Tensor | None:
        """Whose episode begins with the observations to act on, (S, E) bool on the device; None where none does."""
        if not self.episodes.fresh:
            return None
        mask = np.zeros(self._lead, np.bool_)
        mask.reshape(-1)[self.episodes.fresh] = True
        return sent(mask, self.device)

    @property
    def moving(self) -> int:
        """How many copies are being stepped."""
        return len(self.episodes.running)

    def reset(self, episode: int = 0) -> Tensor:
        """Start every copy afresh with its episode number ``episode``; (S, E, *O)."""
        self._turn()
        self.episodes.begin_all(episode)
        return self._settle()

    def step(self, action: Tensor, said: Extras = NO_EXTRAS) -> tuple[Transition, Tensor]:
        """Step every running copy, and start the next episode where one ended.

        Args:
            action: (S, E) int64, or (S, E, *action_shape) as `Spec` has it.
            said: what the agent said besides, (S, E, ...) each: it becomes part of the transition's extras.

        Returns:
            The transition, with the true next observations, and the observations to act on next, (S, E, *O). Do not
            write to them: they may share memory with each other and with later ones.

        Raises:
            AgentError: the actions are no such tensor.
            EnvError: a copy raised, or returned NaN, infinity or a wrong shape. Names env, seed, episode and step.
                All copies then stand where they stood before, as far as `state_dict` tells of them.
        """
        stood, here, current, heard = self.episodes.standing(), self._here, self._current, self._said.standing
        self.asked = None
        try:
            transition, obs = self._step(action)
        except BaseException as e:
            self.episodes.restore(stood)
            self._here, self._current = here, current
            self._said.standing = heard
            self.asked = None if isinstance(e, AgentError) else (action, said)
            raise
        if said:
            transition.extras = {**transition.extras, **said}
        return transition, obs

    def _step(self, action: Tensor) -> tuple[Transition, Tensor]:
        if isinstance(action, Tensor) and action.requires_grad:
            action = action.detach()  # what is recorded and learned from needs no graph
        there, episodes = action, self.episodes
        if self._away and isinstance(action, Tensor):
            action = action.cpu()  # the one place in a step that waits for the device
        actions = self._decoded(action)
        page = None if self._rows is None else self._rows.take()
        after, next_obs = self._obs_pages.take() if page is None else (page.after, page.next_obs)
        rewards, ended = episodes.step(actions, after)
        reward_array, reward = self._reward_pages.take() if page is None else (page.rewards, page.reward)
        reward_array[:] = rewards
        if page is not None:
            page.action[:] = actions if self._plain else action.detach().numpy().reshape(page.action.shape)
            page.obs[:] = episodes.obs
            for i, how in ended.items():
                page.flags[i] = how
        obs, current = self._here, self._current
        episodes.obs, self._here, self.finished = after, next_obs, []
        terminated = truncated = self._nowhere
        said = self._said
        before = said.standing
        if said:
            said.hear(self.copies.said)
        after_that = said.standing
        if ended:
            terminated, truncated = self._flags(ended)
            self._turn()
            episodes.obs[:] = after
            self.finished = episodes.finish(ended, pausing=self.pausing)
            self._settle()
        else:
            self._current = self._here
            said.check(episodes)
        if page is not None and not self._away:
            packed = Packed._make((obs, action, reward, next_obs, terminated, truncated))
            packed.row = page.row
            return packed, self._current
        step = Transition._make((obs, action, reward, next_obs, terminated, truncated))
        step.extras, step.next_extras = before.here, after_that.here
        if self._away:
            step = self._sent(step, current, there, page, bool(ended))
            step.extras, step.next_extras = before.there, after_that.there
        return step, self._current

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
            sent = Packed._make((obs, action, row[..., at.reward], next_obs, *flags))
            sent.row, sent.there = page.row, row
        if not ended:
            self._current = next_obs
        return sent

    def _decoded(self, action: Tensor) -> Sequence[Any]:
        """The actions of all copies as their environments take them."""
        if not isinstance(action, Tensor):
            raise AgentError(f"the agent gave actions of type {type(action).__name__}, expected a Tensor")
        if action.shape != self._action_shape:
            raise AgentError(f"the agent gave actions of shape {tuple(action.shape)}, expected {self._action_shape}")
        if not self._action_codec.counts and action.dtype != torch.float32:
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

    def drain(self) -> list[Episode]:
        """The episodes that ended and are not in any `finished` yet: none, where nobody runs ahead."""
        return []

    def close(self) -> None:
        self.copies.close()

    def state_dict(self) -> dict[str, Any]:
        """Where every copy stands: see `restore_envs.state_of`."""
        return state_of(self.episodes)

    def load_state_dict(self, state: dict[str, Any], before: Before | None = None) -> tuple[Tensor, list[int]]:
        """Bring every copy back to where it stood: see `restore_envs.bring_back`.

        Args:
            state: from `state_dict`.
            before: gives the actions of earlier episodes, where they are known.

        Returns:
            The observations to act on, (S, E, *O), and which of all n copies did not come back.
        """
        self._turn()
        strayed = bring_back(self.episodes, state, before)
        return self._settle(), strayed

    def _settle(self) -> Tensor:
        """After episodes began: the observations to act on, (S, E, *O)."""
        self.episodes.settle()
        if self._said:
            self._said.hear(self.copies.said)
            self._said.check(self.episodes)
        self._current = send(self._here, self.device) if self._away else self._here
        return self._current

    def _flags(self, ended: Ended) -> tuple[Tensor, Tensor]:
        """terminated and truncated, both (S, E)."""
        (terminated, one), (truncated, other) = self._flag_pages.take(), self._flag_pages.take()
        terminated[:] = truncated[:] = False
        for i, both in ended.items():
            terminated[i], truncated[i] = both
        return one, other
