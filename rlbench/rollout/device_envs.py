"""S x E copies of an environment that lies where the agent does: what `EnvBatch` is to Gymnasium's, to a `World`.

A step is a handful of operations on tensors that stay in the device's memory, one graph on a card, and nobody waits for
it: what the host must know, for its record, it reads in pages of some steps, when they have long been taken. So that
episodes begin without it too, the states in which the next ones of every copy start lie there beforehand.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..border.extras import forms, taken
from ..border.make import EnvMaker
from ..border.spaces import action_codec, spec_of
from ..cuda.feed import memory, sent
from ..cuda.graphs import Graph
from ..errors import AgentError
from ..types import NO_EXTRAS, Extras, Spec, Transition
from ..worlds.card import world_on
from ..worlds.world import World
from .episodes import Episode
from .ledger import ENDED, TERMINATED, Ledger
from .restore_envs import Before

PAGE = 32  # vector steps that are read at once
MOST = 2**28  # bytes of random numbers that lie ready; of episodes that take many, fewer lie ready


class DeviceEnvs:
    """S x E copies of a world.

    Args:
        world: how they move.
        maker: of the environment that it stands for: its spaces and its time limit.
        seeds: the S seed numbers; the E copies of a seed differ by their index.
        num_envs: E.
        device: where all of it lies.
        stream: names what the episodes are for; another name gives other episodes.
        page: steps that are read at once. With 1 an episode's end is known when the step is over.

    Attributes:
        spec: what an agent needs to know.
        finished: the episodes that became known to have ended by the last `step`; `Episode.late` says how long before.
        asked: always None: no step fails.
        broken: always empty: a world gives finite numbers, whatever the actions.
    """

    asked: Any = None

    def __init__(
        self,
        world: World,
        maker: EnvMaker,
        seeds: Sequence[int],
        num_envs: int = 1,
        *,
        device: torch.device | str = "cpu",
        stream: str = "env",
        page: int = PAGE,
    ) -> None:
        self.maker, self.seeds, self.num_envs = maker, tuple(seeds), num_envs
        self.device = torch.device(device)
        self.world = world_on(world, self.device)
        self.broken: dict[int, str] = {}
        self.finished: list[Episode] = []
        env = maker()
        try:
            self.spec: Spec = spec_of(
                env, maker.env_id, len(self.seeds), num_envs, self.device, time_limit=maker.time_limit,
                extras=forms(maker.extras), without=taken(maker.extras),
            )  # fmt: skip
            codec = action_codec(env.action_space, maker.env_id)
        finally:
            env.close()
        n = len(self.seeds) * num_envs
        if world.draws:
            page = max(1, min(page, MOST // (16 * n * world.draws)))
        self.page, self._ready = page, 2 * page + 1  # the host is at most two pages behind
        self.ledger = Ledger(self.seeds, num_envs, stream, codec)
        self._limit = maker.time_limit
        self._lead = (len(self.seeds), num_envs)
        self._action_shape = (*self._lead, *self.spec.action_shape)
        self._width = math.prod(self.spec.action_shape)  # 1 of an index

        def room(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        self._state = room(n, world.size, dtype=world.dtype)
        self._returns = room(n)
        self._clock, self._slot = room(n, dtype=torch.int64), room(n, dtype=torch.int64)
        self._moving = torch.ones(n, dtype=torch.bool, device=self.device)
        self._fresh = torch.ones(n, dtype=torch.bool, device=self.device)
        self._starts = room(n * self._ready, world.size, dtype=world.dtype)
        self._draws = room(n * self._ready, world.draws) if world.draws else None
        self._first = torch.arange(0, n * self._ready, self._ready, device=self.device)
        self._log = room(page, n, self._width + 2)  # actions, what became of the episode, its return
        self._line = room(1, dtype=torch.int64)
        self._lines = 0  # the same, on the host
        self._wrong = torch.zeros((), dtype=torch.bool, device=self.device)
        self._obs = self.world.obs(self._state).clone()
        self._filled = np.zeros(n, np.int64)  # of each copy, the first episode that does not lie ready
        self._told = self._said(self._state)
        self._pages: list[tuple[Tensor, torch.cuda.Event | None]] = []  # on their way to the host
        self._all = Graph(lambda action: self._advance(action, None), self.device)
        self._some = Graph(lambda action: self._advance(action, self._moving), self.device)

    @property
    def running(self) -> bool:
        """Whether any copy is still being stepped."""
        return bool(self.ledger.running.any())

    @property
    def moving(self) -> int:
        """How many copies are being stepped."""
        return int(self.ledger.running.sum())

    @property
    def obs(self) -> Tensor:
        """What to act on, (S, E, *O)."""
        return self._seen(self._obs)

    @property
    def extras(self) -> Extras:
        """What the copies say with the observations to act on, of that which the agent wants; (S, E, ...) each."""
        return self._told or NO_EXTRAS

    @property
    def started(self) -> Tensor:
        """Whose episode begins with the observations to act on, (S, E) bool."""
        return self._fresh.view(self._lead)

    def stop(self, seed: int, env: int | None = None) -> None:
        """Step no more the copies of the seed at position ``seed``, or only its copy ``env``; they repeat their last
        observation with reward 0."""
        e = self.num_envs
        where = slice(seed * e, seed * e + e) if env is None else slice(seed * e + env, seed * e + env + 1)
        self.ledger.running[where] = False
        self._moving.copy_(sent(self.ledger.running.copy(), self.device))

    def reset(self, episode: int = 0) -> Tensor:
        """Start every copy afresh with its episode number ``episode``; (S, E, *O)."""
        self.ledger.begin_all(episode)
        self._stand()
        return self.obs

    def step(self, action: Tensor, said: Extras = NO_EXTRAS) -> tuple[Transition, Tensor]:
        """Step every running copy, and start the next episode where one ended.

        Args:
            action: (S, E) int64, or (S, E, *action_shape) as `Spec` has it.
            said: what the agent said besides, (S, E, ...) each: it becomes part of the transition's extras.

        Returns:
            The transition, with the true next observations, and the observations to act on next, (S, E, *O). They hold
            it until the next step.

        Raises:
            AgentError: the actions are no such tensor, or those of a page that has been read were none.
        """
        if not isinstance(action, Tensor) or action.shape != self._action_shape:
            shown = tuple(action.shape) if isinstance(action, Tensor) else type(action).__name__
            raise AgentError(f"the agent gave actions of shape {shown}, expected {self._action_shape}")
        if action.dtype != self.spec.action_dtype:
            raise AgentError(f"the agent gave actions of {action.dtype}, expected {self.spec.action_dtype}")
        if action.requires_grad:
            action = action.detach()
        step = self._all if self.ledger.running.all() else self._some
        obs, reward, next_obs, terminated, truncated, *told = step(action)
        transition = Transition._make((obs, action, reward, next_obs, terminated, truncated))
        if told or said:
            names, half = tuple(self._told), len(told) // 2
            transition.extras = {**dict(zip(names, told[:half], strict=True)), **said}
            transition.next_extras = dict(zip(names, told[half:], strict=True))
        self.ledger.clock += 1
        self._lines += 1
        self.finished = self._turn() if self._lines == self.page else []
        return transition, self.obs

    def drain(self) -> list[Episode]:
        """Wait for the device, and read all that has happened; the episodes that became known to have ended.

        Raises:
            AgentError: an action was none.
        """
        self._send()
        return self._read(0)

    def _advance(self, action: Tensor, moving: Tensor | None) -> tuple[Tensor, ...]:
        """A step of all copies, or of those that are ``moving``, (n,) bool; operations on tensors alone."""
        action = action.reshape(-1, *self.spec.action_shape)
        before, seen, told = self._state.clone(), self._obs.clone(), [x.clone() for x in self._told.values()]
        self._wrong |= self._are_wrong(action)
        state, reward, terminated = self.world.step(before, action, self._draw())
        clock = self._clock + 1
        truncated = torch.zeros_like(terminated) if self._limit is None else clock >= self._limit
        if moving is not None:
            state, clock = torch.where(moving.unsqueeze(1), state, before), torch.where(moving, clock, self._clock)
            reward = reward.masked_fill(~moving, 0.0)
            terminated, truncated = terminated & moving, truncated & moving
        next_obs, next_said = self.world.obs(state), self._said(state)
        ended, total = terminated | truncated, self._returns + reward
        how = ended * ENDED + terminated * TERMINATED
        line = torch.cat([action.reshape(-1, self._width).double(), how.double().unsqueeze(1), total.unsqueeze(1)], 1)
        self._log.index_copy_(0, self._line, line.unsqueeze(0))
        self._line += 1
        self._slot.copy_((self._slot + ended) % self._ready)
        start = self._starts.index_select(0, self._first + self._slot)
        self._state.copy_(torch.where(ended.unsqueeze(1), start, state))
        self._clock.copy_(clock * ~ended)
        self._returns.copy_(total.masked_fill(ended, 0.0))
        self._fresh.copy_(ended)
        self._look()
        flags = (x.view(self._lead) for x in (terminated, truncated))
        paid = reward.float().view(self._lead)
        return self._seen(seen), paid, self._seen(next_obs), *flags, *told, *next_said.values()

    def _look(self) -> None:
        """What is seen and said of all copies where they stand."""
        self._obs.copy_(self.world.obs(self._state))
        for name, x in self._said(self._state).items():
            self._told[name].copy_(x)

    def _draw(self) -> Tensor | None:
        """(n,) the next random number of every copy's episode."""
        if self._draws is None:
            return None
        place = self._clock.clamp(max=self.world.draws - 1)  # a copy that stands still may have none left
        return self._draws.view(-1).index_select(0, (self._first + self._slot) * self.world.draws + place)

    def _are_wrong(self, action: Tensor) -> Tensor:
        """Whether any is no action of the environment's."""
        if self.spec.num_actions is not None:
            return ((action < 0) | (action >= self.spec.num_actions)).any()
        return ~torch.isfinite(action).all()

    def _said(self, state: Tensor) -> dict[str, Tensor]:
        """What the agent wants to be told of copies in these states, (S, E, ...) each."""
        if not self.spec.extras:
            return {}
        said = self.world.said(state)
        return {name: said[name].view(*self._lead, *form.shape) for name, form in self.spec.extras.items()}

    def _seen(self, obs: Tensor) -> Tensor:
        return obs.view(*self._lead, *self.spec.obs_shape)

    def _turn(self) -> list[Episode]:
        """A page is full: send it on its way, and read the one before, which has arrived by now."""
        self._send()
        return self._read(1 if self.page > 1 else 0)

    def _send(self) -> None:
        """Send what has been written on the page, and begin another."""
        if not self._lines:
            return
        there = torch.cat([self._log[: self._lines].flatten(), self._wrong.double().view(1)])
        here, arrived = memory(there.shape, there.dtype, self.device), None
        here.copy_(there, non_blocking=True)
        if self.device.type == "cuda":
            arrived = torch.cuda.Event()
            arrived.record(torch.cuda.current_stream(self.device))
        self._pages.append((here, arrived))
        self._line.zero_()
        self._lines = 0

    def _read(self, but: int) -> list[Episode]:
        """What stands in the pages that are on their way, but for the newest ``but``."""
        finished: list[Episode] = []
        while len(self._pages) > but:
            here, arrived = self._pages.pop(0)
            if arrived is not None:
                arrived.synchronize()
            rows = self._rows(here)
            if here[-1]:
                raise self._no_action(rows[..., : self._width])
            finished += self.ledger.read(rows)
        self._prepare()
        return finished

    def _rows(self, here: Tensor) -> np.ndarray:
        """A page, (steps, n, actions | what became of the episode | its return)."""
        return here[:-1].numpy().reshape(-1, len(self.ledger.running), self._width + 2)

    def _no_action(self, actions: np.ndarray) -> AgentError:
        n = self.spec.num_actions
        if n is None:
            shown = actions[~np.isfinite(actions).all(-1)].ravel()[:8].tolist()
            return AgentError(f"the agent gave an action that is not finite: {shown}")
        shown = actions[(actions < 0) | (actions >= n)].ravel()[:8].astype(int).tolist()
        return AgentError(f"the agent gave the actions {shown}, expected integers from 0 to {n - 1}")

    def _prepare(self) -> None:
        """Lay ready how the next episodes of every copy begin."""
        wanted = self.ledger.numbers + self._ready
        missing = wanted - self._filled
        if not missing.any():
            return
        copy = np.repeat(np.arange(len(missing)), missing)
        within = np.arange(len(copy)) - np.repeat(np.cumsum(missing) - missing, missing)
        number = self._filled[copy] + within
        starts = self.world.starts(self.ledger.reset_seeds(copy, number))
        where = sent(copy * self._ready + number % self._ready, self.device)
        self._starts.index_copy_(0, where, sent(np.ascontiguousarray(starts.state), self.device))
        if self._draws is not None:
            self._draws.index_copy_(0, where, sent(np.ascontiguousarray(starts.draws), self.device))
        self._filled = wanted

    def _stand(self) -> None:
        """All copies at the beginning of the episodes that the ledger names."""
        self._pages.clear()
        self._lines = 0
        for zero in (self._line, self._wrong, self._clock, self._returns):
            zero.zero_()
        self._filled = self.ledger.numbers.copy()
        self._prepare()
        self._slot.copy_(sent(self.ledger.numbers % self._ready, self.device))
        self._state.copy_(self._starts.index_select(0, self._first + self._slot))
        self._moving.copy_(sent(self.ledger.running.copy(), self.device))
        self._fresh.copy_(sent(self.ledger.running & (self.ledger.began == self.ledger.clock), self.device))
        self._look()

    def state_dict(self) -> dict[str, Any]:
        """As `EnvBatch.state_dict`. All that has happened must have been read: see `drain`."""
        if self._pages or self._lines:
            raise RuntimeError("episodes may have ended that nobody has been told of: call drain() first")
        return {**self.ledger.state_dict(), "obs": self._obs.cpu().clone()}

    def load_state_dict(self, state: dict[str, Any], before: Before | None = None) -> tuple[Tensor, list[int]]:
        """Bring every copy back to where it stood, all at once.

        Args:
            state: from `state_dict`.
            before: not needed: nothing is kept over a reset.

        Returns:
            The observations to act on, (S, E, *O), and which of all n copies did not come back, and begin their next
            episode.
        """
        self.ledger.load_state_dict(state)
        strayed = self._again()
        strayed |= (self._obs.cpu() != state["obs"]).view(len(strayed), -1).any(1).numpy()
        strayed &= self.ledger.running
        if strayed.any():
            self.ledger.skip(strayed)
            self._again()
        return self.obs, np.flatnonzero(strayed).tolist()

    def _again(self) -> np.ndarray:
        """Take the steps of the episodes under way once more; (n,) bool: which of them ended."""
        self._stand()
        ended = torch.zeros_like(self._moving)
        count = sent(self.ledger.clock - self.ledger.began, self.device)
        for t, action in enumerate(sent(self.ledger.under_way(), self.device)):
            due = count > t
            state, reward, terminated = self.world.step(self._state, action, self._draw())
            self._state.copy_(torch.where(due.unsqueeze(1), state, self._state))
            self._returns += torch.where(due, reward, 0.0)
            self._clock += due
            ended |= due & (terminated if self._limit is None else terminated | (self._clock >= self._limit))
        self._look()
        found: np.ndarray = ended.cpu().numpy()
        return found

    def close(self) -> None:
        """Nothing is open."""
