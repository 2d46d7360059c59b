"""Observations of recorded episodes are what was seen in them, in their order."""

import warnings
from pathlib import Path

import numpy as np

from rlbench.api.train import train
from rlbench.errors import RunWarning
from rlbench.proving.observed import observed
from rlbench.runfolder.layout import whole_run
from rlbench.runfolder.reader import Reader
from rlbench.tracing.policy import contract
from rlbench.trained.load import load
from rlbench.trained.recording import open_recording


def test_recorded_episodes_are_replayed(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)  # of a run so short
        train(
            "CartPole-v1", out=tmp_path / "run", progress="none", seeds=2, total_steps=1500, final_eval_episodes=1,
            eval_every=0,
        )  # fmt: skip
    trained = load(tmp_path / "run", seed=0, device="cpu")
    seen = observed(trained, contract(trained).obs, 200)
    assert len(seen) == 200
    assert seen.source == f"{seen.episodes} recorded episodes"
    obs = seen.inputs["obs"].astype(np.float64)
    assert seen.started[0]
    assert seen.started.sum() == seen.episodes < 50  # so there are several steps of each
    follows = np.abs(obs[1:, 0] - obs[:-1, 0] - 0.02 * obs[:-1, 1]) < 1e-6  # the cart goes on from where it was
    assert (follows | seen.started[1:]).all()

    recording = open_recording(Reader(whole_run(tmp_path / "run")))
    env = recording.maker()
    entries = [entry for seed in (0, 1) for entry in recording.entries(seed)]
    began = {env.reset(seed=entry.reset_seed)[0].tobytes() for entry in entries}
    assert all(one.tobytes() in began for one in seen.inputs["obs"][seen.started])
    env.close()
