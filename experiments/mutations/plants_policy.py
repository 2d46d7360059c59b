"""What is planted in PPO, SAC and REINFORCE."""

# ruff: noqa: E501  (lines of code, as they stand in the agents' files and as they are to stand there)

from .mechanism import Edit, Mutant

_GAE = "        advantage = functional.gae(reward, value, next_value, *ends, gamma=c.gamma, lambda_=c.gae_lambda)\n"
_ENDS = "        ends = rollout.terminated, rollout.truncated\n"
_NOISE = "        return as_normal(u, *shape).unbind(1)  # (S, B, *action_shape) each\n"
_RESULT = "        target = torch.tensor(returns[::-1])[:known]  # (known,), as all that follows\n"

PPO = (
    Mutant(
        "no-terminal", "ppo", "bootstraps through a termination",
        "Nikanjam: missing terminal state; RLMutation: MTS", "termination",
        (
            Edit("rollout.next_value(lambda final: self.value(self.normalised(final)), value, self.batches)", "self.value(self.normalised(rollout.next_obs().flatten(1, 2))).view(value.shape)"),
            Edit(_GAE, "        ends = torch.zeros_like(ends[0]), ends[0] | ends[1]\n" + _GAE),
        ),
    ),
    Mutant(
        "cuts-at-limits", "ppo", "takes a time limit for a termination", "classic", "time-limit",
        (Edit(_GAE, "        ends = ends[0] | ends[1], ends[1]\n" + _GAE),),
    ),
    Mutant(
        "next-episode", "ppo", "next_obs is the next episode's first observation", "classic", "time-limit",
        (Edit(_GAE, "        next_value = torch.where(ends[1] & ~ends[0], torch.cat([value[:, 1:], next_value[:, -1:]], 1), next_value)\n" + _GAE),),
    ),
    Mutant(
        "advantage-leaks", "ppo", "advantages are summed up across the ends of episodes", "classic", "episode-ends",
        (
            Edit("        advantage = functional.gae(", "        from rlbench.experiments.mutations.faulty import unmasked_gae\n\n        advantage = unmasked_gae("),
        ),
    ),
    Mutant(
        "no-discount", "ppo", "does not discount", "RLMutation: NDF; muPRL: gamma", "delayed-reward",
        (Edit(_GAE, _GAE.replace("gamma=c.gamma", "gamma=1.0")),),
    ),
    Mutant(
        "wrong-sign", "ppo", "makes less likely what paid", "Nikanjam: wrong update rule", "rewarded-action",
        (Edit("slope * (-1 / count), -c.entropy_weight / count)", "slope * (1 / count), -c.entropy_weight / count)"),),
    ),
    Mutant(
        "entropy-sign", "ppo", "the entropy has the wrong sign", "classic; muPRL: ent_coef", "entropy",
        (Edit("slope * (-1 / count), -c.entropy_weight / count)", "slope * (-1 / count), c.entropy_weight / count)"),),
    ),
    Mutant(
        "no-entropy", "ppo", "the entropy is left out", "muPRL: ent_coef", "entropy",
        (Edit("slope * (-1 / count), -c.entropy_weight / count)", "slope * (-1 / count))"),),
    ),
    Mutant(
        "log-prob-axis", "ppo", "chances are normalised over the minibatch, not over the actions", "classic", "rewarded-action",
        (Edit("        at_numbers, *at_log_std = policy.pull(action, slope * (-1 / count), -c.entropy_weight / count)\n", """        at = torch.zeros_like(numbers).scatter_(-1, action.unsqueeze(-1), (slope * (-1 / count)).unsqueeze(-1))
        at_numbers, at_log_std = at - numbers.softmax(1) * at.sum(1, keepdim=True), []
"""),),
    ),
    Mutant(
        "values-untrained", "ppo", "the values' loss has no weight", "RLMutation: ILF", "constant-reward",
        (Edit("value_slope.unsqueeze(-1) * (c.value_weight / count)", "value_slope.unsqueeze(-1) * (0 * c.value_weight / count)"),),
    ),
    Mutant(
        "never-explores", "ppo", "acts by the likeliest action while exploring", "Nikanjam: missing exploration", "explores",
        (Edit("drawn = policy.sample(Handed(u))", "drawn = policy.mode"),),
    ),
    Mutant(
        "greedy-draws", "ppo", "acts by chance where it should be greedy", "Nikanjam: wrong output", "greedy-is-fixed",
        (Edit("self.policy(self.policy_net.forward(self.normalised(obs)), legal).mode", "self.policy(self.policy_net.forward(self.normalised(obs)), legal).sample(self.draws)"),),
    ),
    Mutant(
        "greedy-normalises", "ppo", "evaluations move the moments that observations are normalised by", "classic", "evaluation",
        (Edit("        if not explore:\n", """        if self.normalises and not explore:
            self.seen.update(obs)
        if not explore:
"""),),
        {"normalise_obs": True},
    ),
    Mutant(
        "forgets-normaliser", "ppo", "state_dict leaves the moments of observations out", "classic", "resumes",
        (Edit('("policy_net", "value_net", "log_std", "adam", "seen", "scale")', '("policy_net", "value_net", "log_std", "adam", "scale")'),),
        {"normalise_obs": True},
    ),
    Mutant(
        "forgets-schedule", "ppo", "state_dict leaves the count of steps out, and with it the schedules", "classic", "resumes",
        (
            Edit('return {**parts, "env_steps": self.env_steps, "updates": self.updates}', 'return {**parts, "updates": self.updates}'),
            Edit('self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])', 'self.updates = int(state["updates"])'),
        ),
        {"learning_rate_end": 0.0},
    ),
    Mutant(
        "clips-the-stack", "ppo", "clips gradients by the norm over all seeds", "classic", "width",
        (Edit("functional.clip_norm_(self.params.grad, c.max_grad_norm)", "functional.clip_norm_(self.params.grad.view(1, -1), c.max_grad_norm).expand(self.spec.num_seeds)"),),
    ),
    Mutant(
        "advantage-over-seeds", "ppo", "advantages are normalised over all seeds", "classic", "width",
        (Edit('functional.standardised(kept["advantage"]) if', 'functional.standardised(kept["advantage"].reshape(1, -1)).view_as(kept["advantage"]) if'),),
    ),
    Mutant(
        "short-rollouts", "ppo", "rollouts are half as long as it is told", "muPRL: n_steps", "by-env-steps",
        (Edit("Rollout(spec, config.rollout_steps, self.kept())", "Rollout(spec, max(1, config.rollout_steps // 2), self.kept())"),),
    ),
    Mutant(
        "one-epoch", "ppo", "learns once from each rollout, whatever it is told", "Nikanjam: suboptimal update frequency", "updates-due",
        (Edit("for _ in range(c.epochs):", "for _ in range(1):"),),
    ),
)  # fmt: skip

SAC = (
    Mutant(
        "no-terminal", "sac", "bootstraps through a termination",
        "Nikanjam: missing terminal state; RLMutation: MTS", "continuous-ends",
        (Edit("        self.replay.add(transition)\n", "        self.replay.add(transition._replace(terminated=torch.zeros_like(transition.terminated)))\n"),),
    ),
    Mutant(
        "no-tanh-correction", "sac", "takes the density before tanh for that of the action", "classic", "spread",
        (
            Edit("        return SquashedNormal(mean, log_std.clamp(*LOG_STD))\n", """        made = SquashedNormal(mean, log_std.clamp(*LOG_STD))
        squashed = made.vjp

        def vjp(noise: Tensor) -> Any:
            action, _, pull = squashed(noise)
            density = made.normal.log_prob(made.normal.mean + made.normal.log_std.exp() * self.stir(u))

            def back(at_action: Tensor, at_log_prob: Tensor) -> Any:
                at_mean, at_log_std = pull(at_action, torch.zeros_like(at_log_prob))
                return at_mean, at_log_std - at_log_prob.unsqueeze(-1)

            return action, density, back

        made.vjp = vjp
        return made
"""),
        ),
    ),
    Mutant(
        "temperature-sign", "sac", "the temperature moves the wrong way", "classic; muPRL: ent_coef", "temperature",
        (Edit("self.adapt(entropy - self.target_entropy)", "self.adapt(self.target_entropy - entropy)"),),
    ),
    Mutant(
        "entropy-sign", "sac", "the actor is paid for certainty", "classic", "spread",
        (Edit("drawn_by(at_action, (alpha * share).expand_as(log_prob))", "drawn_by(at_action, (-alpha * share).expand_as(log_prob))"),),
    ),
    Mutant(
        "log-prob-axis", "sac", "log-probabilities are means over an action's numbers, not sums", "classic", "temperature",
        (Edit("        entropy = -log_prob.mean(1)\n", "        entropy = -log_prob.mean(1) / math.prod(self.spec.action_shape)\n"),),
    ),
    Mutant(
        "actor-climbs-down", "sac", "the actor goes where values are low", "Nikanjam: wrong update rule", "aimed-actions",
        (Edit(".scatter_(1, which, -share)", ".scatter_(1, which, share)"),),
    ),
    Mutant(
        "targets-never", "sac", "never moves the target critics", "Nikanjam: wrong network update; muPRL: tau", "target-network",
        (Edit('        self.target.data.lerp_(self.online["critics"].data, self.config.tau)\n', ""),),
    ),
    Mutant(
        "stale-action", "sac", "stores each step with the action before it", "RLMutation: M", "replay-returns",
        (Edit("        self.replay.add(transition)\n", """        before, self._before = getattr(self, "_before", transition.action), transition.action.clone()
        self.replay.add(transition._replace(action=before))
"""),),
    ),
    Mutant(
        "global-random", "sac", "draws actions by torch's global generator", "classic", "no-global-random",
        (Edit(_NOISE, "        return torch.randn(self.spec.num_seeds, *shape).unbind(1)\n"),),
    ),
    Mutant(
        "forgets-temperature", "sac", "state_dict leaves the temperature out", "classic", "resumes",
        (
            Edit('            "log_alpha": self.log_alpha,\n', ""),
            Edit('        self.log_alpha.copy_(state["log_alpha"])\n', ""),
        ),
    ),
    Mutant(
        "entropy-in-target", "sac", "with choices, the soft value has the entropy's wrong sign", "classic", "entropy",
        (Edit("soft = next_q - alpha.unsqueeze(-1) * then.log_probs", "soft = next_q + alpha.unsqueeze(-1) * then.log_probs", "sac_discrete"),),
    ),
    Mutant(
        "choice-entropy-sign", "sac", "with choices, the actor is paid for certainty", "classic; muPRL: ent_coef", "entropy",
        (Edit("costs = alpha.unsqueeze(-1) * log_chances - lower", "costs = -alpha.unsqueeze(-1) * log_chances - lower", "sac_discrete"),),
    ),
    Mutant(
        "choice-temperature-sign", "sac", "with choices, the temperature moves the wrong way", "classic", "choice-temperature",
        (Edit("self.adapt((entropy - self.target_entropy * count.clamp(min=1).log()).mean(1))", "self.adapt((self.target_entropy * count.clamp(min=1).log() - entropy).mean(1))", "sac_discrete"),),
    ),
    Mutant(
        "mask-in-target", "sac", "with choices, counts on forbidden actions in the target", "classic", "masked-values",
        (Edit("then = Categorical(self.actor.forward(next_obs), next_legal)", "then = Categorical(self.actor.forward(next_obs))", "sac_discrete"),),
    ),
)  # fmt: skip

REINFORCE = (
    Mutant(
        "no-reverse", "reinforce", "returns are not turned round again", "RLMutation: NR", "timed-episode",
        (Edit(_RESULT, _RESULT.replace("returns[::-1]", "returns")),),
    ),
    Mutant(
        "no-discount", "reinforce", "does not discount", "RLMutation: NDF; muPRL: gamma", "delayed-reward",
        (Edit("g = r + self.config.gamma * g", "g = r + g"),),
    ),
    Mutant(
        "wrong-sign", "reinforce", "makes less likely what paid", "Nikanjam: wrong update rule", "rewarded-action",
        (Edit("- error.detach() * log_prob)", "+ error.detach() * log_prob)"),),
    ),
    Mutant(
        "episodes-run-on", "reinforce", "an episode is not put away where it ends, and the next is added to it", "classic", "episode-ends",
        (Edit("                self.under_way[e] = []\n\n    def update", "                self.under_way[e] = episode[-1:]\n\n    def update"),),
    ),
)  # fmt: skip
