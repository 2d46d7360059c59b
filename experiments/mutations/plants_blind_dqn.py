"""The blind set, as `plants_blind` says: mistakes in DQN."""

# ruff: noqa: E501  (lines of code, as they stand in the agents' files and as they are to stand there)

from .mechanism import Edit, Mutant
from .plants_blind import Blind

_MASKED_RANDOM = """        if legal is not None:
            random = functional.nth_legal(u / epsilon, legal.cpu().numpy())
        else:
            random"""

BLIND = (
    Blind(
        Mutant(
            "sums-gradients", "dqn", "gradients are not set to zero between updates, and add up", "classic", "constant-reward",
            (Edit("        self.adam.apply(self.online.grad)", "        self._summed = self.online.grad + getattr(self, '_summed', 0.0)\n        self.adam.apply(self._summed)"),),
        ),
        "each step goes mostly where long gone batches pointed: values overshoot and swing",
        "constant-reward",
        "near",
    ),
    Blind(
        Mutant(
            "double-swapped", "dqn", "Double DQN with the networks' parts swapped: the target chooses, the online one is counted on", "classic", "frozen-target",
            (Edit("functional.double_value(online_q, next_q)", "functional.double_value(next_q, online_q)"),),
            {"double": True},
        ),
        "targets come from the network that is being learned, which chases itself",
        "",
        "",
    ),
    Blind(
        Mutant(
            "one-step", "dqn", "n_step is not handed on to the buffer", "classic", "heeded",
            (Edit("return Replay(spec, c.capacity, stream, gamma=c.gamma, n_step=c.n_step)", "return Replay(spec, c.capacity, stream, gamma=c.gamma)"),),
            {"n_step": 3},
        ),
        "reward spreads one step an update, whatever was asked for",
        "",
        "",
    ),
    Blind(
        Mutant(
            "counts-calls", "dqn", "counts calls of observe, not the steps of all its envs", "classic", "by-env-steps",
            (Edit("        self.env_steps += self.spec.num_envs\n        if self.config.epsilon_decay:", "        self.env_steps += 1\n        if self.config.epsilon_decay:"),),
        ),
        "with E envs exploration lasts E times as long as it was told, and learning starts E times as late",
        "by-env-steps",
        "leads",
    ),
    Blind(
        Mutant(
            "due-by-modulo", "dqn", "updates where the count of steps is a multiple of train_every, once however many envs", "classic", "by-env-steps",
            (Edit("due = self.env_steps // every - (self.env_steps - envs) // every  # in this vector step", "due = int(self.env_steps % every == 0)"),),
        ),
        "with E envs there are a share 1 / E of the updates that were asked for",
        "by-env-steps",
        "leads",
    ),
    Blind(
        Mutant(
            "acts-by-target", "dqn", "acts by the target network", "classic", "frozen-target",
            (Edit("return (functional.legal_q(self.q_net.forward(obs), legal).argmax(-1),)", "return (functional.legal_q(self.target_net.forward(obs), legal).argmax(-1),)"),),
            {"target_update_every": 500, "tau": 1.0},
        ),
        "what was learned is acted on hundreds of updates later",
        "time-limit",
        "alarm",
    ),
    Blind(
        Mutant(
            "explores-forbidden", "dqn", "random actions do not heed the mask", "classic", "mask",
            (Edit(_MASKED_RANDOM, "        if True:\n            random"),),
        ),
        "takes actions that the environment forbids",
        "masked-values",
        "leads",
    ),
    Blind(
        Mutant(
            "never-the-last", "dqn", "random actions leave the last one out", "classic", "explores",
            (Edit("random = (u * (self.num_actions / epsilon)).astype(np.int64)", "random = (u * ((self.num_actions - 1) / epsilon)).astype(np.int64)"),),
        ),
        "the last action is tried only where it already seems best: it may never be found",
        "constant-reward",
        "misleads",
    ),
    Blind(
        Mutant(
            "explores-the-rest", "dqn", "acts at random in a share of 1 - epsilon", "classic", "explores",
            (Edit("        exploring = u < epsilon\n", "        exploring = u >= epsilon\n"),),
        ),
        "greedy while it knows nothing, at random once it knows: 95 % of all actions at last",
        "constant-reward",
        "misleads",
    ),
    Blind(
        Mutant(
            "clips-too-late", "dqn", "clips the gradient after the optimiser took it", "classic", "heeded",
            (Edit("        grad_norm = functional.clip_norm_(self.online.grad, self.config.max_grad_norm)\n        self.adam.apply(self.online.grad)\n        return grad_norm", "        self.adam.apply(self.online.grad)\n        return functional.clip_norm_(self.online.grad, self.config.max_grad_norm)"),),
        ),
        "max_grad_norm does nothing: one outlier may throw the weights far",
        "",
        "",
    ),
    Blind(
        Mutant(
            "mask-of-before", "dqn", "the target counts on what was legal before the step, not on what is legal after it", "classic", "masked-values",
            (Edit('legal = (batch.next_extras["action_mask"],) if', 'legal = (batch.extras["action_mask"],) if'),),
        ),
        "values of actions that cannot be taken are counted on, and some that can are not",
        "masked-values",
        "near",
    ),
    Blind(
        Mutant(
            "loads-online-twice", "dqn", "load_state_dict puts the online network's weights into the target network", "classic", "resumes",
            (Edit('self.target_net.load_state_dict(state["target_net"])', 'self.target_net.load_state_dict(state["q_net"])'),),
        ),
        "resumed is not the same as never stopped",
        "resumes",
        "leads",
    ),
    Blind(
        Mutant(
            "epsilon-kept", "dqn", "with epsilon_decay, epsilon is worked out once and kept", "muPRL: exploration_final_eps", "explores-as-told",
            (Edit("                self.episodes += done.sum(1, keepdim=True)\n                self._epsilon = None", "                self.episodes += done.sum(1, keepdim=True)"),),
            {"epsilon_decay": 0.9},
        ),
        "epsilon stays at epsilon_start for ever",
        "explores-as-told",
        "alarm",
    ),
    Blind(
        Mutant(
            "decays-at-terminations", "dqn", "with epsilon_decay, episodes that a time limit ends are not counted", "classic", "explores-as-told",
            (Edit("            done = transition.terminated | transition.truncated  # (S, E)", "            done = transition.terminated"),),
            {"epsilon_decay": 0.9},
        ),
        "where episodes end by time, epsilon never falls",
        "explores-as-told",
        "alarm",
    ),
    Blind(
        Mutant(
            "target-of-its-own", "dqn", "the target network begins with random weights of its own", "Nikanjam: wrong initialisation", "weights-move",
            (Edit("self.target_net = copy.deepcopy(self.q_net)", 'self.target_net = self.make_network(spec, spec.num_actions, streams["init"]).requires_grad_(False)'),),
            {"target_update_every": 500, "tau": 1.0},
        ),
        "until the first target update values are learned from noise",
        "weights-move",
        "misleads",
    ),
    Blind(
        Mutant(
            "stores-bytes", "dqn", "stores observations as bytes, which suits pixels alone", "Nikanjam: wrong input", "replay-returns",
            (Edit("        self.replay.add(transition)\n", "        kept = {name: getattr(transition, name).to(torch.uint8).to(self.spec.obs_dtype) for name in ('obs', 'next_obs')}\n        self.replay.add(transition._replace(**kept))\n"),),
        ),
        "fractions and signs of what was seen are lost: states look alike in learning that are not",
        "constant-reward",
        "misleads",
    ),
    Blind(
        Mutant(
            "rate-rises", "dqn", "the step size's schedule runs backwards, from its end to its start", "classic", "rate-falls",
            (Edit("                c.learning_rate, c.learning_rate_end, self.spec.total_steps, self.env_steps", "                c.learning_rate_end, c.learning_rate, self.spec.total_steps, self.env_steps"),),
            {"learning_rate_end": 0.0},
        ),
        "learns nothing at first and at full step size at last, when it should settle",
        "",
        "",
    ),
    Blind(
        Mutant(
            "memory-target-remembers", "dqn", "what the target network remembers is not reset inside a sequence", "RLMutation: MSU", "memory",
            (Edit("_, target_remembered = self.target_net.unroll(obs, memory, fresh)", "_, target_remembered = self.target_net.unroll(obs, memory, torch.zeros_like(fresh))", "dqn_memory"),),
            {"memory": "gru"},
        ),
        "next values rest on what was remembered of another episode",
        "delayed-reward",
        "alarm",
        "a target from a memory that is a little off; with it the memory row learns all the same",
    ),
    Blind(
        Mutant(
            "no-layer-norm", "dqn", "layer_norm is not handed on to the network", "classic", "heeded",
            (Edit("return nn.network(spec, self.config.hidden, num_actions, init, layer_norm=self.config.layer_norm)", "return nn.network(spec, self.config.hidden, num_actions, init)"),),
            {"layer_norm": True},
        ),
        "the hyper-parameter does nothing",
        "",
        "",
    ),
)  # fmt: skip
