"""`rlbench.train` and its like in a program: progress on a gauge, notes as warnings at the line that called."""

import io
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import rlbench
from rlbench.live import gauge
from rlbench.live.gauge import Drawn, gauge_for
from rlbench.record.watcher import Status, Watcher

QUICK: dict[str, Any] = {
    "seeds": 2, "num_envs": 1, "total_steps": 120, "eval_every": 40, "eval_episodes": 1, "final_eval_episodes": 1,
    "track": "none", "dqn": {"hidden": [8], "batch_size": 8, "learning_starts": 20, "capacity": 100},
}  # fmt: skip
NO_UPDATE = {**QUICK, "dqn": {**QUICK["dqn"], "learning_starts": 1000}}


def train(out: Path, **keys: Any) -> rlbench.Run:
    return rlbench.train("CartPole-v1", out=out, **{**QUICK, **keys})


class Drawing:
    """A gauge that keeps what it was to show."""

    seldom = 0.0

    def __init__(self) -> None:
        self.shown: list[Drawn] = []
        self.closed = 0

    def show(self, title: str, share: float, words: str, picture: str = "") -> None:
        self.shown.append(Drawn(title, share, words, picture))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Drawing:
    made = Drawing()
    monkeypatch.setattr("rlbench.training.session.TICK_SECONDS", -1.0)  # by no clock
    for module in ("rlbench.api.notes", "rlbench.api.trained"):
        monkeypatch.setattr(f"{module}.gauge_for", lambda progress: made)
    return made


def test_a_note_is_a_warning_at_the_line_that_called(tmp_path: Path) -> None:
    with pytest.warns(rlbench.RunWarning, match="no update was due") as caught:
        run = train(tmp_path / "run", **NO_UPDATE)
    (warning,) = [one for one in caught if one.category is rlbench.RunWarning]
    assert warning.filename == __file__
    assert "run = train(" not in Path(__file__).read_text().splitlines()[warning.lineno - 1]
    assert "rlbench.train(" in Path(__file__).read_text().splitlines()[warning.lineno - 1]
    assert run.summary["updates"] == 0


def test_a_warning_that_is_an_error_comes_when_all_is_saved(tmp_path: Path) -> None:
    with pytest.raises(rlbench.RunWarning, match="no update was due"):
        train(tmp_path / "run", **NO_UPDATE)
    run = rlbench.Run.open(tmp_path / "run")
    assert run.summary["stopped_because"] == "total_steps"
    assert (tmp_path / "run" / "curve.png").exists()


def test_a_remark_is_a_plain_line_and_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No episode has ended, so there is no curve: it weakens no result."""
    train(tmp_path / "run", agent="random", dqn={}, total_steps=4, eval_every=0)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("rlbench", "WARNING")
    assert "a curve needs one" in record.getMessage()


def test_a_remark_and_a_note_of_a_worker_arrive_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Wide(gym.ObservationWrapper):  # type: ignore[type-arg]
        observation_space = gym.spaces.Tuple((gym.spaces.Box(-9, 9, (4,), np.float32),))

        def __init__(self) -> None:
            super().__init__(gym.make("CartPole-v1").unwrapped)

        def observation(self, obs: Any) -> Any:
            return (np.clip(obs, -9, 9),)

    gym.register("told/Wide-v0", entry_point=Wide, max_episode_steps=20)
    try:
        keys = {**NO_UPDATE, "eval_every": 0, "workers": 2}
        with pytest.warns(rlbench.RunWarning, match="no update was due"):
            rlbench.train("told/Wide-v0", out=tmp_path / "run", **keys)
    finally:
        del gym.registry["told/Wide-v0"]
    assert ["flattened" in record.getMessage() for record in caplog.records] == [True]


def test_notes_go_to_a_watcher_where_there_is_one(tmp_path: Path) -> None:
    class Notes(Watcher):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    watcher = Notes()
    train(tmp_path / "run", **NO_UPDATE, watcher=watcher)
    assert any("no update was due" in note for note in watcher.notes)


def test_a_resumed_run_and_an_opened_one_tell_their_notes(tmp_path: Path) -> None:
    (tmp_path / "my_agent.py").write_text("from rlbench.agents.random import Random\n\nclass Mine(Random):\n    pass\n")
    code = str(tmp_path / "my_agent.py:Mine")
    keys = {key: value for key, value in QUICK.items() if key != "dqn"}
    run = rlbench.train("CartPole-v1", agent=code, out=tmp_path / "run", **keys)
    with (tmp_path / "my_agent.py").open("a") as file:
        file.write("# changed\n")
    with pytest.warns(rlbench.RunWarning, match="changed since"):
        rlbench.resume(run.folder, agent=code, total_steps=160)
    with pytest.warns(rlbench.RunWarning, match="changed since"):
        rlbench.load(run.folder, agent=code)


def test_progress_is_shown_and_ends(tmp_path: Path, drawing: Drawing) -> None:
    train(tmp_path / "run")
    assert drawing.closed == 1
    assert {one.title for one in drawing.shown} == {"dqn on CartPole-v1, 2 seeds"}
    assert "of 120" in drawing.shown[0].words
    assert drawing.shown[-1].share == 1
    assert "120 env steps per seed" in drawing.shown[-1].words
    assert "greedy return" in drawing.shown[-1].words


def test_progress_is_closed_where_training_fails(tmp_path: Path, drawing: Drawing) -> None:
    with pytest.raises(rlbench.UsageError, match="seedz"):
        train(tmp_path / "run", seedz=3)
    assert drawing.closed == 1


def test_an_evaluation_shows_how_far_it_is(tmp_path: Path, drawing: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(tmp_path / "run")
    monkeypatch.setattr("rlbench.api.trained.FIRST", 0.0)
    drawing.shown.clear()
    returns = rlbench.evaluate(run.folder, 3)
    shares = [one.share for one in drawing.shown]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert {one.title for one in drawing.shown} == {"evaluating dqn on CartPole-v1"}
    assert returns.shape == (2, 3)


def test_progress_changes_nothing_that_is_learned(tmp_path: Path, drawing: Drawing) -> None:
    shown = train(tmp_path / "shown")
    assert len(drawing.shown) > 100
    quiet = train(tmp_path / "quiet", watcher=Watcher())
    states = [rlbench.load(run.folder / "checkpoint.pth").agent.state_dict()["q_net"] for run in (shown, quiet)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert (shown.episodes().episode_return == quiet.episodes().episode_return).all()


def test_none_and_a_short_run_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "a", progress="none")
    train(tmp_path / "b")
    assert capfd.readouterr() == ("", "")


def test_elsewhere_a_line_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauge, "PLAIN_EVERY", 0.0)
    train(tmp_path / "run")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("dqn on CartPole-v1, 2 seeds: 100 %  120 env steps per seed")


def test_a_bar_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    assert isinstance(gauge_for("auto"), gauge.TerminalBar)
    train(tmp_path / "run")
    assert sys.stderr is terminal
    assert "dqn on CartPole-v1, 2 seeds" in terminal.getvalue()
    assert "100 %" in terminal.getvalue()


def test_another_word_for_progress_is_refused(tmp_path: Path) -> None:
    with pytest.raises(rlbench.UsageError, match="'auto', 'plain', 'none'"):
        train(tmp_path / "run", progress="panel")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("watcher", "kind"), [(Watcher, "type"), (print, "builtin_function_or_method")])
def test_what_is_no_watcher_is_refused_before_anything_begins(watcher: Any, kind: str, tmp_path: Path) -> None:
    with pytest.raises(rlbench.UsageError, match=f"watcher is no Watcher, but {kind}: subclass rlbench.record.watcher"):
        rlbench.train("CartPole-v1", out=tmp_path / "run", watcher=watcher)
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_one_line_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(rlbench.UsageError) as caught:
        rlbench.train("NoSuch-v0")
    monkeypatch.delenv("RLBENCH_DEBUG", raising=False)
    (line,) = caught.value._render_traceback_()
    assert line.startswith("UsageError: ")
    assert "NoSuch-v0" in line
    monkeypatch.setenv("RLBENCH_DEBUG", "1")
    assert any("Traceback" in line for line in caught.value._render_traceback_())


def test_a_status_is_drawn_before_the_first_episode_has_ended(tmp_path: Path, drawing: Drawing) -> None:
    class First(Watcher):
        status: Status | None = None

        def tick(self, status: Status) -> None:
            self.status = self.status or status

    train(tmp_path / "run", total_steps=8, eval_every=0, watcher=(first := First()))
    assert first.status is not None
    from rlbench.live.shown import ShownRun

    ShownRun(drawing).tick(first.status)
    assert "return no episode finished yet" in drawing.shown[-1].words
    assert drawing.shown[-1].picture == ""
