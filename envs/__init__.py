"""Environments of our own, installed as `rlbench.envs`: importing this package registers them with Gymnasium.

    import gymnasium
    import rlbench.envs

    env = gymnasium.make("rlbench/Catch-v0", render_mode="rgb_array")

`gymnasium.make("rlbench.envs:rlbench/Catch-v0")` does both in one line. This package stands beside the core, not in
it: it knows numpy and Gymnasium, and nothing of torch, of agents or of the loop that trains them.
"""

import gymnasium

__all__ = ["FAULTY_IDS", "IDS"]

# Entry points are strings, so that importing this package imports no environment before one is made.
_ENTRY_POINTS = {
    "rlbench/Catch-v0": "rlbench.envs.catch:Catch",
    "rlbench/TMaze-v0": "rlbench.envs.t_maze:TMaze",
    "rlbench/ProbeConstantReward-v0": "rlbench.envs.probe:ConstantReward",
    "rlbench/ProbeObsReward-v0": "rlbench.envs.probe:ObsReward",
    "rlbench/ProbeDelayedReward-v0": "rlbench.envs.probe:DelayedReward",
    "rlbench/ProbeActionReward-v0": "rlbench.envs.probe:ActionReward",
    "rlbench/ProbeObsActionReward-v0": "rlbench.envs.probe:ObsActionReward",
    "rlbench/ProbeTruncated-v0": "rlbench.envs.probe:TruncatedReward",
    "rlbench/ProbeTerminated-v0": "rlbench.envs.probe:TerminatedReward",
    "rlbench/ProbeNan-v0": "rlbench.envs.probe:NanObs",
    "rlbench/ProbeWrongShape-v0": "rlbench.envs.probe:WrongShape",
}

# The return that counts as solved, where Gymnasium is to know one.
_SOLVED = {"rlbench/TMaze-v0": 0.95}

#: Every id registered here.
IDS: tuple[str, ...] = tuple(_ENTRY_POINTS)

#: The ids, among `IDS`, of environments that break their own observation space on purpose.
FAULTY_IDS: tuple[str, ...] = ("rlbench/ProbeNan-v0", "rlbench/ProbeWrongShape-v0")


def _register() -> None:
    """Registers what is not registered yet: doing it twice would make Gymnasium warn that it overrides an id."""
    for env_id, entry_point in _ENTRY_POINTS.items():
        if env_id not in gymnasium.registry:
            # No max_episode_steps: each of them ends its episodes itself.
            gymnasium.register(env_id, entry_point=entry_point, reward_threshold=_SOLVED.get(env_id))


_register()
