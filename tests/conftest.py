"""What all tests share: one CPU thread, curves that cost nothing, Hypothesis without chance or clock, builders.

Import the builders with ``from conftest import make_spec, random_transitions``.
"""

import rlbench  # noqa: F401  (first of all: it chooses MKL's code path, which MKL reads once)

# isort: split
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import hypothesis
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from rlbench.plots import learning
from rlbench.types import Spec, Transition

for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:  # of a shell that starts tests in the background, or of nohup
        signal.signal(number, usual)
torch.set_num_threads(1)
hypothesis.settings.register_profile("rlbench", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("rlbench")


#: What a picture of one white pixel is written as.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f0001010100b138f6140000000049454e44ae426082"
)
_save = learning.save


def _save_quickly(fig: Figure, out: Path | str, option: str = "") -> Path:
    """`learning.save`, but a run's own curve becomes one pixel: to paint it takes longer than all the rest of a run."""
    if Path(out).name == "curve.png":
        fig.savefig = lambda file, **how: file.write(PIXEL)  # type: ignore[method-assign]
    return _save(fig, out, option)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture runs: who looks at the curves of runs, and not only for them, has the marker ``draws``."""
    learning.save = _save if item.get_closest_marker("draws") else _save_quickly  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _no_card(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are of the CPU, whatever there is besides; those with the marker ``cuda`` are of a card."""
    if request.node.get_closest_marker("cuda") is None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def slow(*values: Any) -> Any:
    """Of the cases of a test, one that the quick tests leave out."""
    return pytest.param(*values, marks=pytest.mark.slow)


def registering(envs: Mapping[str, Any]) -> Any:
    """A fixture for all tests of a module: these environments, ids and classes, have names while they run."""

    @pytest.fixture(scope="module", autouse=True)
    def registered() -> Iterator[None]:
        for env_id, entry_point in envs.items():
            gym.register(env_id, entry_point=entry_point, max_episode_steps=50)
        yield
        for env_id in envs:
            del gym.registry[env_id]

    return registered


def make_spec(
    obs_shape: tuple[int, ...] = (4,), obs_dtype: torch.dtype = torch.float32, num_actions: int | None = 2, **more: Any
) -> Spec:
    """A spec of vectors and two actions; ``num_obs=n`` means n discrete observations, of no shape."""
    if more.get("num_obs") is not None:
        obs_shape, obs_dtype = (), torch.int64
    more.setdefault("num_obs", None)
    return Spec(obs_shape=obs_shape, obs_dtype=obs_dtype, num_actions=num_actions, **more)


def random_transitions(spec: Spec, steps: int, *, seed: int = 0, end: float = 0.1) -> Iterator[Transition]:
    """``steps`` transitions, (S, E) each, of random content; an episode terminates or is truncated with chance ``end``.

    Content depends on (seed, position on the S axis): a spec with fewer seeds gets the first ones of these.
    """
    rngs = [np.random.default_rng((seed, s)) for s in range(spec.num_seeds)]

    def draw(shape: tuple[int, ...], dtype: torch.dtype, high: int | None) -> torch.Tensor:
        size = (spec.num_envs, *shape)
        rows = [rng.normal(size=size) if high is None else rng.integers(0, high, size) for rng in rngs]
        return torch.from_numpy(np.stack(rows)).to(dtype)

    def observation() -> torch.Tensor:
        return draw(spec.obs_shape, spec.obs_dtype, 256 if spec.obs_dtype == torch.uint8 else spec.num_obs)

    obs = observation()
    for _ in range(steps):
        continuous = spec.num_actions is None
        action = draw(spec.action_shape, torch.float32 if continuous else torch.int64, spec.num_actions)
        chance = draw((), torch.float64, 1 << 30) / (1 << 30)
        next_obs = observation()
        yield Transition(
            obs, action, draw((), torch.float32, None), next_obs, chance < end / 2, (chance >= end / 2) & (chance < end)
        )
        obs = next_obs
