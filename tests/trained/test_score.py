"""`rlbench eval` says how far it is, and ends by a signal with what it has."""

import json
import signal
from pathlib import Path

import pytest
from command import CARTPOLE, rlbench, succeeds

from rlbench.numbers import number
from rlbench.rollout.evaluation import EvaluationPlan
from rlbench.trained import score


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scoring") / "run"
    succeeds(*CARTPOLE, "--out", folder)
    return folder


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A signal comes when as many episodes have ended as the first entry says."""
    at, look = [7], score._Progress.__call__

    def called(self: score._Progress, plan: EvaluationPlan) -> None:
        if len(plan.played) >= at[0] and not self._interrupts.signal:
            signal.raise_signal(signal.SIGINT)
        look(self, plan)

    monkeypatch.setattr(score._Progress, "__call__", called)
    return at


def test_a_signal_leaves_the_figures_of_what_has_ended(run: Path, cut: list[int], tmp_path: Path) -> None:
    cut[0] = 1000
    whole = json.loads(succeeds("eval", run, "--episodes", "15", "--json"))
    assert whole["partial"] is False
    cut[0] = 7
    before = signal.getsignal(signal.SIGINT)
    result = rlbench("eval", run, "--episodes", "15", "--out", tmp_path / "part.json")
    assert result.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
    part = json.loads((tmp_path / "part.json").read_text())
    assert part["partial"] is True
    known = {seed: of_seed for seed, of_seed in part["seeds"].items() if of_seed["returns"]}
    for seed, of_seed in known.items():
        assert set(of_seed["returns"]) <= set(whole["seeds"][seed]["returns"])
    count = sum(len(of_seed["returns"]) for of_seed in known.values())
    assert 7 <= count < 30
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"stopped by SIGINT: {count} of 30 episodes had ended")
    first, _, *rows = result.stdout.splitlines()
    assert "PARTIAL: " in first
    assert "per seed, of 15" in first
    for row, (seed, of_seed) in zip(rows, known.items(), strict=False):
        assert row.split()[:2] == [seed, number(of_seed["mean"])]


def test_a_signal_before_any_episode_has_ended(run: Path, cut: list[int]) -> None:
    cut[0] = 0
    result = rlbench("eval", run, "--episodes", "15")
    assert (result.exit_code, result.stdout) == (130, "")
    assert "0 of 30 episodes had ended" in result.stderr
    content = json.loads(rlbench("eval", run, "--episodes", "15", "--json").stdout)
    assert content["over_seeds"] is None
    assert content["seeds"]["0"] == {"returns": []}


def test_it_says_how_far_it_is(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = succeeds("eval", run, "--episodes", "15", "--json")
    monkeypatch.setattr(score, "FIRST", 0.0)
    monkeypatch.setattr(score, "SECONDS", (0.0, 0.0))
    result = rlbench("eval", run, "--episodes", "15", "--json")
    assert result.stdout == quiet
    lines = result.stderr.splitlines()
    assert lines[0] == "evaluating: 0 of 30 episodes, in 20 environment copies"
    counts = [int(line.split()[1]) for line in lines]
    assert counts == sorted(counts)
    assert 20 < counts[-1] <= 30
