"""SAC for discrete actions: expectations over all of them take the place of draws.

Christodoulou 2019, arXiv:1910.07207 (the numbers of equations are theirs). Actor and critics have one output for each
action. Where an environment says what actions are legal, no other has a chance, is counted on, or adds to the entropy
that is wanted. All else is `sac`'s: this is what discrete actions change of it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rlbench import functional, nn
from rlbench.cuda.graphs import Graph
from rlbench.distributions import Categorical
from rlbench.errors import UsageError
from rlbench.rng import Stream, as_categorical
from rlbench.types import NO_EXTRAS, Batch, Extras, Spec

SHARE = 0.5  # of the most entropy that there can be, where the recipe says none


class WithChoices:
    """What a `SAC` of discrete actions does otherwise: a base class that stands before it."""

    spec: Spec
    config: Any
    actor: torch.nn.Module
    critics: nn.Network
    targets: nn.Network
    log_alpha: Tensor
    target_entropy: float
    online: dict[str, nn.Flat]
    explore: Stream
    env_steps: int
    pair: Callable[[Tensor], Tensor]
    descend: Callable[[str], None]
    adapt: Callable[[Tensor], None]
    _act: Graph
    _away: bool

    def prepare(self, spec: Spec) -> float:
        if self.config.noise_correlation:
            raise UsageError(
                "sac.noise_correlation is for continuous actions; this environment's are discrete: leave it out, or "
                "--set sac.noise_correlation=0"
            )
        self.masked = self.config.mask_actions and "action_mask" in spec.extras
        self.noise = torch.zeros(spec.num_seeds, 0, device=spec.device)  # draws need no memory
        wanted = self.config.target_entropy
        if wanted is not None and not 0 <= wanted <= 1:
            raise UsageError(
                f"sac.target_entropy is {wanted:g}, and of discrete actions it is a share of the most entropy there "
                "can be: 0 to 1, by default 0.5"
            )
        return SHARE if wanted is None else float(wanted)

    def make_actor(self, spec: Spec, init: Stream) -> torch.nn.Module:
        """The network of logits, (S, N, *O) -> (S, N, A)."""
        assert spec.num_actions is not None
        return nn.network(spec, self.config.hidden, spec.num_actions, init)

    def make_critic(self, spec: Spec, init: Stream) -> nn.Network:
        """One of the two networks of values, (S, N, *O) -> (S, N, A)."""
        assert spec.num_actions is not None
        return nn.network(spec, self.config.hidden, spec.num_actions, init, layer_norm=self.config.layer_norm)

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor:
        legal: tuple[Tensor, ...] = (extras["action_mask"],) if self.masked else ()  # (S, E, A)
        if not explore:
            return Categorical(self.actor.forward(obs), *legal).mode
        if self.env_steps >= self.config.learning_starts:
            (action,) = self._act(obs, self.explore.uniform(self.spec.num_envs), *legal)
            return action.clone() if self._away else action  # a graph's is its own
        assert self.spec.num_actions is not None
        if self._away:
            u = self.explore.uniform(self.spec.num_envs)  # (S, E)
            return functional.nth_legal_there(u, *legal) if legal else (u * self.spec.num_actions).long()
        shares = self.explore.host(self.spec.num_envs)
        if legal:
            return torch.from_numpy(functional.nth_legal(shares, legal[0].numpy()))
        return torch.from_numpy((shares * self.spec.num_actions).astype("int64"))

    def acted(self, obs: Tensor, u: Tensor, legal: Tensor | None = None) -> tuple[Tensor]:
        return (as_categorical(u, Categorical(self.actor.forward(obs), legal).probabilities),)

    def numbers(self) -> tuple[Tensor, ...]:
        return ()

    def beside(self, batch: Batch, *numbers: Tensor) -> tuple[Tensor, ...]:
        """What a gradient step takes besides the fields of a batch: what is legal, next and now."""
        return (batch.next_extras["action_mask"], batch.extras["action_mask"]) if self.masked else ()  # (S, B, A)

    def gradient_step(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        next_legal: Tensor | None = None,
        legal: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """From a batch to new weights, as `SAC.gradient_step`."""
        share, alpha = 1 / self.config.batch_size, self.log_alpha.exp()  # of the mean over the batch; (S, 1)

        # Critics: the soft value of what follows is an expectation (eq. 10).
        then = Categorical(self.actor.forward(next_obs), next_legal)
        next_q = self.pair(self.targets.forward(next_obs.repeat_interleave(2, 0))).amin(1)  # (S, B, A)
        soft = next_q - alpha.unsqueeze(-1) * then.log_probs
        target = functional.td_target(reward, discount, (then.probabilities * soft).sum(-1))  # (S, B)
        q_all, way = self.critics.keep(obs.repeat_interleave(2, 0))  # (2 S, B, A)
        both = action.repeat_interleave(2, 0).unsqueeze(-1)  # (2 S, B, 1)
        q_values = q_all.gather(-1, both).squeeze(-1)  # (2 S, B)
        critic_loss, slope = functional.squared_loss(q_values - target.repeat_interleave(2, 0))
        upstream = torch.zeros_like(q_all).scatter_(-1, both, slope.unsqueeze(-1) * share)
        self.critics.pull(way, upstream, self.online["critics"].grads, False)
        self.descend("critics")

        # Actor: an expectation too (eq. 12), whose gradient at logit a is p_a (x_a - sum_b p_b x_b).
        logits, pull = nn.vjp(self.actor, obs)  # (S, B, A), and the way back
        policy = Categorical(logits, legal)
        lower = self.pair(self.critics.forward(obs.repeat_interleave(2, 0))).amin(1)  # (S, B, A)
        chances, log_chances = policy.probabilities, policy.log_probs
        costs = alpha.unsqueeze(-1) * log_chances - lower
        cost = (chances * costs).sum(-1, keepdim=True)  # (S, B, 1)
        pull(chances * (costs - cost) * share, self.online["actor"].grads)
        self.descend("actor")

        entropy = -(chances * log_chances).sum(-1)  # (S, B)
        count = torch.full_like(entropy, logits.shape[-1]) if legal is None else legal.sum(-1).float()
        self.adapt((entropy - self.target_entropy * count.clamp(min=1).log()).mean(1))
        loss = self.pair(critic_loss).sum(1).mean(1)
        return loss, cost.flatten(1).mean(1), self.pair(q_values), entropy.mean(1), alpha.squeeze(1)

    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        legal = extras["action_mask"] if self.masked and extras else None
        chances = Categorical(self.actor.forward(obs), legal).probabilities
        q_values = self.pair(self.critics.forward(obs.repeat_interleave(2, 0))).amin(1)  # (S, E, A)
        value = (chances * q_values).sum(-1)
        if legal is not None:
            q_values = q_values.masked_fill(~legal, -torch.inf)
        return {"q_values": q_values, "value": value, "probabilities": chances}
