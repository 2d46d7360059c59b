"""How far LunarLander in JavaScript is from Gymnasium's: a policy plays the same episodes in both."""

import json
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ...errors import RlbenchError
from ...play.html_page import asset
from ...policyfile.opened import PolicyFile, open_policy
from ...ship.page import PHYSICS, POLICY
from ...ship.page_proof import node
from ...ship.plain_graph import plain_graph

ENV = "LunarLander-v3"
AFTER = (1, 10, 50, 200)  # steps of the same actions, after which observations are compared


class Landings(NamedTuple):
    """Returns of the same N episodes in both, and how far observations part where both are given the same actions."""

    there: np.ndarray  # (N,) of Gymnasium
    here: np.ndarray  # (N,) of JavaScript
    gaps: dict[int, np.ndarray]  # steps -> largest difference of an observation, of episodes that last as long


def measure(path: Path, packages: Path, episodes: int) -> Landings:
    """Play ``episodes`` episodes, of seeds 0 on.

    Args:
        path: an ONNX file of LunarLander-v3.
        packages: the folder where `pack` laid Planck down.
        episodes: how many.

    Raises:
        RlbenchError: another environment, no Node.js, or its code fails.
    """
    policy = open_policy(path)
    if policy.metadata.env != ENV:
        raise RlbenchError(f"{path} plays {policy.metadata.env}, not {ENV}")
    if node() is None:
        raise RlbenchError("this needs Node.js, which runs the page's JavaScript")
    env = gym.make(ENV)
    played = [_episode(policy, env, seed) for seed in range(episodes)]
    told = {
        "graph": plain_graph(path.read_bytes(), policy.metadata),
        "env": ENV,
        "episodes": [{"seen": seen, "actions": actions} for _, seen, actions in played],
    }
    page = resources.files("rlbench.experiments.browser") / "page"
    planck = f"const planck = require({json.dumps(str((packages / 'planck.min.js').resolve()))}), Scenes = {{}};"
    ours = "".join(asset(f"agent/{name}") for name in (*PHYSICS, *POLICY))
    code = planck + ours + "".join((page / name).read_text(encoding="utf-8") for name in ("lander.js", "measure.js"))
    done = subprocess.run(
        [str(node()), "-e", code], input=json.dumps(told), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RlbenchError(f"LunarLander's JavaScript fails: {done.stderr.strip().splitlines()[-3:]}")
    found = json.loads(done.stdout)
    gaps = {t: np.array([one["gaps"][t] for one in found if len(one["gaps"]) > t]) for t in AFTER}
    return Landings(np.array([total for total, _, _ in played]), np.array([one["return"] for one in found]), gaps)


def _episode(policy: PolicyFile, env: gym.Env[Any, Any], seed: int) -> tuple[float, list[list[float]], list[int]]:
    obs, _ = env.reset(seed=seed)
    policy.begin()
    total, seen, actions, over = 0.0, [obs.tolist()], [], False
    while not over:
        action = policy.act(obs)
        obs, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), bool(terminated or truncated)
        seen.append(obs.tolist())
        actions.append(int(action))
    return total, seen, actions
