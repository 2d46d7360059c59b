"""The promises that a run keeps, bit for bit: width, observers, resume."""

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import slow
from torch import Tensor

import rlbench
from rlbench.agent_state import pick
from rlbench.recipe import Recipe
from rlbench.record.summary import combine
from rlbench.record.watcher import Watcher
from rlbench.rollout.signals import Interrupted
from rlbench.runfolder import checkpoint_file, checkpoints
from rlbench.training import session
from rlbench.training import train as training

SMALL = {"hidden": (16,), "batch_size": 16, "learning_starts": 40, "capacity": 200, "epsilon_steps": 300}
QUIET = {"eval_every": 0, "final_eval_episodes": 0, "checkpoint_every": 0}


def recipe(env: str = "CartPole-v1", hyper: Any = (), **keys: Any) -> Recipe:
    """Tiny, and silent unless told otherwise."""
    return Recipe(**{"env": env, "device": "cpu", **QUIET, **keys, "hyper": {**SMALL, **dict(hyper)}})


def opened(folder: Path, name: str = "checkpoint") -> Any:
    return checkpoint_file.load(folder / f"{name}.pth", "replay" if name == "replay" else "checkpoint")


def rows(folder: Path, seed: int | None = None, name: str = "episodes.csv") -> list[dict[str, str]]:
    """The rows of a CSV file, of one seed or all, without the column that holds wall-clock time."""
    with (folder / name).open(newline="") as file:
        table = [{k: v for k, v in row.items() if k != "wall_seconds"} for row in csv.DictReader(file)]
    return [row for row in table if seed is None or row["seed"] == str(seed)]


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal to the last bit; both are nested dicts and lists of tensors and plain values."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, Tensor):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), where
        assert torch.equal(a.nan_to_num(7), b.nan_to_num(7)), where
    else:
        assert a == b or (a != a and b != b), f"{where}: {a} and {b}"


def assert_same_run(a: Path, b: Path, *, evaluated: bool = True) -> None:
    """Weights, optimiser, buffer, every record."""
    assert_same(opened(a)["agent"], opened(b)["agent"])
    assert_same(opened(a, "replay"), opened(b, "replay"))
    assert rows(a) == rows(b)
    assert rows(a, name="updates.csv") == rows(b, name="updates.csv")
    if evaluated:
        assert rows(a, name="evaluations.csv") == rows(b, name="evaluations.csv")
        assert_same(opened(a, "best")["agent"], opened(b, "best")["agent"])


def rows_of_seeds(state: Any, n: int) -> Any:
    """Only what belongs to the seeds; a count of all updates goes on for seeds that train beside one that stopped."""
    if isinstance(state, dict):
        return {k: rows_of_seeds(v, n) for k, v in state.items() if isinstance(v, (dict, Tensor))}
    assert state.shape[0] == n
    return state


EVALUATED = {"eval_every": 60, "eval_episodes": 2, "log_every": 30}
WIDTH = [
    ("CartPole-v1", {}),
    ("CartPole-v1", {"layer_norm": True}),
    ("CartPole-v1", {"double": True, "n_step": 3}),
    ("CartPole-v1", {"epsilon_decay": 0.9, "tau": 1.0, "target_update_every": 20}),
    ("CartPole-v1", {"hidden": (64, 64), "batch_size": 64}),
    ("FrozenLake-v1", {}),
    ("rlbench/Catch-v0", {}),
]


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize(("env", "hyper"), WIDTH)
def test_width(env: str, hyper: dict[str, Any], num_envs: int, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"num_envs": num_envs, "total_steps": 180 * num_envs, **EVALUATED}
    wide = rlbench.train(recipe=recipe(env, hyper, seed=4, seeds=3, **keys), out=tmp_path / "wide").folder
    assert opened(wide)["agent"]["updates"] > 60
    for k in (4, 6) if num_envs == 1 else (5,):
        alone = rlbench.train(recipe=recipe(env, hyper, seed=k, seeds=1, **keys), out=tmp_path / str(k)).folder
        assert_same(pick(opened(wide)["agent"], k - 4, 3), opened(alone)["agent"])
        one = rows_of_seeds(opened(alone, "best")["agent"], 1)
        assert_same(pick(rows_of_seeds(opened(wide, "best")["agent"], 3), k - 4, 3), one)
        assert_same(opened(wide, "replay")["replay"]["rows"][k - 4], opened(alone, "replay")["replay"]["rows"][0])
        for name in ("episodes.csv", "evaluations.csv", "updates.csv"):
            assert rows(wide, k, name) == rows(alone, k, name)
            assert rows(wide, k, name)


@pytest.mark.parametrize(
    "stop",
    [
        {"max_episodes": 12},
        {"stop_when_solved": True, "solved_at": 12.0, "eval_every": 40, "eval_episodes": 3},
        {"stop_when_solved": True, "solved_at": 10.0, "eval_every": 40, "max_episodes": 9},
    ],
)
def test_width_where_seeds_stop_at_different_times(stop: dict[str, Any], tmp_path: Path) -> None:
    keys = {"total_steps": 600, **stop}
    wide = training.train(recipe=recipe(seeds=4, **keys), out=tmp_path / "wide")
    ends = wide.summary["env_steps_of_seed"]
    assert len(set(ends.values())) > 1
    for k in range(4):
        alone = training.train(recipe=recipe(seed=k, seeds=1, **keys), out=tmp_path / str(k))
        assert alone.summary["env_steps_of_seed"][str(k)] == ends[str(k)] == alone.summary["env_steps"]
        for name in ("checkpoint", "best"):
            one = rows_of_seeds(opened(alone.folder, name)["agent"], 1)
            assert_same(pick(rows_of_seeds(opened(wide.folder, name)["agent"], 4), k, 4), one)
        for name in ("episodes.csv", "evaluations.csv"):
            assert rows(wide.folder, k, name) == rows(alone.folder, k, name)
        for key in ("episodes", "solved_at_env_steps", "solved_at_episode"):
            assert wide.summary[key][str(k)] == alone.summary[key][str(k)]


def test_width_of_seeds_dealt_out_to_processes(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"seeds": 3, "total_steps": 400, "max_episodes": 14, "num_envs": 2, **EVALUATED}
    one = rlbench.train(recipe=recipe(**keys), out=tmp_path / "one").folder
    two = rlbench.train(recipe=recipe(**keys, workers=2), out=tmp_path / "two").folder
    for name in ("checkpoint", "best"):
        assert_same(*(rows_of_seeds(opened(folder, name)["agent"], 3) for folder in (two, one)))
    for k in range(3):
        for name in ("episodes.csv", "evaluations.csv"):
            assert rows(two, k, name) == rows(one, k, name)
            assert rows(two, k, name)


class Nosy(Watcher):
    """Looks at everything, as often as it may."""

    def tick(self, session: Any) -> None:
        session.agent.state_dict()
        session.scores.recent_means()

    def saved(self, session: Any) -> None:
        assert opened(session.folder)["env_steps"] == session.env_steps
        session.agent.state_dict()

    def evaluated(self, session: Any) -> None:
        session.evaluator(session.agent, 3, round=1)
        session.agent.act(torch.zeros(2, 5, 4), explore=False)


@pytest.mark.parametrize(
    ("keys", "watcher"),
    [
        ({"eval_every": 37, "eval_episodes": 4, "final_eval_episodes": 5}, None),
        ({"log_every": 1}, None),
        ({"checkpoint_every": 11}, None),
        ({"eval_every": 20, "log_every": 3, "checkpoint_every": 50}, Nosy()),
        ({"track": "none"}, None),
        ({"video_every": 120, "log_every": 2}, None),
    ],
)
def test_observers(keys: Any, watcher: Watcher | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    plain = rlbench.train(recipe=recipe(seeds=2, total_steps=300), out=tmp_path / "plain").folder
    seen = rlbench.train(recipe=recipe(seeds=2, total_steps=300, **keys), out=tmp_path / "seen", watcher=watcher).folder
    assert_same(opened(seen)["agent"], opened(plain)["agent"])
    assert_same(opened(seen, "replay"), opened(plain, "replay"))
    assert_same(opened(seen)["training"]["streams"], opened(plain)["training"]["streams"])
    assert rows(seen) == rows(plain)


class At(Watcher):
    """At a given step, sends this process a signal or raises."""

    def __init__(self, step: int, what: signal.Signals | type[BaseException]) -> None:
        self.step, self.what = step, what

    def tick(self, session: Any) -> None:
        if session.env_steps >= self.step:
            if not isinstance(self.what, signal.Signals):
                raise self.what
            self.where = getattr(session.envs, "ledger", session.envs).state_dict()  # on a device: as far as it is read
            os.kill(os.getpid(), self.what)


FULL = {"seeds": 2, "num_envs": 2, "total_steps": 600, "eval_every": 100, "eval_episodes": 2, "log_every": 20}
MORE = {"double": True, "n_step": 3, "epsilon_decay": 0.95, "tau": 1.0, "target_update_every": 7}


@pytest.mark.parametrize("env", ["CartPole-v1", "FrozenLake-v1", "rlbench/Catch-v0"])
@pytest.mark.parametrize("at", [slow(30), 346])  # before the first update, and long after the buffer (of 200) is full
def test_resume_after_a_signal(env: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    whole = rlbench.train(recipe=recipe(env, MORE, **FULL), out=tmp_path / "whole")
    watcher = At(at, signal.SIGTERM)
    with pytest.raises(Interrupted, match=r"SIGTERM.*rlbench train --resume") as stopped:
        rlbench.train(recipe=recipe(env, MORE, **FULL), out=tmp_path / "cut", watcher=watcher)
    assert stopped.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # handlers are given back
    assert any(len(actions) for actions in watcher.where["actions"])  # in the middle of an episode
    assert opened(tmp_path / "cut")["env_steps"] == at
    done = training.resume(tmp_path / "cut")
    assert_same_run(done.folder, whole.folder)
    timeless = ("wall_seconds", "train_seconds", "env_steps_per_second")
    assert [(k, v) for k, v in done.summary.items() if k not in timeless] == [
        (k, v) for k, v in whole.summary.items() if k not in timeless
    ]


@pytest.mark.slow
def test_resume_twice_after_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is saved on the way out: the records run ahead of the checkpoint, and are cut back to it."""
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(checkpoints, "SAVE_SHARE", 1e9)  # save when it is due, whatever that costs
    whole = rlbench.train(recipe=recipe(hyper=MORE, **FULL), out=tmp_path / "whole").folder
    often = recipe(hyper=MORE, **{**FULL, "checkpoint_every": 90})
    with pytest.raises(MemoryError):
        rlbench.train(recipe=often, out=tmp_path / "cut", watcher=At(262, MemoryError))
    cut = tmp_path / "cut"
    assert opened(cut)["env_steps"] == 180
    assert int(rows(cut)[-1]["env_steps"]) > 180
    with pytest.raises(MemoryError):
        training.resume(cut, watcher=At(440, MemoryError))
    assert opened(cut)["env_steps"] == 450 - 90
    training.resume(cut)
    assert_same_run(cut, whole)


def test_a_resumed_run_of_several_processes_counts_on(tmp_path: Path) -> None:
    """Steps and time of what lay before are not forgotten, whichever process reports first."""
    short = recipe(workers=2, **{**FULL, "total_steps": 300})
    first = rlbench.train(recipe=short, out=tmp_path / "run")
    steps = []

    class Steps(Watcher):
        def tick(self, session: Any) -> None:
            steps.append(session.env_steps)

    training.resume(tmp_path / "run", total_steps=600, watcher=Steps())
    assert min(steps) >= 300
    assert combine([first.summary, {**first.summary, "wall_seconds": 3600.0}], 1.0)["wall_seconds"] == 3600


def test_resume_with_more_steps(tmp_path: Path) -> None:
    whole = rlbench.train(recipe=recipe(hyper=MORE, **FULL), out=tmp_path / "whole").folder
    rlbench.train(recipe=recipe(hyper=MORE, **{**FULL, "total_steps": 300}), out=tmp_path / "cut")
    assert_same_run(training.resume(tmp_path / "cut", total_steps=600).folder, whole)


@pytest.mark.parametrize("at", [300, 440])
def test_resume_where_some_seeds_have_stopped(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    keys: dict[str, Any] = {"seeds": 4, "total_steps": 600, "max_episodes": 18, "log_every": 20}
    whole = rlbench.train(recipe=recipe(hyper=MORE, **keys), out=tmp_path / "whole")
    running = [k for k, end in whole.summary["env_steps_of_seed"].items() if end > at]
    assert 0 < len(running) < 4, whole.summary["env_steps_of_seed"]
    with pytest.raises(Interrupted):
        rlbench.train(recipe=recipe(hyper=MORE, **keys), out=tmp_path / "cut", watcher=At(at, signal.SIGUSR1))
    done = training.resume(tmp_path / "cut")
    assert_same(opened(done.folder)["agent"], opened(whole.folder)["agent"])
    assert rows(done.folder) == rows(whole.folder)
    assert rows(done.folder, name="evaluations.csv") == rows(whole.folder, name="evaluations.csv")
