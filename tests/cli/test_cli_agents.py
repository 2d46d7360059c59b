"""The command line on mistakes in the user's own agent, and on a disk that fills up."""

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest
from command import CARTPOLE, TINY, mistake, one_line, process, rlbench, succeeds

from rlbench.record import recorder
from rlbench.runfolder import checkpoint_file
from rlbench.training.underway import Underway

WHOLE = """
import torch
from rlbench import {base}

class Mine({base}):
    def __init__(self, spec, config, rng):
        self.spec = spec
    def act(self, obs, *, explore):
        return torch.zeros(obs.shape[:{axes}], dtype=torch.int64)
    def observe(self, transition):
        pass
    def update(self):
        self.updates += 1
        return {{"metric": {metric}}}
    def state_dict(self):
        return {{}}
    def load_state_dict(self, state):
        pass
"""
LEARNER = WHOLE.format(base="Learner", axes=1, metric="1.0")
AGENT = WHOLE.format(base="Agent", axes=2, metric="torch.ones(self.spec.num_seeds)")
ACT = r"        return torch\.zeros\(.*"
UPDATE = r"        return \{.*"


def broken(text: str, pattern: str, line: str, folder: Path) -> str:
    """Reference to a file with the agent ``text``, the line that ``pattern`` matches replaced by ``line``."""
    text, changes = re.subn(pattern, line, text, count=1)
    assert changes == 1
    (folder / "mine.py").write_text(text)
    return f"{folder}/mine.py:Mine"


def train(agent: str, folder: Path, *flags: str) -> tuple[str, ...]:
    return ("train", "--env", "FrozenLake-v1", "--agent", agent, *_without_dqn(TINY), *flags, "--out", str(folder))


def _without_dqn(flags: tuple[str, ...]) -> list[str]:
    pairs = zip(flags[::2], flags[1::2], strict=True)
    return [text for pair in pairs if not pair[1].startswith("dqn.") for text in pair]


@pytest.mark.parametrize("text", [LEARNER, AGENT], ids=["Learner", "Agent"])
def test_the_whole_ones_train_and_play(text: str, tmp_path: Path) -> None:
    agent = broken(text, "^", "", tmp_path)
    said = succeeds(*train(agent, tmp_path / "run"))
    assert f"rlbench play {tmp_path}/run --agent {agent}" in said
    assert "Mine on FrozenLake-v1, 2 greedy" in succeeds("eval", tmp_path / "run", "--agent", agent, "--episodes", "2")
    assert "To run it, say so: --agent" in mistake("eval", tmp_path / "run")


RAISING = [
    (r"        self\.spec = spec", "        raise KeyError('layers')", r"mine\.py:7, in __init__: KeyError: 'layers'"),
    (ACT, "        return 1 / 0", r"mine\.py:9, in act: ZeroDivisionError: division by zero"),
    (r"        pass", "        assert False", r"mine\.py:11, in observe: AssertionError\."),
    (UPDATE, "        return torch.ones(2, 3) @ torch.ones(2, 3)", r"mine\.py:14, in update: RuntimeError: mat1 and"),
    (r"        return \{\}", "        return self.q", r"mine\.py:16, in state_dict: AttributeError: .*'q'"),
]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("pattern", "line", "words"), RAISING)
def test_code_that_raises_is_named_with_file_and_line(
    pattern: str, line: str, words: str, workers: str, tmp_path: Path
) -> None:
    command = train(broken(LEARNER, pattern, line, tmp_path), tmp_path / "run", "--workers", workers)
    said = mistake(*command)
    assert re.search(words, said)
    assert "RLBENCH_DEBUG=1 shows the whole traceback." in said


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            AGENT,
            "    def act(self, obs):",
            r"Mine\.act\(\) got .* 'explore'; it is called as def act\(self, obs, \*, explore\)",
        ),
        (
            LEARNER,
            "    def act(self, obs, *, explore, mask):",
            r"mine\.py:8: TypeError: Mine\.act\(\) missing 1 .* 'mask'; it is",
        ),
        (LEARNER, "    def act(self, *, explore):", r"Mine\.act\(\) takes 1 positional argument but 2 .*given; it is"),
    ],
)
def test_a_method_that_cannot_be_called_is_named_with_file_and_line(
    text: str, line: str, words: str, tmp_path: Path
) -> None:
    agent = broken(text, r"    def act\(.*", line, tmp_path)
    assert re.search(words, mistake(*train(agent, tmp_path / "run")))


@pytest.mark.slow
def test_code_that_raises_with_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLBENCH_DEBUG", "1")
    error = rlbench(*train(broken(AGENT, ACT, "        return 1 / 0", tmp_path), tmp_path / "run")).exception
    assert type(error).__name__ == "AgentError"
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    assert isinstance(causes[-1], ZeroDivisionError)
    run = process(*train(f"{tmp_path}/mine.py:Mine", tmp_path / "two", "--workers", "2"))
    _, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "in act\n    return 1 / 0" in err


def test_code_that_raises_while_it_is_evaluated(tmp_path: Path) -> None:
    agent = broken(LEARNER, "^", "", tmp_path)
    succeeds(*train(agent, tmp_path / "run"))
    broken(LEARNER, ACT, "        return self.table[obs]", tmp_path)
    for command in (("eval",), ("play", "--no-render")):
        note, said = rlbench(*command, tmp_path / "run", "--agent", agent).stderr.splitlines()
        assert re.fullmatch(r"note: .*mine\.py has changed since the run in .*run began with it\.", note)
        assert re.search(r"mine\.py:9, in act: AttributeError: .*'table'", said)


WRONG = [
    (LEARNER, ACT, "torch.zeros(7, dtype=torch.int64)", r"actions of shape \(2, 7\), expected \(2, 1\)"),
    (LEARNER, ACT, "[0]", r"Mine\.act gave a list, expected a Tensor"),
    (AGENT, ACT, "None", r"actions of type NoneType, expected a Tensor"),
    (AGENT, ACT, "torch.zeros(obs.shape[:2]) + 0.7", r"\[0\.69.* of torch\.float32, expected integers from 0 to 3"),
    (AGENT, ACT, "torch.zeros(obs.shape[:2]).long() + 4", r"\[4, 4\] of torch\.int64, expected integers from 0 to 3"),
    (AGENT, ACT, "torch.zeros(obs.shape[:2]).long() - 1", r"\[-1, -1\] of torch\.int64, expected integers from 0 to 3"),
    (LEARNER, UPDATE, '{"m": torch.ones(3)}', r"Mine\.update gave a metric 'm' that is no number: tensor"),
    (AGENT, UPDATE, '{"m": torch.ones(())}', r"a metric 'm' of shape \(\), expected .* shape \(2,\)"),
    (AGENT, UPDATE, '{"m": torch.ones(5)}', r"a metric 'm' of shape \(5,\), expected .* shape \(2,\)"),
    (AGENT, UPDATE, '{"m": 1.0}', r"a metric 'm' of shape float, expected .* shape \(2,\)"),
    (AGENT, r"        return \{\}", '{"x": spec}', r"name 'spec' is not defined"),
    (AGENT, r"        return \{\}", '{"x": {1, 2}}', r"cannot save checkpoint\..*x: it is a builtins\.set"),
    (
        AGENT,
        r"rng\):",
        "):",
        r"Mine\(spec, config, streams\) is how Mine is built, and its __init__ does not take that",
    ),
    (AGENT, r"        self\.spec", "raise ValueError('no lakes')", r"Mine cannot be built for FrozenLake-v1: no lakes"),
    (AGENT, r"    def __init__", "Config = None", r"Mine\.Config must be a subclass of rlbench\.AgentConfig"),
]


@pytest.mark.parametrize(("text", "pattern", "value", "words"), WRONG)
def test_values_that_do_not_fit_the_interface(text: str, pattern: str, value: str, words: str, tmp_path: Path) -> None:
    line = {
        r"rng\):": value,
        r"    def __init__": f"    {value}\n    def __init__",
        r"        self\.spec": f"        {value}\n        self.spec",
    }.get(pattern, f"        return {value}")
    assert re.search(words, mistake(*train(broken(text, pattern, line, tmp_path), tmp_path / "run")))


def test_actions_that_are_not_finite(tmp_path: Path) -> None:
    agent = broken(AGENT, ACT, "        return torch.full((*obs.shape[:2], 1), torch.nan)", tmp_path)
    command = [text.replace("FrozenLake-v1", "Pendulum-v1") for text in train(agent, tmp_path / "run")]
    assert "the agent gave an action that is not finite: [nan, nan]" in mistake(*command)


def full(*args: Any, **kwargs: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["torch.save", "os.fsync", "flush", "row", "summary"])
def test_a_full_disk_in_mid_run(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves = []
    whole = Underway.save

    def save(self: Underway) -> None:
        whole(self)
        saves.append(self.env_steps)
        if len(saves) == 2:  # from here on, nothing more can be written
            match where:
                case "torch.save":
                    monkeypatch.setattr(checkpoint_file.torch, "save", full)
                case "os.fsync":
                    monkeypatch.setattr(os, "fsync", full)
                case "flush":
                    monkeypatch.setattr(self.recorder.tracker, "flush", full)
                case "row":
                    monkeypatch.setattr(recorder.Recorder, "episode", full)
                case "summary":
                    monkeypatch.setattr("rlbench.training.finish.write_json", full)

    monkeypatch.setattr(Underway, "save", save)
    monkeypatch.setattr("rlbench.runfolder.checkpoints.SAVE_SHARE", 1e9)  # save when it is due, whatever that costs
    said = one_line(rlbench(*CARTPOLE, "--set", "checkpoint_every=30", "--out", tmp_path / "run"))
    assert "No space left on device" in said
    assert f"rlbench train --resume {tmp_path}/run" in said
    monkeypatch.undo()
    kept = checkpoint_file.load(tmp_path / "run" / "checkpoint.pth", "checkpoint")["env_steps"]
    assert kept == (120 if where == "summary" else 60)
    assert [path for path in (tmp_path / "run").iterdir() if path.name.endswith(".tmp")] == []
    succeeds("train", "--resume", tmp_path / "run", "--progress", "none")
    assert (tmp_path / "run" / "summary.json").is_file()
