"""The blind set: mistakes that were written down before anybody knew what `rlbench check` says of them.

The rows of the other plants were written with these plants at hand, so that their score says that rows do what they
were made for, and not how many mistakes of other people's they would find. Whoever planted these had read the agents,
and neither the rows nor what they ask.
"""

# ruff: noqa: E501  (lines of code, as they stand in the agents' files and as they are to stand there)

from typing import NamedTuple

from .mechanism import Edit, Mutant


class Blind(NamedTuple):
    """A mistake that was planted blind.

    Attributes:
        mutant: its row is the one that was found, or made, since.
        worse: what is worse for it: one that changes nothing would be no mistake.
        first: the row that failed first when it was asked the first time; "": none did.
        judged: whether what that row said "leads" to the mistake, comes "near", or "misleads"; "alarm" where it was a
            false one, which a sound agent of the same hyper-parameters raised too.
        why: where it slips through still, why.
    """

    mutant: Mutant
    worse: str
    first: str
    judged: str
    why: str = ""

    @property
    def caught_at_first(self) -> bool:
        return bool(self.first) and self.judged != "alarm"


_MASKED_RANDOM = """        if legal is not None:
            random = functional.nth_legal(u / epsilon, legal.cpu().numpy())
        else:
            random"""

BLIND = (
    # DQN
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
    # PPO
    Blind(
        Mutant(
            "ratio-upside-down", "ppo", "the ratio is that of the old chances to the new ones", "Nikanjam: wrong update rule", "spread",
            (Edit('log_ratio = policy.log_prob(action) - kept["log_prob"]', 'log_ratio = kept["log_prob"] - policy.log_prob(action)'),),
        ),
        "what became likelier is clipped where it should go on, and pushed on where it should stop",
        "aimed-actions",
        "near",
    ),
    Blind(
        Mutant(
            "ratio-of-now", "ppo", "the old chances are those of now: the ratio is always 1", "classic", "aimed-actions",
            (Edit('log_ratio = policy.log_prob(action) - kept["log_prob"]', "log_ratio = policy.log_prob(action) * 0.0"),),
        ),
        "nothing is ever clipped: ten epochs push the policy as far as they like",
        "aimed-actions",
        "near",
    ),
    Blind(
        Mutant(
            "gamma-for-lambda", "ppo", "gamma and gae_lambda change places", "muPRL: gamma", "delayed-reward",
            (Edit("gamma=c.gamma, lambda_=c.gae_lambda)", "gamma=c.gae_lambda, lambda_=c.gamma)"),),
        ),
        "discounts by 0.95 a step: what comes later hardly counts",
        "delayed-reward",
        "near",
    ),
    Blind(
        Mutant(
            "target-without-value", "ppo", "values learn the advantages, not advantages plus values", "Nikanjam: wrong update rule", "constant-reward",
            (Edit('"target": advantage + value}', '"target": advantage}'),),
        ),
        "values never tell what is to come, and the baseline is none",
        "constant-reward",
        "near",
    ),
    Blind(
        Mutant(
            "normalised-targets", "ppo", "advantages are normalised before the values' targets are made of them", "classic", "constant-reward",
            (Edit('        kept = {"log_prob": log_prob, "value": value,', '        advantage = functional.standardised(advantage.flatten(1)).view(lead)\n        kept = {"log_prob": log_prob, "value": value,'),),
        ),
        "values have the wrong scale and drift with every rollout",
        "constant-reward",
        "near",
    ),
    Blind(
        Mutant(
            "advantages-of-others", "ppo", "advantages are laid out env by env, the steps that they are of time by time", "classic", "rewarded-action",
            (Edit('"advantage": advantage, "target"', '"advantage": advantage.transpose(1, 2).reshape(lead), "target"'),),
        ),
        "steps are rewarded for what other steps of other envs brought",
        "rewarded-action",
        "near",
    ),
    Blind(
        Mutant(
            "advantage-as-it-is", "ppo", "normalise_advantage is not heeded: advantages stay as they are", "classic", "heeded",
            (Edit('advantage = functional.standardised(kept["advantage"]) if c.normalise_advantage else kept["advantage"]', 'advantage = kept["advantage"]'),),
        ),
        "large rewards drown the clipped gradient of the values, small ones move nothing beside the entropy",
        "",
        "",
    ),
    Blind(
        Mutant(
            "clips-stored-action", "ppo", "keeps the action as it was clipped to the bounds, not as it was drawn", "classic", "aimed-actions",
            (Edit('return (action, {"drawn": drawn}) if', 'return (action, {"drawn": drawn.clamp(-1, 1)}) if'),),
        ),
        "chances are those of actions that were not drawn: the ratio is off at the bounds",
        "",
        "",
        "at a bound the policy is a little narrower than it should be, which pays there",
    ),
    Blind(
        Mutant(
            "deviation-fixed", "ppo", "the deviation is left out of what is optimised", "RLMutation: POC", "aimed-actions",
            (Edit("            torch.sum(at, 1, keepdim=True, out=grads[-1])", "            grads[-1].zero_()"),),
        ),
        "continuous actions stay as noisy as at first",
        "aimed-actions",
        "near",
    ),
    Blind(
        Mutant(
            "learns-unnormalised", "ppo", "observations are normalised to act, and not to learn", "Nikanjam: wrong input", "constant-reward",
            (Edit("obs = self.normalised(rollout.obs.flatten(1, 2)).view(*lead, *self.spec.obs_shape)", "obs = rollout.obs"),),
            {"normalise_obs": True},
        ),
        "acts by a function of other inputs than it learned",
        "constant-reward",
        "misleads",
    ),
    Blind(
        Mutant(
            "learns-unmasked", "ppo", "the mask is heeded where it acts and not where it learns", "classic", "masked-chances",
            (Edit("        policy = self.policy(numbers, self._legal(kept))\n        log_ratio", "        policy = self.policy(numbers)\n        log_ratio"),),
        ),
        "ratios compare masked with unmasked chances, and begin below 1",
        "",
        "",
    ),
    Blind(
        Mutant(
            "rate-by-updates", "ppo", "the schedules count gradient steps for env steps", "classic", "rate-falls",
            (Edit("        began = self.env_steps - self.replay.capacity\n", "        began = self.updates\n"),),
            {"learning_rate_end": 0.0},
        ),
        "the step size falls at another pace than it was told and never gets to its end",
        "",
        "",
    ),
    Blind(
        Mutant(
            "first-minibatch", "ppo", "leaves an epoch after its first minibatch", "Nikanjam: suboptimal update frequency", "updates-due",
            (Edit("                learned = self.learn_from(part, clip)\n", "                learned = self.learn_from(part, clip)\n                break\n"),),
        ),
        "most of what was collected is thrown away",
        "updates-due",
        "leads",
    ),
    Blind(
        Mutant(
            "memory-across-episodes", "ppo", "inside a sequence, what is remembered goes on into the next episode", "RLMutation: MSU", "memory",
            (Edit("        return torch.cat((torch.zeros_like(ended[:, :1]), ended[:, :-1]), 1)", "        return torch.zeros_like(ended)", "ppo_memory"),),
            {"memory": "gru"},
        ),
        "learns from other memories than it acted with",
        "",
        "",
        "ratios and values rest on memories that are a little off; the memory row learns all the same",
    ),
    Blind(
        Mutant(
            "values-never-learn", "ppo", "the gradient of the values is made and not used", "Nikanjam: wrong network update", "weights-move",
            (Edit("        grad_norm = functional.clip_norm_(self.params.grad, c.max_grad_norm)\n", "        for grad in grads[self._own[1]]:\n            grad.zero_()\n        grad_norm = functional.clip_norm_(self.params.grad, c.max_grad_norm)\n"),),
        ),
        "there is no baseline and no bootstrap but noise",
        "weights-move",
        "leads",
    ),
    Blind(
        Mutant(
            "scales-unseen-rewards", "ppo", "rewards are normalised by mean and deviation of each rollout", "classic", "constant-reward",
            (Edit("reward = self.scale(rollout.reward) if c.normalise_rewards else rollout.reward", "reward = functional.standardised(rollout.reward.flatten(1)).view(lead)"),),
        ),
        "a reward that is the same at every step becomes 0: what it is good to stay alive for is gone",
        "constant-reward",
        "near",
    ),
    # SAC
    Blind(
        Mutant(
            "larger-critic", "sac", "targets take the larger of the two critics", "Nikanjam: wrong update rule", "time-limit",
            (Edit("self.pair(self.targets.forward(twice(next_obs), twice(next_action))).amin(1)", "self.pair(self.targets.forward(twice(next_obs), twice(next_action))).amax(1)"),),
        ),
        "overestimation, which two critics are there against, is made worse",
        "",
        "",
        "on few states both critics come to agree; optimism grows in long trainings, where they do not",
    ),
    Blind(
        Mutant(
            "hard-value", "sac", "the entropy is left out of the critics' target", "classic", "soft-values",
            (Edit("functional.td_target(reward, discount, next_q - alpha * next_log_prob)", "functional.td_target(reward, discount, next_q)"),),
        ),
        "critic and actor are after different things: uncertainty later on is worth nothing",
        "",
        "",
    ),
    Blind(
        Mutant(
            "log-for-alpha", "sac", "takes the logarithm of the temperature for the temperature", "classic", "spread",
            (Edit("share, alpha = 1 / self.config.batch_size, self.log_alpha.exp()", "share, alpha = 1 / self.config.batch_size, self.log_alpha.clone()"),),
        ),
        "the temperature is below 0 as soon as it falls: certainty is paid for",
        "bounded-actions",
        "misleads",
    ),
    Blind(
        Mutant(
            "wants-too-much", "sac", "the entropy that is wanted has the wrong sign: +1 for each number of an action", "muPRL: ent_coef", "aimed-actions",
            (Edit("return -float(math.prod(spec.action_shape)) if wanted is None else wanted", "return float(math.prod(spec.action_shape)) if wanted is None else wanted"),),
        ),
        "no policy on -1..1 has that much: the temperature grows without end, and actions stay random",
        "aimed-actions",
        "misleads",
    ),
    Blind(
        Mutant(
            "critics-unscaled", "sac", "critics learn of actions as the environment has them, and are asked of actions in -1..1", "Nikanjam: wrong input", "aimed-actions",
            (Edit("twice(self.scaled(action)))  # (2 S, B)", "twice(action))  # (2 S, B)"),),
        ),
        "where bounds are not -1 and 1 the actor is led by values of other actions",
        "aimed-actions",
        "leads",
    ),
    Blind(
        Mutant(
            "plays-unsquashed", "sac", "greedy actions are not squashed", "Nikanjam: wrong output", "greedy-middle",
            (Edit("return self.stretched(torch.tanh(self.policy(self.actor.forward(obs)).mode))", "return self.stretched(self.policy(self.actor.forward(obs)).mode)"),),
        ),
        "plays another action than it learned, nearer the bounds",
        "",
        "",
    ),
    Blind(
        Mutant(
            "random-unstretched", "sac", "random actions at first are drawn in -1..1, whatever the bounds", "classic", "actions",
            (Edit("            return self.stretched(torch.erf(self.noise * 0.5**0.5))  # uniform between the bounds", "            return torch.erf(self.noise * 0.5**0.5)"),),
        ),
        "most of a wide action space is never tried, and a shifted one is left",
        "actions",
        "leads",
    ),
    Blind(
        Mutant(
            "actor-by-targets", "sac", "the actor follows the target critics", "Nikanjam: wrong network update", "frozen-target",
            (
                Edit("        by_critic, kept = self.critics.keep(seen, twice(action))", "        by_critic, kept = self.targets.keep(seen, twice(action))"),
                Edit("self.pair(self.critics.at_action(kept, at_q.flatten(0, 1)))", "self.pair(self.targets.at_action(kept, at_q.flatten(0, 1)))"),
            ),
        ),
        "the actor goes by values that lie hundreds of updates back",
        "",
        "",
    ),
    Blind(
        Mutant(
            "one-update-each", "sac", "updates_per_train is not heeded", "Nikanjam: suboptimal update frequency", "heeded",
            (Edit("for _ in range(due * c.updates_per_train):", "for _ in range(due):"),),
            {"updates_per_train": 2},
        ),
        "half of the updates that were asked for",
        "",
        "",
    ),
    Blind(
        Mutant(
            "deviation-is-log", "sac", "takes the logarithm of the deviation for the deviation while exploring", "classic", "greedy-middle",
            (Edit("torch.tanh(normal.mean + normal.log_std.exp() * noise)", "torch.tanh(normal.mean + normal.log_std * noise)"),),
        ),
        "explores by other noise than the policy that it learns, none at all where the deviation is 1",
        "",
        "",
    ),
    Blind(
        Mutant(
            "mean-value", "sac", "with choices, the soft value is a mean over the actions, whatever their chances", "classic", "masked-values",
            (Edit("(then.probabilities * soft).sum(-1))  # (S, B)", "soft.mean(-1))  # (S, B)", "sac_discrete"),),
        ),
        "values of a policy that acts at random",
        "masked-values",
        "misleads",
    ),
    # PQN
    Blind(
        Mutant(
            "counts-calls", "pqn", "counts calls of observe, not the steps of all its envs", "classic", "explores-as-told",
            (Edit("        self.env_steps += self.spec.num_envs\n", "        self.env_steps += 1\n"),),
        ),
        "with E envs exploration lasts E times as long as it was told",
        "explores-as-told",
        "leads",
    ),
    Blind(
        Mutant(
            "no-layer-norm", "pqn", "layer_norm is not handed on to the network", "RLMutation: PAC", "heeded",
            (Edit("init, layer_norm=self.config.layer_norm)", "init)"),),
        ),
        "the method has nothing else against divergence",
        "",
        "",
    ),
    Blind(
        Mutant(
            "mean-of-next", "pqn", "returns count on the mean of the next values, not on the largest", "Nikanjam: wrong update rule", "masked-values",
            (Edit("values.append(functional.max_value(q))", "values.append(q.mean(-1))"),),
        ),
        "learns the values of acting at random",
        "explain",
        "misleads",
    ),
    Blind(
        Mutant(
            "lambda-for-gamma", "pqn", "q_lambda is taken for gamma too", "muPRL: gamma", "delayed-reward",
            (Edit("gamma=c.gamma, lambda_=c.q_lambda)", "gamma=c.q_lambda, lambda_=c.q_lambda)"),),
        ),
        "what comes more than a few steps later counts for nothing",
        "delayed-reward",
        "misleads",
    ),
    Blind(
        Mutant(
            "returns-once-more", "pqn", "the rollout's steps are put beside the returns of the step before", "RLMutation: M", "observed-reward",
            (Edit("        target = self.returns()\n", "        target = self.returns().roll(1, 1)\n"),),
        ),
        "each step learns what the step before it was worth",
        "observed-reward",
        "misleads",
    ),
    # Tables and REINFORCE
    Blind(
        Mutant(
            "first-env", "q_learning", "returns from inside the loop: only the first env's step is learned from", "Nikanjam: suboptimal update frequency", "every-env",
            (Edit("            self.updates += 1\n        return", "            self.updates += 1\n            break\n        return"),),
        ),
        "with E envs a share 1 / E of what happened is learned from",
        "",
        "",
    ),
    Blind(
        Mutant(
            "epsilon-rises", "q_learning", "epsilon rises from its end to its start", "muPRL: exploration_final_eps", "explores-as-told",
            (Edit("return linear_schedule(c.epsilon_start, c.epsilon_end, c.epsilon_steps, self.env_steps)", "return linear_schedule(c.epsilon_end, c.epsilon_start, c.epsilon_steps, self.env_steps)", "tabular"),),
        ),
        "greedy while it knows nothing, at random for good",
        "explores",
        "leads",
    ),
    Blind(
        Mutant(
            "zero-at-first", "q_learning", "initial_value is not heeded", "Nikanjam: wrong initialisation", "heeded",
            (Edit("np.full((spec.num_obs, spec.num_actions), config.initial_value)", "np.zeros((spec.num_obs, spec.num_actions))", "tabular"),),
            {"initial_value": 10.0},
        ),
        "optimistic values, by which all actions are tried, are not there",
        "",
        "",
    ),
    Blind(
        Mutant(
            "next-action-here", "sarsa", "bootstraps from the next action where it is, not where it comes to", "RLMutation: R", "delayed-reward",
            (Edit("q[s_next, a_next]", "q[s, a_next]"),),
        ),
        "values never pass from one state to the one before",
        "delayed-reward",
        "near",
    ),
    Blind(
        Mutant(
            "not-detached", "reinforce", "the error that weighs log-probabilities is not detached", "classic", "constant-reward",
            (Edit("error.detach() * log_prob", "error * log_prob"),),
        ),
        "the baseline is pushed by how likely actions were, away from the returns",
        "constant-reward",
        "near",
    ),
    Blind(
        Mutant(
            "whole-return", "reinforce", "each step is credited with the whole episode's return", "classic", "delayed-reward",
            (Edit("target = torch.tensor(returns[::-1])[:known]", "target = torch.full((known,), returns[-1])"),),
        ),
        "rewards that came before an action count for it: noise, and values that are no step's own",
        "delayed-reward",
        "near",
    ),
    Blind(
        Mutant(
            "newest-episode", "reinforce", "learns from the newest of the episodes that ended together, and forgets the others", "Nikanjam: suboptimal update frequency", "every-env",
            (Edit("        for episode, terminated in self.ended:", "        for episode, terminated in self.ended[-1:]:"),),
        ),
        "with E envs up to a share 1 - 1 / E of the episodes is thrown away",
        "",
        "",
    ),
)  # fmt: skip
