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
from ..cuda.feed import sent
from ..cuda.graphs import Graph
from ..errors import AgentError
from ..replay.packing import Packed, layout
from ..types import NO_EXTRAS, Extras, Spec, Transition
from ..worlds.card import world_on
from ..worlds.world import World
from .episodes import Episode
from .ledger import ENDED, TERMINATED, Ledger
from .logbook import Logbook
from .ready import Ready
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
        lends: whether the next step may overwrite what was given, for an agent that is known to keep copies.

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
        lends: bool = False,
    ) -> None:
        self.maker, self.seeds, self.num_envs = maker, tuple(seeds), num_envs
        self.device = torch.device(device)
        self.world = world_on(world, self.device)
        self._lends = lends
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
        ahead = 2 * page + 1  # steps that the device may be ahead of the host, and one
        self.ledger = Ledger(self.seeds, num_envs, stream, codec, ahead)
        self._ready = Ready(self.world, n, ahead, self.ledger.reset_seeds)
        packs = self.spec.obs_dtype == torch.float32 and not self.spec.extras
        self._row = layout(self.spec) if packs else None
        self._limit = maker.time_limit
        self._lead = (len(self.seeds), num_envs)
        self._action_shape = (*self._lead, *self.spec.action_shape)
        self._width = math.prod(self.spec.action_shape)  # 1 of an index

        def room(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        self._state = room(n, world.size, dtype=world.dtype)
        self._returns, self._clock = room(n), room(n, dtype=torch.int64)
        self._moving, self._fresh = (torch.ones(n, dtype=torch.bool, device=self.device) for _ in range(2))
        self._log = Logbook(page, n, self._width + 2, self.device)  # actions, what became of the episode, its return
        self._obs = self.world.obs(self._state).clone()
        self._told = self._said(self._state)
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
        return self._given(self._seen(self._obs))

    @property
    def extras(self) -> Extras:
        """What the copies say with the observations to act on, of that which the agent wants; (S, E, ...) each."""
        return {name: self._given(x) for name, x in self._told.items()} or NO_EXTRAS

    @property
    def started(self) -> Tensor:
        """Whose episode begins with the observations to act on, (S, E) bool."""
        return self._given(self._fresh.view(self._lead))

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
            The transition, with the true next observations, and the observations to act on next, (S, E, *O). Where it
            ``lends``, they hold it until the next step.

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
        terminated, truncated, *made = map(self._given, step(action))
        transition: Transition
        if self._row is not None:
            row, told = made[0], []
            at, shape = self._row, (*self._lead, *self.spec.obs_shape)
            obs, next_obs = (row[..., i : i + at.width - at.next_obs].view(shape) for i in (at.obs, at.next_obs))
            reward = row[..., at.reward]
            if not self._lends:  # to code that may ask for other views
                obs, next_obs, reward = obs.contiguous(), next_obs.contiguous(), reward.contiguous()
            transition = packed = Packed(obs, action, reward, next_obs, terminated, truncated)
            packed.there = row
        else:
            obs, reward, next_obs, *told = made
            transition = Transition(obs, action, reward, next_obs, terminated, truncated)
        if told or said:
            names, half = tuple(self._told), len(told) // 2
            transition.extras = {**dict(zip(names, told[:half], strict=True)), **said}
            transition.next_extras = dict(zip(names, told[half:], strict=True))
        self.ledger.clock += 1
        self.finished = self._turn() if self._log.count() else []
        return transition, self.obs

    def drain(self) -> list[Episode]:
        """Wait for the device, and read all that has happened; the episodes that became known to have ended.

        Raises:
            AgentError: an action was none.
        """
        self._log.send()
        return self._read(0)

    def _advance(self, action: Tensor, moving: Tensor | None) -> tuple[Tensor, ...]:
        """A step of all copies, or of those that are ``moving``, (n,) bool; operations on tensors alone."""
        action, before = action.reshape(-1, *self.spec.action_shape), self._state
        told = [x.clone() for x in self._told.values()]
        state, reward, terminated = self.world.step(before, action, self._ready.draw(self._clock))
        clock = self._clock + 1
        truncated = torch.zeros_like(terminated) if self._limit is None else clock >= self._limit
        if moving is not None:
            state, clock = torch.where(moving.unsqueeze(1), state, before), torch.where(moving, clock, self._clock)
            reward = reward.masked_fill(~moving, 0.0)
            terminated, truncated = terminated & moving, truncated & moving
        next_obs, next_said = self.world.obs(state), self._said(state)
        ended, total, paid = terminated | truncated, self._returns + reward, reward.float()
        how = ended.double().masked_fill_(terminated, ENDED + TERMINATED)
        self._log.write(torch.cat([action.reshape(-1, self._width).double(), how.unsqueeze(1), total.unsqueeze(1)], 1))
        parts: tuple[Tensor, ...]
        if self._row is not None:
            columns = (action, paid, terminated, truncated, self._obs, next_obs)
            parts = (torch.cat([x.reshape(len(x), -1).float() for x in columns], 1).view(*self._lead, -1),)
        else:
            parts = (self._seen(self._obs.clone()), paid.view(self._lead), self._seen(next_obs))
        self._ready.next(ended)
        torch.where(ended.unsqueeze(1), self._ready.state(), state, out=self._state)
        torch.mul(clock, ~ended, out=self._clock)
        self._returns.copy_(total.masked_fill(ended, 0.0))
        self._fresh.copy_(ended)
        self._look()
        return terminated.view(self._lead), truncated.view(self._lead), *parts, *told, *next_said.values()

    def _look(self) -> None:
        """What is seen and said of all copies where they stand."""
        self._obs.copy_(self.world.obs(self._state))
        for name, x in self._said(self._state).items():
            self._told[name].copy_(x)

    def _said(self, state: Tensor) -> dict[str, Tensor]:
        """What the agent wants to be told of copies in these states, (S, E, ...) each."""
        if not self.spec.extras:
            return {}
        said = self.world.said(state)
        return {name: said[name].view(*self._lead, *form.shape) for name, form in self.spec.extras.items()}

    def _given(self, x: Tensor) -> Tensor:
        return x if self._lends else x.clone()

    def _seen(self, obs: Tensor) -> Tensor:
        return obs.view(*self._lead, *self.spec.obs_shape)

    def _turn(self) -> list[Episode]:
        """A page is full: send it on its way, and read the one before, which has arrived by now."""
        self._log.send()
        return self._read(1 if self._log.lines > 1 else 0)

    def _read(self, but: int) -> list[Episode]:
        """What stands in the pages that were sent, but for the newest ``but``."""
        finished: list[Episode] = []
        for rows in self._log.read(but):
            self._check(rows[..., : self._width])
            finished += self.ledger.read(rows)
        self._ready.prepare(self.ledger.numbers)
        return finished

    def _check(self, actions: np.ndarray) -> None:
        """See that the environment has them all.

        Raises:
            AgentError: it does not.
        """
        n = self.spec.num_actions
        if n is None:
            if not np.isfinite(actions).all():
                shown = actions[~np.isfinite(actions).all(-1)].ravel()[:8].tolist()
                raise AgentError(f"the agent gave an action that is not finite: {shown}")
        elif not (actions.min() >= 0 and actions.max() < n):
            shown = actions[(actions < 0) | (actions >= n)].ravel()[:8].astype(int).tolist()
            raise AgentError(f"the agent gave the actions {shown}, expected integers from 0 to {n - 1}")

    def _stand(self) -> None:
        """All copies at the beginning of the episodes that the ledger names."""
        self._log.clear()
        self._clock.zero_()
        self._returns.zero_()
        self._ready.stand(self.ledger.numbers)
        self._state.copy_(self._ready.state())
        self._moving.copy_(sent(self.ledger.running.copy(), self.device))
        self._fresh.copy_(sent(self.ledger.running & (self.ledger.began == self.ledger.clock), self.device))
        self._look()

    def state_dict(self) -> dict[str, Any]:
        """As `EnvBatch.state_dict`. All that has happened must have been read: see `drain`."""
        if self._log.unread:
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
        for t, action in enumerate(sent(self.ledger.aligned(), self.device)):
            due = count > t
            state, reward, terminated = self.world.step(self._state, action, self._ready.draw(self._clock))
            self._state.copy_(torch.where(due.unsqueeze(1), state, self._state))
            self._returns += torch.where(due, reward, 0.0)
            self._clock += due
            ended |= due & (terminated if self._limit is None else terminated | (self._clock >= self._limit))
        self._look()
        found: np.ndarray = ended.cpu().numpy()
        return found

    def close(self) -> None:
        """Nothing is open."""
