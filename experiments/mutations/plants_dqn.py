"""What is planted in DQN, and in its memory."""

# ruff: noqa: E501  (lines of code, as they stand in the agents' files and as they are to stand there)

from .mechanism import Edit, Mutant

_IMPORT = "from rlbench.replay import Replay\n"
_ADD = "        self.replay.add(transition)\n"
_BATCH = '        """One gradient step of every seed, from ``batch``, (S, B, ...)."""\n'
_MOVED = """        if (by is None or c.target_update_every > 1) and self.updates % c.target_update_every == 0:
            self.target.data.lerp_(self.online.data, c.tau)  # tau 1: a copy
"""
_TARGET = "        target = functional.td_target(reward, discount, next_value)  # (S, B)\n"
_PULL = "        pull(upstream, self.online.grads)  # of the mean over the batch, each seed its own\n"
_EPSILON = (
    "        return functional.linear_schedule(c.epsilon_start, c.epsilon_end, c.epsilon_steps, self.env_steps)\n"
)
_DRAW = "        u = self.explore.host(self.spec.num_envs)  # (S, E)\n"
_CLIP = "        grad_norm = functional.clip_norm_(self.online.grad, self.config.max_grad_norm)\n"
_ACT = "        return self.explored(greedy, *legal) if explore else greedy\n"


def _buffer(name: str) -> tuple[Edit, ...]:
    """Another buffer in the place of the kit's."""
    return (Edit(_IMPORT, f"from rlbench.experiments.mutations.faulty import {name} as Replay\n"),)


def _stored(changes: str) -> tuple[Edit, ...]:
    """Transitions are changed before they are stored."""
    return (Edit(_ADD, f"        self.replay.add(transition._replace({changes}))\n"),)


def _on_batch(line: str) -> tuple[Edit, ...]:
    return (Edit(_BATCH, f"{_BATCH}        {line}\n"),)


DQN = (
    Mutant(
        "no-terminal", "dqn", "bootstraps through a termination",
        "Nikanjam: missing terminal state; RLMutation: MTS", "termination",
        _stored("terminated=torch.zeros_like(transition.terminated)"),
    ),
    Mutant(
        "cuts-at-limits", "dqn", "takes a time limit for a termination", "classic", "time-limit",
        _stored("terminated=transition.terminated | transition.truncated"),
    ),
    Mutant(
        "next-episode", "dqn", "next_obs is the next episode's first observation", "classic", "time-limit",
        _buffer("Late"),
    ),
    Mutant(
        "n-step-off-by-one", "dqn", "discounts what follows n steps by the power n - 1", "classic", "n-step",
        _on_batch("batch = batch._replace(discount=batch.discount / (self.config.gamma if self.config.n_step > 1 else 1))"),
    ),
    Mutant(
        "windows-cross", "dqn", "windows of n steps reach into the next episode", "classic", "episode-ends",
        _buffer("Crossing"),
    ),
    Mutant(
        "gamma-squared", "dqn", "discounts by gamma twice a step", "classic; muPRL: gamma", "delayed-reward",
        _on_batch("batch = batch._replace(discount=batch.discount * self.config.gamma)"),
    ),
    Mutant(
        "no-discount", "dqn", "does not discount", "RLMutation: NDF; muPRL: gamma", "delayed-reward",
        (Edit("gamma=c.gamma, n_step=c.n_step)", "gamma=1.0, n_step=c.n_step)"),),
    ),
    Mutant(
        "target-never", "dqn", "never moves the target network",
        "Nikanjam: wrong network update; muPRL: target_update_interval", "target-network",
        (Edit(_MOVED, ""),),
    ),
    Mutant(
        "target-always", "dqn", "moves the target network at every update",
        "Nikanjam: suboptimal update frequency; muPRL: target_update_interval", "target-network",
        (Edit("        if (by is None or c.target_update_every > 1) and self.updates % c.target_update_every == 0:\n", "        if True:\n"),),
    ),
    Mutant(
        "tau-swapped", "dqn", "keeps tau of the target network, in place of 1 - tau", "muPRL: tau", "target-network",
        (Edit("lerp_(self.online.data, c.tau)", "lerp_(self.online.data, 1 - c.tau)"),),
    ),
    Mutant(
        "target-shared", "dqn", "the target network is the network itself",
        "Nikanjam: wrong network update", "target-network",
        (Edit("self.target_net = copy.deepcopy(self.q_net)", "self.target_net = self.q_net"),),
    ),
    Mutant(
        "target-not-detached", "dqn", "lets the gradient go through the target",
        "classic", "branches",
        (
            Edit("functional.legal_q(self.target_net.forward(next_obs), legal)  # (S, B, A)", "functional.legal_q(self.q_net.forward(next_obs), legal)"),
            Edit(_PULL, f"""{_PULL}        whole = self.online.grad.clone()
        next_all, back = nn.vjp(self.q_net, next_obs)
        share = (slope * -discount).unsqueeze(-1) / c.batch_size
        back(torch.zeros_like(next_all).scatter_(-1, next_all.argmax(-1, keepdim=True), share), self.online.grads)
        self.online.grad.add_(whole)
"""),
        ),
    ),
    Mutant(
        "wrong-sign", "dqn", "moves values away from their targets",
        "Nikanjam: wrong update rule", "constant-reward",
        (Edit("self.loss(q_values - target)", "self.loss(target - q_values)"),),
    ),
    Mutant(
        "absolute-loss", "dqn", "minimises the absolute error, and so learns medians",
        "RLMutation: ILF", "branches",
        (Edit("loss, slope = self.loss(q_values - target)", "loss, slope = (q_values - target).abs(), (q_values - target).sign()"),),
    ),
    Mutant(
        "clips-rewards", "dqn", "clips rewards to -1..1, and says nothing", "classic", "large-rewards",
        _stored("reward=transition.reward.clamp(-1, 1)"),
    ),
    Mutant(
        "reward-noise", "dqn", "adds noise to rewards", "RLMutation: RN", "replay-returns",
        _stored("reward=transition.reward + 0.3 * self.explore.normal(self.spec.num_envs)"),
    ),
    Mutant(
        "mangled", "dqn", "stores each reward with the step after its own", "RLMutation: M", "observed-action",
        _buffer("Mangled"),
    ),
    Mutant(
        "stale-obs", "dqn", "stores the first observation in place of each",
        "RLMutation: MSU, R", "observed-reward",
        (Edit(_ADD, """        self._first = getattr(self, "_first", transition.obs.clone())
        self.replay.add(transition._replace(obs=self._first))
"""),),
    ),
    Mutant(
        "random-obs", "dqn", "stores something drawn at random for what was seen", "RLMutation: Ra", "replay-returns",
        _stored("obs=torch.rand_like(transition.obs)"),
    ),
    Mutant(
        "lends-memory", "dqn", "hands out parts of the buffer's own memory", "classic", "replay-lends-copies",
        _buffer("Lending"),
    ),
    Mutant(
        "half-capacity", "dqn", "overwrites its buffer when it is half full", "classic", "replay-keeps",
        (Edit("return Replay(spec, c.capacity, stream", "return Replay(spec, c.capacity // 2, stream"),),
    ),
    Mutant(
        "mask-in-target", "dqn", "counts on forbidden actions in the target", "classic", "masked-values",
        (Edit("functional.legal_q(self.target_net.forward(next_obs), legal)  # (S, B, A)", "self.target_net.forward(next_obs)"),),
    ),
    Mutant(
        "never-explores", "dqn", "does not explore", "Nikanjam: missing exploration", "explores-as-told",
        (Edit(_EPSILON, "        return 0.0\n"),),
    ),
    Mutant(
        "always-explores", "dqn", "epsilon never falls", "classic", "explores-as-told",
        (Edit(_EPSILON, "        return c.epsilon_start\n"),),
    ),
    Mutant(
        "final-epsilon", "dqn", "explores on where it should have ended", "muPRL: exploration_final_eps", "explores-as-told",
        (Edit(_EPSILON, "        return max(0.1, functional.linear_schedule(c.epsilon_start, c.epsilon_end, c.epsilon_steps, self.env_steps))\n"),),
    ),
    Mutant(
        "one-coin", "dqn", "one random number decides for all envs of all seeds", "classic", "own-coins",
        (Edit(_DRAW, "        u = np.broadcast_to(self.explore.host(1)[:1], (self.spec.num_seeds, self.spec.num_envs))\n"),),
    ),
    Mutant(
        "global-random", "dqn", "explores by NumPy's global generator", "classic", "no-global-random",
        (Edit(_DRAW, "        u = np.random.random((self.spec.num_seeds, self.spec.num_envs))\n"),),
    ),
    Mutant(
        "greedy-draws", "dqn", "acting greedily uses up random numbers of exploration", "classic", "evaluation",
        (Edit(_ACT, f"        if not explore:\n            self.explore.host(obs.shape[1])\n{_ACT}"),),
    ),
    Mutant(
        "forgets-target", "dqn", "state_dict leaves the target network out", "classic", "resumes",
        (
            Edit('            "target_net": self.target_net.state_dict(),\n', ""),
            Edit('        self.target_net.load_state_dict(state["target_net"])\n', ""),
        ),
    ),
    Mutant(
        "forgets-optimiser", "dqn", "state_dict leaves the optimiser out", "classic", "resumes",
        (
            Edit('            "adam": self.adam.state_dict(),\n', ""),
            Edit('        self.adam.load_state_dict(state["adam"])\n', ""),
        ),
    ),
    Mutant(
        "forgets-counters", "dqn", "state_dict leaves the count of steps out, and with it epsilon", "classic", "resumes",
        (
            Edit('            "env_steps": self.env_steps,\n', ""),
            Edit('self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])', 'self.updates = int(state["updates"])'),
        ),
    ),
    Mutant(
        "loads-aliases", "dqn", "load_state_dict keeps the tensors it is given", "classic", "loads-copies",
        (Edit('        self.episodes.copy_(state["episodes"])\n', '        self.episodes = state["episodes"]\n'),),
        {"epsilon_decay": 0.99},
    ),
    Mutant(
        "clips-the-stack", "dqn", "clips gradients by the norm over all seeds", "classic", "width",
        (Edit(_CLIP, """        grad_norm = functional.clip_norm_(self.online.grad.view(1, -1), self.config.max_grad_norm).expand(self.spec.num_seeds)
"""),),
    ),
    Mutant(
        "mean-over-seeds", "dqn", "the gradient is the mean over the seeds' own", "classic", "width",
        (Edit("        self.adam.apply(self.online.grad)\n", "        self.adam.apply(self.online.grad.mean(0, keepdim=True).expand_as(self.online.grad).contiguous())\n"),),
    ),
    Mutant(
        "frozen-layer", "dqn", "the optimiser never steps the first layer", "RLMutation: POC", "weights-move",
        (Edit("        self.adam.apply(self.online.grad)\n", "        self.online.grads[0].zero_()\n        self.adam.apply(self.online.grad)\n"),),
    ),
    Mutant(
        "zero-weights", "dqn", "all weights are 0 at first", "Nikanjam: wrong initialisation", "observed-reward",
        (Edit("self.target_net = copy.deepcopy(self.q_net)", "[p.data.zero_() for p in self.q_net.parameters()]\n        self.target_net = copy.deepcopy(self.q_net)"),),
    ),
    Mutant(
        "no-activation", "dqn", "no activation between the layers", "RLMutation: PAC", "observed-reward",
        (Edit("return nn.network(spec, self.config.hidden, num_actions", "return nn.network(spec, (), num_actions"),),
    ),
    Mutant(
        "clipped-output", "dqn", "an activation after the last layer: values between -1 and 1",
        "Nikanjam: wrong output; RLMutation: PAC", "large-rewards",
        (Edit("return nn.network(spec, self.config.hidden, num_actions, init, layer_norm=self.config.layer_norm)",
              "made = nn.network(spec, self.config.hidden, num_actions, init, layer_norm=self.config.layer_norm)\n        return nn.Network([*made.layers, nn.Tanh()])"),),
    ),
    Mutant(
        "seldom-learns", "dqn", "updates a tenth as often as it is told",
        "Nikanjam: suboptimal update frequency", "updates-due",
        (Edit("due = self.env_steps // every - (self.env_steps - envs) // every", "every *= 10\n        due = self.env_steps // every - (self.env_steps - envs) // every"),),
    ),
    Mutant(
        "starts-at-once", "dqn", "learns from the first step on", "muPRL: learning_starts", "by-env-steps",
        (Edit("        if self.env_steps <= self.config.learning_starts:\n", "        if self.env_steps < 8:\n"),),
    ),
    Mutant(
        "memory-kept", "dqn", "what is remembered is not reset where an episode begins", "classic", "episodes-apart",
        (Edit("        kept = kept.masked_fill(started.unsqueeze(-1), 0.0)\n", "", "dqn_memory"),),
        {"memory": "gru"},
    ),
    Mutant(
        "memory-shared", "dqn", "playing writes to what exploring remembers", "classic", "evaluation",
        (Edit("            greedy, self.played = self.greedy(obs, self.played, *legal)\n", "            greedy, self.played = self.greedy(obs, self.played, *legal)\n            self.memory = self.memory + self.played.mean()\n", "dqn_memory"),),
        {"memory": "gru"},
    ),
    Mutant(
        "memory-unlearned", "dqn", "sequences are learned from as if each step were an episode's first",
        "RLMutation: MSU", "memory",
        (Edit("self.q_net.vjp(obs[:, burn:], online_memory, fresh[:, burn:])", "self.q_net.vjp(obs[:, burn:], online_memory * 0, torch.ones_like(fresh[:, burn:]))", "dqn_memory"),),
        {"memory": "gru"},
    ),
)  # fmt: skip
