"""What Gymnasium asks of every environment: spaces that hold what is returned, seeds that repeat, pictures."""

import gymnasium
from gymnasium.utils.env_checker import check_env


def test_my_env() -> None:
    check_env(gymnasium.make("rlbench.templates.env:MyEnv-v0", render_mode="rgb_array").unwrapped)
