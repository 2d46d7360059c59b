"""Memory for DQN: a gated recurrent unit between the layers and the action values, learned from sequences.

Deep recurrent Q-learning (Hausknecht & Stone 2015, arXiv:1507.06527) as R2D2 does it (Kapturowski et al. 2019,
"Recurrent Experience Replay in Distributed Reinforcement Learning", ICLR): the replay buffer keeps what was remembered
before each step; a sequence is drawn, its first ``burn_in`` steps bring that memory up to date with today's weights,
and the ``sequence_length`` steps after them are learned from. Without R2D2's rescaled values and its priorities.

All else is `dqn`'s: this is what ``memory = "gru"`` changes of it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rlbench import functional, nn
from rlbench.cuda.graphs import Graph
from rlbench.errors import UsageError
from rlbench.replay import SequenceReplay
from rlbench.rng import Stream, Streams
from rlbench.types import NO_EXTRAS, Extras, Spec


class WithMemory:
    """What a `DQN` with memory does otherwise: a base class that stands before it."""

    spec: Spec
    config: Any
    masked: bool
    q_net: nn.Remembering
    target_net: nn.Remembering
    replay: SequenceReplay
    online: nn.Flat
    loss: Callable[[Tensor], tuple[Tensor, Tensor]]
    explore: Stream
    _act: Graph
    _away: bool
    _drawn: Graph | None
    epsilon_there: Callable[[], float | Tensor]
    mixed: Callable[..., Tensor]
    explored: Callable[..., Tensor]
    followed: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
    step_on: Callable[..., dict[str, Tensor]]
    descend: Callable[[], Tensor]
    explained: Callable[[Tensor, Extras], dict[str, Tensor]]

    def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
        steps, length = config.capacity // spec.num_envs, config.burn_in + config.sequence_length
        if steps < length:
            raise UsageError(
                f"dqn.capacity {config.capacity} holds {steps} steps of each of {spec.num_envs} envs, and a sequence "
                f"has {length} (dqn.burn_in + dqn.sequence_length): raise capacity to {length * spec.num_envs} or more"
            )
        super().__init__(spec, config, streams)  # type: ignore[call-arg]
        self.memory = torch.zeros(spec.num_seeds, spec.num_envs, config.memory_size, device=spec.device)  # exploring
        self.played = self.memory  # likewise of whoever acts greedily; its E changes

    def make_network(self, spec: Spec, num_actions: int, init: Stream) -> nn.Remembering:
        c = self.config
        body = nn.network(spec, c.hidden[:-1], c.hidden[-1], init, layer_norm=c.layer_norm)
        return nn.Remembering(body, nn.GRUCell(c.hidden[-1], c.memory_size, init), num_actions, init)

    def make_replay(self, spec: Spec, stream: Stream) -> SequenceReplay:
        c = self.config
        return SequenceReplay(
            spec, c.capacity, stream,
            memory=c.memory_size, length=c.burn_in + c.sequence_length, gamma=c.gamma, n_step=c.n_step,
        )  # fmt: skip

    def begin(self, started: Tensor, *, explore: bool) -> None:
        kept = self.memory if explore else self.played
        if kept.shape[:2] != started.shape:  # somebody else's turn, who begins everywhere
            kept = kept.new_zeros((*started.shape, kept.shape[2]))
        kept = kept.masked_fill(started.unsqueeze(-1), 0.0)
        if explore:
            self.memory = kept
        else:
            self.played = kept

    def recall(self) -> dict[str, Tensor]:
        return {"memory": self.played}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        self.played = memory["memory"]

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor | tuple[Tensor, Extras]:
        legal = (extras["action_mask"],) if self.masked else ()  # (S, E, A)
        if not explore:
            greedy, self.played = self.greedy(obs, self.played, *legal)
            return greedy
        before = self.memory
        if self._away:
            u = self.explore.uniform(self.spec.num_envs)
            action, after = self._act(obs, before, u, self.epsilon_there(), *legal)
            self.memory = after.clone()  # a graph's is its own
            return action.clone(), {"memory": before}
        greedy, self.memory = self._act(obs, before, *legal)
        return self.explored(greedy, *legal), {"memory": before}

    def chosen(
        self, obs: Tensor, memory: Tensor, u: Tensor, epsilon: float | Tensor, legal: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        greedy, memory = self.greedy(obs, memory, legal)
        return self.mixed(greedy, u, epsilon, legal), memory

    def greedy(self, obs: Tensor, memory: Tensor, legal: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(S, E) actions, and what is remembered now, (S, E, H)."""
        q_values, memory = self.q_net.forward(obs, memory)
        return functional.legal_q(q_values, legal).argmax(-1), memory

    def _learn(self) -> dict[str, Tensor]:
        if not self.replay.ready:
            return {}
        if self._drawn is not None:
            return self.step_on(self.replay.shares(self.config.batch_size), by=self._drawn)
        *leaves, extras = self.replay.sequences(self.config.batch_size)
        legal = (extras["action_mask"],) if self.masked else ()  # (S, L, B, A)
        return self.step_on(*leaves, *legal)

    def _draws(self) -> bool:
        replay: object = self.replay  # what a subclass makes need not be one of ours
        mine = isinstance(replay, SequenceReplay) and type(replay).sequences is SequenceReplay.sequences
        return mine and self.replay.on_device

    def drawn_step(self, shares: Tensor) -> tuple[Tensor, ...]:
        *leaves, extras = self.replay.sequences_at(shares)
        return self.followed(self.gradient_step(*leaves, *((extras["action_mask"],) if self.masked else ())))

    def gradient_step(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        last: Tensor,
        fresh: Tensor,
        memory: Tensor,
        legal: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """From sequences, (S, L, B, ...), to new weights: loss, mean value, norm (S,); values (S, L * B, A)."""
        burn = self.config.burn_in
        online_memory = memory  # (S, B, H), before the first step that is learned from
        if burn:
            online_memory = self.q_net.unroll(obs[:, :burn], memory, fresh[:, :burn])[1][:, -1]
        q_all, remembered, pull = self.q_net.vjp(obs[:, burn:], online_memory, fresh[:, burn:])
        _, target_remembered = self.target_net.unroll(obs, memory, fresh)

        next_obs = next_obs[:, burn:]
        legal = None if legal is None else legal[:, burn:]
        next_q = functional.legal_q(self._next(self.target_net, next_obs, target_remembered[:, burn:]), legal)
        if self.config.double:
            online_q = functional.legal_q(self._next(self.q_net, next_obs, remembered), legal)
            next_value = functional.double_value(online_q, next_q)  # (S, L, B), as all that follows
        else:
            next_value = functional.max_value(next_q)
        next_value = next_value.gather(1, last[:, burn:] - burn)
        target = functional.td_target(reward[:, burn:], discount[:, burn:], next_value)

        action = action[:, burn:].unsqueeze(-1)
        q_values = q_all.gather(-1, action).squeeze(-1)
        loss, slope = self.loss(q_values - target)
        count = loss[0].numel()
        pull(torch.zeros_like(q_all).scatter_(-1, action, slope.unsqueeze(-1) / count), self.online.grads)
        return loss.flatten(1).mean(1), q_values.flatten(1).mean(1), self.descend(), q_all.flatten(1, 2)

    @staticmethod
    def _next(net: nn.Remembering, next_obs: Tensor, remembered: Tensor) -> Tensor:
        """(S, L, B, A): the values of what followed each step, whatever the sequence went on with."""
        q_values, _ = net.forward(next_obs.flatten(1, 2), remembered.flatten(1, 2))
        return q_values.view(*next_obs.shape[:3], -1)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "memory": self.memory}  # type: ignore[misc]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)  # type: ignore[misc]
        self.memory = state["memory"].to(self.spec.device, copy=True)

    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        q_values, _ = self.q_net.forward(obs, self.played)
        return self.explained(q_values, extras)
