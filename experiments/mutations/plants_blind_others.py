"""The blind set, as `plants_blind` says: mistakes in PQN, in the agents with a table, and in REINFORCE."""

# ruff: noqa: E501  (lines of code, as they stand in the agents' files and as they are to stand there)

from .mechanism import Edit, Mutant
from .plants_blind import Blind

BLIND = (
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
            (Edit("        return (self.returns(),)\n", "        return (self.returns().roll(1, 1),)\n"),),
        ),
        "each step learns what the step before it was worth",
        "observed-reward",
        "misleads",
    ),
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
