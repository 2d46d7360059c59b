"""The blind set, as `plants_blind` says: mistakes in PPO and SAC."""

# ruff: noqa: E501  (lines of code, as they stand in the agents' files and as they are to stand there)

from .mechanism import Edit, Mutant
from .plants_blind import Blind

BLIND = (
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
            (Edit('else (action, {"drawn": drawn})', 'else (action, {"drawn": drawn.clamp(-1, 1)})'),),
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
            (Edit("            return self.stretched(torch.erf(self.stir(u) * 0.5**0.5))  # uniform between the bounds", "            return torch.erf(self.stir(u) * 0.5**0.5)"),),
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
            (Edit("torch.tanh(normal.mean + normal.log_std.exp() * self.stir(u))", "torch.tanh(normal.mean + normal.log_std * self.stir(u))"),),
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
)  # fmt: skip
