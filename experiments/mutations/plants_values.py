"""What is planted in PQN and in the agents with a table."""

# ruff: noqa: E501  (lines of code, as they stand in the agents' files and as they are to stand there)

from .mechanism import Edit, Mutant

_TERMINAL = "future = 0.0 if terminated else q[s_next, self.greedy(s_next, legal)]"

PQN = (
    Mutant(
        "returns-leak", "pqn", "returns are summed up across the ends of episodes", "classic", "episode-ends",
        (Edit("        return functional.lambda_return(", "        from rlbench.experiments.mutations.faulty import unmasked_return\n\n        return unmasked_return("),),
    ),
    Mutant(
        "no-reverse", "pqn", "returns are summed up from the first step on", "RLMutation: NR", "timed-episode",
        (Edit("return functional.lambda_return(rollout.reward, next_value, *ends,", "return functional.lambda_return(rollout.reward.flip(1), next_value.flip(1), *(end.flip(1) for end in ends),"),),
    ),
    Mutant(
        "this-obs", "pqn", "bootstraps from what was seen before the step", "RLMutation: R", "delayed-reward",
        (Edit("next_obs = rollout.next_obs().flatten(1, 2)", "next_obs = rollout.obs.flatten(1, 2)"),),
    ),
    Mutant(
        "mask-in-target", "pqn", "counts on forbidden actions in the returns", "classic", "masked-values",
        (Edit("functional.legal_q(self.q_net.forward(part), mask)", "functional.legal_q(self.q_net.forward(part), None)"),),
    ),
)  # fmt: skip

TABLES = (
    Mutant(
        "no-terminal", "q_learning", "bootstraps through a termination",
        "Nikanjam: missing terminal state; RLMutation: MTS", "termination",
        (Edit(_TERMINAL, "future = q[s_next, self.greedy(s_next, legal)]"),),
    ),
    Mutant(
        "no-old-value", "q_learning", "the value is not taken off the target", "Nikanjam: wrong update rule", "constant-reward",
        (Edit("td_error = r + gamma * future - q[s, a]", "td_error = r + gamma * future"),),
    ),
    Mutant(
        "worst-next", "q_learning", "counts on the smallest of the next values, not on the largest", "Nikanjam: wrong update rule", "worth-waiting",
        (Edit(_TERMINAL, "future = 0.0 if terminated else q[s_next].min()"),),
    ),
    Mutant(
        "mask-in-target", "q_learning", "counts on forbidden actions in the target", "classic", "masked-values",
        (Edit(_TERMINAL, "future = 0.0 if terminated else q[s_next, self.greedy(s_next)]"),),
    ),
    Mutant(
        "forgets-counters", "q_learning", "state_dict leaves the count of steps out, and with it epsilon", "classic", "resumes",
        (
            Edit('"env_steps": self.env_steps, "updates"', '"updates"', "tabular"),
            Edit('self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])', 'self.updates = int(state["updates"])', "tabular"),
        ),
    ),
    Mutant(
        "cuts-at-limits", "sarsa", "takes a time limit for a termination", "classic", "time-limit",
        (Edit("future = 0.0 if terminated else q[s_next, a_next]", "future = 0.0 if terminated or truncated else q[s_next, a_next]"),),
    ),
    Mutant(
        "always-explores", "sarsa", "epsilon never falls", "classic", "explores-as-told",
        (Edit("return linear_schedule(c.epsilon_start, c.epsilon_end, c.epsilon_steps, self.env_steps)", "return c.epsilon_start", "tabular"),),
    ),
    Mutant(
        "forgets-choice", "sarsa", "state_dict leaves the action that was chosen out", "classic", "resumes",
        (
            Edit('return {**super().state_dict(), "chosen": torch.tensor(self.chosen)}', "return super().state_dict()"),
            Edit('        self.chosen = state["chosen"].tolist()\n', ""),
        ),
    ),
)  # fmt: skip
