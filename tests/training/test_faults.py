"""Losses, rewards and observations that are not finite: the run stops with a dump, or goes on without that seed."""

import csv
import math
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from command import CARTPOLE, succeeds
from command import rlbench as run_command
from rlbench.agents.dqn import DQN

import rlbench
from rlbench import rng
from rlbench.errors import AgentError, EnvError, RunFolderError, RunWarning
from rlbench.recipe import Recipe
from rlbench.record.watcher import Watcher
from rlbench.runfolder import checkpoint_file
from rlbench.runfolder.create import disk_error
from rlbench.training import session
from rlbench.training import train as training
from rlbench.training.faults import diverged, dump

HYPER = {"hidden": (8,), "batch_size": 8, "learning_starts": 16, "capacity": 200, "epsilon_steps": 50}


class Weird(gymnasium.Env[np.ndarray, int]):
    """Reward 1 a step, twenty steps; in the third episode of the copy that began with a small number, infinity."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    metadata: dict[str, Any] = {"render_modes": []}
    episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.odd = getattr(self, "odd", seed == ODD)
        self.episodes += 1
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> Any:
        self.steps += 1
        reward = math.inf if self.odd and self.episodes == 3 and self.steps == 7 else 1.0
        return np.full(2, self.steps / 20, np.float32), reward, self.steps == 20, False, {}


ODD = rng.episode_seed(1, "env", 0, 0)
gymnasium.register("test/Weird-v0", Weird)


def recipe(env: str = "CartPole-v1", **keys: Any) -> Recipe:
    base: dict[str, Any] = {
        "seeds": 3, "total_steps": 400, "eval_every": 100, "eval_episodes": 2, "final_eval_episodes": 2,
        "checkpoint_every": 50, "log_every": 20, "device": "cpu",
    }  # fmt: skip
    return Recipe(env=env, hyper=HYPER, **{**base, **keys})


def episodes(folder: Path, seeds: tuple[str, ...]) -> list[list[str]]:
    with (folder / "episodes.csv").open(encoding="utf-8") as file:
        return [row[:-1] for row in csv.reader(file) if row[0] in seeds]


def diverge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give seed 1 of 3 a weight that is not a number at the 60th update, of whatever agent trains."""
    update = DQN.update

    def spoiled(self: DQN) -> dict[str, torch.Tensor]:
        metrics = update(self)
        if self.updates == 60 and metrics and self.spec.num_seeds == 3:
            self.online.data[1] = math.nan
        return metrics

    monkeypatch.setattr(DQN, "update", spoiled)
    monkeypatch.setattr("rlbench.runfolder.checkpoints.SAVE_SHARE", 1e9)


def test_which_metrics_are_losses() -> None:
    nan = torch.tensor([1.0, math.nan, math.inf, math.nan])
    found = diverged({"loss": torch.ones(4), "critic_loss": nan, "success": torch.full((4,), math.nan)}, [0, 2, 3])
    assert found.keys() == {2, 3}  # seed 1 has stopped
    assert found[2] == ("critic_loss", math.inf)
    assert diverged({"loss": nan}, [0, 1, 2, 3], nan_is_silence=True) == {2: ("loss", math.inf)}
    wild = {"success": torch.tensor([True, False, True, True])}
    assert diverged({}, [0, 1, 2], infinite=wild) == {0: ("success", math.inf), 2: ("success", math.inf)}


class Now(rlbench.Learner):
    """Learns after 5 steps and one learner's number more; its loss is 1, and NaN after step 60 where it is to fail."""

    fails = False

    def __init__(self, spec: Any, config: Any, rng: np.random.Generator) -> None:
        self.every, self.steps = 5 + int(rng.integers(0, 9)), 0

    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        return torch.zeros(len(obs), dtype=torch.int64)

    def observe(self, transition: Any) -> None:
        self.steps += 1

    def update(self) -> dict[str, float]:
        if self.steps % self.every:
            return {}
        self.updates += 1
        return {"loss": math.nan if self.fails and self.steps > 60 else 1.0}

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "every": self.every, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.every, self.updates = state["steps"], state["every"], state["updates"]


def test_a_learner_that_has_nothing_to_say_has_not_gone_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    keys = {"seeds": 4, "total_steps": 200, "log_every": 10, "eval_every": 0, "final_eval_episodes": 0}
    run = rlbench.train("CartPole-v1", agent=Now, out=tmp_path / "run", **keys)
    every = [
        row["every"] for row in checkpoint_file.load(run.folder / "checkpoint.pth", "checkpoint")["agent"]["learners"]
    ]
    assert len(set(every)) > 1  # some had nothing to say when others had
    assert run.summary["stopped_because"] == "total_steps"
    monkeypatch.setattr(Now, "fails", True)
    with pytest.raises(AgentError, match=r"the loss of seed \d is inf, at step [67]\d"):
        rlbench.train("CartPole-v1", agent=Now, out=tmp_path / "fails", **keys)


class Overflows(Now):
    """Its error is infinite in one update, between two rows, and NaN from then on, as of a table that overflowed."""

    def update(self) -> dict[str, float]:
        self.updates += 1
        return {"td_error": 1.0 if self.steps < 55 else math.inf if self.steps == 55 else math.nan}


def test_an_infinity_in_any_metric_stops_the_run_though_it_has_passed(tmp_path: Path) -> None:
    keys = {"seeds": 2, "total_steps": 200, "log_every": 20, "eval_every": 0, "final_eval_episodes": 0, "workers": 1}
    with pytest.raises(AgentError, match=r"the td_error of seed 0 is inf; .* seed 1 is inf, at step 60\. .*skip-seed"):
        rlbench.train("CartPole-v1", agent=Overflows, out=tmp_path / "run", **keys)
    with pytest.warns(RunWarning, match="the td_error of seed 0 is inf"):
        run = rlbench.train("CartPole-v1", agent=Overflows, out=tmp_path / "skip", on_nan="skip-seed", **keys)
    assert run.summary["env_steps_of_seed"] == {"0": 60, "1": 60}


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_a_dump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge(monkeypatch)
    with pytest.raises(AgentError, match=r"the loss of seed 1 is nan, at step 80\. .*step-80\.pth.*skip-seed") as error:
        rlbench.train(recipe=recipe(), out=tmp_path / "run")
    assert "\n" not in str(error.value)
    dump = checkpoint_file.load(tmp_path / "run" / "faults" / "step-80.pth", "dump")
    assert dump["seeds"] == [1]
    assert dump["metrics"]["loss"].isnan().tolist() == [False, True, False]
    kept = checkpoint_file.load(tmp_path / "run" / "checkpoint.pth", "checkpoint")  # from before
    assert kept["env_steps"] == 50
    assert all(tensor.isfinite().all() for tensor in kept["agent"]["q_net"].values())


@pytest.mark.slow
def test_such_a_seed_can_be_left_behind_from_the_start_and_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = rlbench.train(recipe=recipe(), out=tmp_path / "clean")
    diverge(monkeypatch)
    with pytest.warns(RunWarning, match="the loss of seed 1 is nan, at step 80: left behind"):
        run = rlbench.train(recipe=recipe(on_nan="skip-seed"), out=tmp_path / "run")
    assert run.summary["stopped_because"] == "not finite, total_steps"
    assert run.summary["env_steps_of_seed"] == {"0": 400, "1": 80, "2": 400}
    assert episodes(run.folder, ("0", "2")) == episodes(clean.folder, ("0", "2"))  # the others did not notice
    for seed in ("0", "2"):
        assert run.summary["final_eval_return"][seed] == clean.summary["final_eval_return"][seed]

    with pytest.raises(AgentError):
        rlbench.train(recipe=recipe(), out=tmp_path / "stopped")
    resumed = training.resume(tmp_path / "stopped", on_nan="skip-seed")
    assert resumed.summary["env_steps_of_seed"] == run.summary["env_steps_of_seed"]
    assert episodes(resumed.folder, ("0", "1", "2")) == episodes(run.folder, ("0", "1", "2"))


def test_an_environments_numbers_stop_the_run_or_the_seed(tmp_path: Path) -> None:
    with pytest.raises(EnvError, match=r"reward that is not finite at step 7 of episode 2 \(seed 1, env 0\): inf"):
        rlbench.train(recipe=recipe("test/Weird-v0"), out=tmp_path / "stopped")
    with pytest.warns(RunWarning, match="inf, at step 47: left behind"):
        run = rlbench.train(recipe=recipe("test/Weird-v0", on_nan="skip-seed"), out=tmp_path / "run")
    assert run.summary["env_steps_of_seed"] == {"0": 400, "1": 47, "2": 400}
    assert run.summary["episodes"] == {"0": 20, "1": 2, "2": 20}
    dump = checkpoint_file.load(tmp_path / "run" / "faults" / "step-47.pth", "dump")
    assert "inf" in dump["what"]


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    nan = ("train", "--env", "rlbench/ProbeNan-v0", "--out", tmp_path / "nan", "--progress", "none", *CARTPOLE[5:7])
    result = run_command(*nan)
    assert result.exit_code == 1
    assert "not finite" in result.output
    assert "Traceback" not in result.output
    succeeds(*CARTPOLE, "--on-nan", "skip-seed", "--out", tmp_path / "run")
    assert 'on_nan = "skip-seed"' in (tmp_path / "run" / "recipe.toml").read_text()


def test_a_folder_that_is_taken_away_is_told_in_a_sentence(tmp_path: Path) -> None:
    class Removes(Watcher):
        def tick(self, status: Any) -> None:
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(RunFolderError, match=rf"^cannot write (to )?{tmp_path / 'run'}.*No such file or directory"):
        rlbench.train(
            "CartPole-v1", seeds=1, total_steps=60, eval_every=0, track="none", out=tmp_path / "run", watcher=Removes()
        )


def test_other_files_that_are_missing_are_not_the_run_folders_fault(tmp_path: Path) -> None:
    ours, theirs = FileNotFoundError(2, "gone", str(tmp_path / "a" / "x")), FileNotFoundError(2, "gone", "b/y")
    assert isinstance(disk_error(ours, tmp_path / "a"), RunFolderError)
    assert disk_error(theirs, tmp_path / "a") is theirs


@pytest.mark.parametrize("on_nan", ["stop", "skip-seed"])
def test_verify_opens_the_dump_as_what_it_is(tmp_path: Path, on_nan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    diverge(monkeypatch)
    run = tmp_path / "run"
    with pytest.warns(RunWarning, match="left behind") if on_nan == "skip-seed" else pytest.raises(AgentError):
        rlbench.train(recipe=recipe(on_nan=on_nan), out=run)
    assert (run / "faults" / "step-80.pth").is_file()
    (run / "mine.pth").write_bytes(b"a file of the user's own")
    said = succeeds("verify", run)
    count = len([path for path in run.rglob("*.pth") if path.name != "mine.pth"])
    assert f"checkpoints, replay buffers and dumps of faults: {count} of {count} open" in said
    assert said.endswith("Everything agrees.\n")
    (run / "faults" / "step-80.pth").write_bytes(b"PK")
    result = run_command("verify", run)
    assert result.exit_code == 1
    assert f"{run / 'faults' / 'step-80.pth'} is damaged" in result.stdout
    shutil.copy(run / "checkpoint.pth", run / "faults" / "step-80.pth")
    assert "step-80.pth is no dump: it is a checkpoint" in run_command("verify", run).stdout


@pytest.mark.slow
def test_verify_opens_the_dumps_of_workers(tmp_path: Path) -> None:
    """Each process writes its own."""
    folder = rlbench.train(recipe=recipe(total_steps=60, workers=2), out=tmp_path / "run").folder
    state = checkpoint_file.load(folder / "workers" / "1" / "checkpoint.pth", "checkpoint")["agent"]
    dump(folder / "workers" / "1", 7, [2], state, {"loss": torch.tensor([math.nan])}, "the loss of seed 2 is nan")
    assert "and dumps of faults: " in succeeds("verify", folder)
