"""Environments that keep something over a reset, as MinAtar's do: resuming, playing and verifying replay it too."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from command import succeeds
from test_promises import assert_same_run, recipe

import rlbench
from rlbench.runfolder import journal
from rlbench.runfolder.reader import Reader
from rlbench.trained.recording import choose, open_recording
from rlbench.trained.rerun import Replayed, check, replay_returns
from rlbench.trained.verify import check_seeds, read_tables
from rlbench.training import train as training


class Sticky(gymnasium.Env[np.ndarray, int]):
    """Seven to nine steps; the first action of an episode is that of the step before it, of whichever episode."""

    observation_space = gymnasium.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    metadata: dict[str, Any] = {"render_modes": []}
    last = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.left, self.total, self.fresh = int(self.np_random.integers(7, 10)), 0, True
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        done = self.last if self.fresh else int(action)
        self.last, self.fresh, self.left = int(action), False, self.left - 1
        self.total += 2 * done - 1
        return np.array([self.total], np.float32), float(done), self.left == 0, False, {}


gymnasium.register("test/Sticky-v0", Sticky)
KEYS: dict[str, Any] = {"seeds": 2, "num_envs": 2, "eval_every": 100, "eval_episodes": 1, "log_every": 20}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = recipe("test/Sticky-v0", total_steps=300, **KEYS)
    return rlbench.train(recipe=made, out=tmp_path_factory.mktemp("lead") / "whole").folder


@pytest.mark.parametrize("at", [101 * 2, 103 * 2, 106 * 2])
def test_resume_is_exact(at: int, whole: Path, tmp_path: Path) -> None:
    cut = rlbench.train(recipe=recipe("test/Sticky-v0", total_steps=at, **KEYS), out=tmp_path / "cut")
    done = training.resume(cut.folder, total_steps=300)
    assert done.summary["exact"] is True
    assert_same_run(done.folder, whole, evaluated=False)


def test_one_episode_alone_is_run_again_as_it_was(whole: Path) -> None:
    recording = open_recording(whole)
    entries = recording.entries(0)
    env = recording.maker()
    led = [entry for entry in entries[8:] if journal.difference(entry, journal.outcome(recording.maker(), entry))]
    assert led  # without the episode before it, that is
    told: list[Replayed] = []
    replay_returns(recording, choose(recording, f"{led[0].episode}@{led[0].env}", seed=0), told.append)
    check(recording, told)
    assert [one.entry for one in told] == [led[0]]
    env.close()


def test_verify_says_so(whole: Path) -> None:
    rows, _ = read_tables(Reader(whole))
    reports = list(check_seeds(open_recording(whole), [0, 1], rows, None))
    assert all(report.agree == report.episodes > 30 for report in reports)
    assert all(0 < report.led < report.episodes for report in reports)
    assert "agree when the episode before is run first" in succeeds("verify", whole)


def test_environments_made_again_for_every_episode_need_none_of_that(tmp_path: Path) -> None:
    made = recipe("test/Sticky-v0", total_steps=300, fresh_envs=True, **KEYS)
    whole = rlbench.train(recipe=made, out=tmp_path / "whole").folder
    rlbench.train(recipe=made.replace(total_steps=206), out=tmp_path / "cut")
    done = training.resume(tmp_path / "cut", total_steps=300)
    assert done.summary["exact"] is True
    assert_same_run(done.folder, whole, evaluated=False)
    rows, _ = read_tables(Reader(whole))
    reports = list(check_seeds(open_recording(whole), [0, 1], rows, None))
    assert [(report.agree, report.led) for report in reports] == [(report.episodes, 0) for report in reports]
    recording = open_recording(whole)
    alone = [journal.outcome(recording.maker(), entry) for entry in recording.entries(0)[8:16]]
    assert alone == [entry.end for entry in recording.entries(0)[8:16]]
