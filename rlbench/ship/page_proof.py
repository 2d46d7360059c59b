"""The proof of a page: its own JavaScript, run by Node.js, against the ONNX file and against Gymnasium."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ..errors import first_line
from ..play.html_page import asset
from ..policyfile.metadata import PolicyFileError
from ..policyfile.opened import PolicyFile
from .page import PHYSICS, POLICY

STATES = 1e-9  # how far the physics may be from Gymnasium's after a step, in the environment's units
SEEN = 1e-6  # and its observations, which are float32
NUMBERS = 1e-5  # how far outputs may be from ONNX Runtime's, relative to the larger of 1 and the number
EPISODE_SEED = 0


class SteppedEpisode(NamedTuple):
    """One episode of Gymnasium's, T steps, with what cannot be seen of it."""

    states: list[list[float]]  # T + 1
    seen: list[np.ndarray]  # T + 1 observations
    actions: list[float]
    rewards: list[float]
    terminated: list[bool]


class PageProof(NamedTuple):
    """What was compared, and the largest differences; of ``ties`` the page took the other action of one value."""

    observations: int
    outputs: float
    ties: int
    steps: int
    states: float
    node: str

    def text(self) -> str:
        """What was found, in two parts with a semicolon between them."""
        near = f"states within {self.states:.1g}" if self.states else "the same states to the bit"
        tied = f", {self.ties:,} of them ties" if self.ties else ""
        return (
            f"ONNX Runtime's answers to {self.observations:,} observations: all actions{tied}, numbers within "
            f"{self.outputs:.1g}; Gymnasium's {self.steps:,} steps: {near} (tried by Node.js {self.node})"
        )


def node() -> str | None:
    """Where Node.js is, if it is installed."""
    return shutil.which("node")


def prove(
    graph: dict[str, Any], policy: PolicyFile, env: gym.Env[Any, Any], recorded: Sequence[Sequence[Any]] = ()
) -> PageProof:
    """Run the page's JavaScript beside what it stands for. It needs `node`.

    Every step of the episode begins where Gymnasium's stood before it: an upright pole doubles the least difference
    every ten steps, so that whole trajectories of the same law part.

    Args:
        graph: of the page.
        policy: the ONNX file that the graph was read from.
        env: its environment, as Gymnasium makes it.
        recorded: observations of other episodes, in their order.

    Raises:
        PolicyFileError: they differ; it says where.
    """
    episode = played(policy, env)
    sequences = [episode.seen[:-1], *recorded]
    told = {
        "graph": graph,
        "env": policy.metadata.env,
        "seed": EPISODE_SEED,
        "sequences": [[np.asarray(obs).ravel().tolist() for obs in some] for some in sequences],
        **episode._asdict(),
        "seen": [np.asarray(obs).ravel().tolist() for obs in episode.seen],
    }
    said = _run(told)
    outputs, ties = zip(
        *(_compared(policy, *both, i) for i, both in enumerate(zip(sequences, said["answers"], strict=True))),
        strict=True,
    )
    found = said["found"]
    limits = {"begin": STATES, "states": STATES, "rewards": STATES, "seen": SEEN, "ends": 0}
    for name, limit in limits.items():
        if not (found[name] is not None and found[name] <= limit):
            raise PolicyFileError(
                f"the page's {policy.metadata.env} is not Gymnasium's: over {len(episode.actions)} steps from "
                f"seed {EPISODE_SEED} the largest difference of {name} is {found[name]}, not {limit}. Nothing is kept."
            )
    states, number = max(found["states"], found["begin"]), sum(map(len, sequences))
    return PageProof(number, max(outputs), sum(ties), len(episode.actions), states, said["node"].lstrip("v"))


def played(policy: PolicyFile, env: gym.Env[Any, Any]) -> SteppedEpisode:
    """One episode, driven by the file."""
    obs, _ = env.reset(seed=EPISODE_SEED)
    found = SteppedEpisode([_state(env)], [obs], [], [], [])
    memory, over = None, False
    while not over:
        outputs = policy(policy.inputs([obs], memory=memory, bounded=False))
        memory = policy.remembered(outputs) or None
        action = outputs["action"][0]
        obs, reward, terminated, truncated, _ = env.step(action)
        over = bool(terminated or truncated)
        found.states.append(_state(env))
        found.seen.append(obs)
        found.actions.append(np.asarray(action).ravel().tolist()[0])
        found.rewards.append(float(reward))
        found.terminated.append(bool(terminated))
    return found


def _state(env: gym.Env[Any, Any]) -> list[float]:
    inner: Any = env.unwrapped
    if hasattr(inner, "state"):
        return [float(x) for x in inner.state]
    return [inner._ball_row, inner._ball_column, inner._paddle]  # rlbench/Catch-v0


def _compared(
    policy: PolicyFile, observations: Sequence[Any], answers: Sequence[dict[str, Any]], sequence: int
) -> tuple[float, int]:
    """The largest difference of the page's numbers from those of ONNX Runtime, and how often actions were tied."""
    memory, worst, ties = None, 0.0, 0
    for t, (obs, answer) in enumerate(zip(observations, answers, strict=True)):
        outputs = policy(policy.inputs([obs], memory=memory, bounded=False))
        memory = policy.remembered(outputs) or None
        for port in policy.metadata.outputs:
            theirs, ours = outputs[port.name].ravel(), np.array(answer[port.name], np.float64)  # null, of NaN, is NaN
            apart = _apart(theirs, ours)
            if port.role == "action" and apart and _tied(outputs, int(theirs[0]), int(ours[0])):
                ties += 1
            elif not apart <= NUMBERS:
                where = f"step {t} of the episode" if sequence == 0 else f"step {t} of recorded episode {sequence}"
                raise PolicyFileError(
                    f"the page is not the policy: at {where}, {np.asarray(obs).ravel().tolist()[:8]}, {port.name} is "
                    f"{theirs.tolist()[:8]} by ONNX Runtime and {ours.tolist()[:8]} by the page. Nothing is kept."
                )
            else:
                worst = max(worst, apart)
    return worst, ties


def _apart(theirs: np.ndarray, ours: np.ndarray) -> float:
    """The largest difference, relative to the larger of 1 and the number; infinite of indices that differ."""
    if theirs.shape != ours.shape:
        return np.inf
    share = np.abs(theirs - ours) / np.maximum(1.0, np.abs(theirs))
    if theirs.dtype.kind in "biu":
        share = np.where(share > 0, np.inf, 0.0)
    return float(np.nan_to_num(share, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _tied(outputs: Mapping[str, np.ndarray], theirs: int, ours: int) -> bool:
    """Whether two actions have one value, within the tolerance."""
    values = next((outputs[name][0] for name in ("q_values", "probabilities") if name in outputs), None)
    if values is None or values.ndim != 1 or not 0 <= ours < len(values):
        return False
    return bool(abs(values[theirs] - values[ours]) <= NUMBERS * max(1.0, abs(values[theirs])))


def _run(told: dict[str, Any]) -> dict[str, Any]:
    code = "".join(asset(f"agent/{name}") for name in (*PHYSICS, *POLICY, "proof.js"))
    try:
        run = subprocess.run(
            [str(node()), "-e", code], input=json.dumps(told), capture_output=True, text=True, timeout=300, check=True
        )
        said: dict[str, Any] = json.loads(run.stdout)
    except subprocess.CalledProcessError as e:
        raise PolicyFileError(
            f"the page's JavaScript fails: {first_line(Exception(e.stderr))}. Nothing is kept."
        ) from e
    except (subprocess.TimeoutExpired, OSError, ValueError) as e:
        raise PolicyFileError(f"the page could not be tried: Node.js gave no answer ({first_line(e)}).") from e
    return said
