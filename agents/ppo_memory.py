"""PPO with memory: policy and value remember what they saw of the episode so far, and learn from steps in a row.

As in recurrent PPO (Huang et al. 2022, "The 37 implementation details of proximal policy optimization", ICLR blog
track): what was remembered before each step is kept with it. A rollout is cut into sequences, each of which begins with
what was remembered there; gradients go back through all of its steps, but not through an episode's end.

All else is `ppo`'s: this is what ``memory = "gru"`` changes of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rlbench import nn
from rlbench.cuda.graphs import Graph
from rlbench.policies import PolicyForm
from rlbench.replay import Minibatch, Rollout
from rlbench.rng import Stream, Streams
from rlbench.types import NO_EXTRAS, Extra, Extras, Spec


class PPOWithMemory:
    """What a `PPO` with memory does otherwise: a base class that stands before it."""

    spec: Spec
    config: Any
    policy_net: nn.Remembering
    value_net: nn.Remembering
    replay: Rollout
    order: Stream
    normalised: Callable[[Tensor], Tensor]
    policy: Callable[..., Any]
    acted: Callable[..., Any]
    sampled: Callable[..., tuple[Tensor, ...]]
    numbers_to_draw_by: Callable[[Tensor], Tensor]
    form: PolicyForm
    _drawn: Graph
    explained: Callable[..., dict[str, Tensor]]
    _legal: Callable[[Extras], Tensor | None]

    def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
        super().__init__(spec, config, streams)  # type: ignore[call-arg]
        self.sequences = self.replay.capacity // config.sequence_length  # of a rollout, K
        self.batches = -(-self.sequences // (config.batch_size // config.sequence_length))
        # What is remembered while exploring: by the policy, and by the value, side by side.
        self.memory = torch.zeros(spec.num_seeds, spec.num_envs, 2 * config.memory_size, device=spec.device)
        self.played = self.memory  # likewise of whoever acts greedily; its E changes

    def kept(self) -> dict[str, Extra]:
        usual: dict[str, Extra] = super().kept()  # type: ignore[misc]
        return {**usual, "memory": Extra((2 * self.config.memory_size,), torch.float32)}

    def _network(self, spec: Spec, n_out: int, init: Stream, head_gain: float) -> nn.Remembering:
        c = self.config
        body = nn.network(spec, c.hidden[:-1], c.hidden[-1], init, activation=c.activation)
        net = nn.Remembering(body, nn.GRUCell(c.hidden[-1], c.memory_size, init), n_out, init)
        if c.orthogonal:
            nn.orthogonal_(net, init, head_gain=head_gain)
        # Gates that are half open forget in a few steps. So each number is given a time of its own to be kept for, up
        # to a sequence's length (Tallec & Ollivier 2018, eq. 16, arXiv:1804.11188).
        times = (1 + init.uniform(c.memory_size) * max(0, c.sequence_length - 2)).float()  # (S, H)
        net.cell.bias.data[:, 0, c.memory_size : 2 * c.memory_size] = times.log()
        return net

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
        legal = self._legal(extras)
        if not explore:
            numbers, _, self.played = self._step(obs, self.played)
            return self.form.action(self.policy(numbers, legal).mode)
        before = self.memory
        given = (obs, self.numbers_to_draw_by(obs), before, *(() if legal is None else (legal,)))
        after, *drawn = self._drawn(*given)
        self.memory = after.clone() if after.is_cuda else after  # a graph's is its own
        acted = self.acted(*drawn)
        action, said = acted if isinstance(acted, tuple) else (acted, NO_EXTRAS)
        return action, {**said, "memory": before}

    def drawn(self, obs: Tensor, u: Tensor, memory: Tensor, legal: Tensor | None = None) -> tuple[Tensor, ...]:
        """As `PPO.drawn`, and before it what is remembered now."""
        numbers, _, after = self._step(obs, memory)
        return after, *self.sampled(numbers, u, legal)

    def _step(self, obs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the policy's network says, (S, N, numbers), the values, (S, N), and what is remembered now."""
        obs, (of_policy, of_value) = self.normalised(obs), memory.chunk(2, -1)
        numbers, of_policy = self.policy_net.forward(obs, of_policy)
        value, of_value = self.value_net.forward(obs, of_value)
        return numbers, value.squeeze(-1), torch.cat((of_policy, of_value), -1)

    def fresh(self) -> Tensor:
        """(S, T, E) bool: which steps of a full rollout follow an episode's end. Before the first one `begin` was told
        of it, and what is kept with it as remembered is zero."""
        ended = self.replay.terminated | self.replay.truncated
        return torch.cat((torch.zeros_like(ended[:, :1]), ended[:, :-1]), 1)

    def judged(self, obs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `PPO.judged`, step by step; what followed a step is looked at with what was remembered after it."""
        rollout, fresh, length = self.replay, self.fresh(), self.config.sequence_length
        next_obs, kept = rollout.next_obs(), rollout.extras
        log_probs, values, next_values = [], [], []
        for first in range(0, rollout.steps, length):
            at = slice(first, first + length)
            of_policy, of_value = kept["memory"][:, first].chunk(2, -1)
            numbers, _ = self.policy_net.unroll(obs[:, at], of_policy, fresh[:, at])  # (S, L, E, numbers)
            value, remembered = self.value_net.unroll(obs[:, at], of_value, fresh[:, at])
            lead = value.shape[:3]
            policy = self.policy(
                numbers.flatten(1, 2), self._legal({n: x[:, at].flatten(1, 2) for n, x in kept.items()})
            )
            log_probs.append(policy.log_prob(kept.get("drawn", rollout.action)[:, at].flatten(1, 2)).view(lead))
            values.append(value.squeeze(-1))
            after = self.normalised(next_obs[:, at].flatten(1, 2))
            next_values.append(self.value_net.forward(after, remembered.flatten(1, 2))[0].view(lead))
        log_prob, value, next_value = (torch.cat(parts, 1) for parts in (log_probs, values, next_values))
        return log_prob, value, next_value.masked_fill(rollout.terminated, 0.0)

    def minibatches(self, obs: Tensor, kept: dict[str, Tensor]) -> Iterator[Minibatch]:
        """All sequences once, dealt out anew: ``obs`` is (S, L, N, *O), the rest (S, L * N, ...) in that order, but
        for what was remembered before the first step, (S, N, 2 H), and ``fresh``, (S, L, N)."""
        rollout, length, seeds = self.replay, self.config.sequence_length, self.spec.num_seeds
        given = {"obs": obs, "action": rollout.action, **rollout.extras, **kept, "fresh": self.fresh()}
        columns = {name: _in_sequences(x, length) for name, x in given.items()}  # (S * K, L, ...)
        columns["memory"] = columns["memory"][:, :1]
        offsets = torch.arange(seeds, device=self.spec.device).unsqueeze(1) * self.sequences
        for index in self.order.permutation(self.sequences).tensor_split(self.batches, 1):  # (S, N)
            at = (index + offsets).flatten()
            part = {n: x.index_select(0, at).view(seeds, -1, *x.shape[1:]).transpose(1, 2) for n, x in columns.items()}
            by_step = {"fresh": part.pop("fresh"), "memory": part.pop("memory")[:, 0]}
            seen, rest = part.pop("obs"), {name: x.flatten(1, 2) for name, x in part.items()}
            yield Minibatch(seen, rest.pop("action"), {**rest, **by_step})

    def vjp(self, net: nn.Remembering, part: Minibatch) -> tuple[Tensor, Callable[[Tensor, Sequence[Tensor]], None]]:
        """As `PPO.vjp`, back through all steps of each sequence."""
        memory = part.extras["memory"].chunk(2, -1)[net is self.value_net]
        out, _, pull = net.vjp(part.obs, memory, part.extras["fresh"])  # (S, L, N, n)
        return out.flatten(1, 2), lambda grad, into: pull(grad.reshape(out.shape), into)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "memory": self.memory}  # type: ignore[misc]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)  # type: ignore[misc]
        self.memory = state["memory"].to(self.spec.device, copy=True)

    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        numbers, value, _ = self._step(obs, self.played)
        return self.explained(numbers, value, extras)


def _in_sequences(x: Tensor, length: int) -> Tensor:
    """(S, T, E, ...) cut into sequences of L steps: (S * T / L * E, L, ...), those of a seed one after the other."""
    cut = x.unflatten(1, (-1, length)).transpose(2, 3)  # (S, T / L, E, L, ...)
    return cut.flatten(0, 2)
