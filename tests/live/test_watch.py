"""`rlbench watch`: a run seen through its folder alone says what the run itself knows."""

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import mistake, process, succeeds
from rich.console import Console
from test_progress import ESCAPE
from test_promises import FULL, MORE, At, opened, recipe

import rlbench
from rlbench.errors import RunFolderError
from rlbench.live import watch
from rlbench.live.follow import FollowedRun
from rlbench.live.recent_curve import RECENT
from rlbench.record.scoreboard import Scoreboard
from rlbench.rollout.signals import Interrupted
from rlbench.runfolder.lock import Lock, holder
from rlbench.runfolder.reader import read_recipe
from rlbench.training import session
from rlbench.training import train as training

KEYS: dict[str, Any] = {**FULL, "solved_at": 15.0, "final_eval_episodes": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same run by one process and by two, and one that was interrupted."""
    place = tmp_path_factory.mktemp("watch")
    one = rlbench.train(recipe=recipe(hyper=MORE, **KEYS), out=place / "one").folder
    two = rlbench.train(recipe=recipe(hyper=MORE, **KEYS, workers=2), out=place / "two").folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "TICK_SECONDS", -1.0)
        with pytest.raises(Interrupted):
            rlbench.train(recipe=recipe(hyper=MORE, **KEYS), out=place / "cut", watcher=At(346, signal.SIGTERM))
    return {"one": one, "two": two, "cut": place / "cut"}


@pytest.fixture
def runs(made: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Copies to do as one likes with."""
    return {name: Path(shutil.copytree(path, tmp_path / name)) for name, path in made.items()}


def known(folder: Path) -> Scoreboard:
    """The scores that the checkpoint of a run of one process holds."""
    scores = Scoreboard([0, 1], 15.0, "evaluation")
    scores.load_state_dict(opened(folder)["training"]["scores"])
    return scores


@pytest.mark.parametrize("name", ["one", "two", "cut"])
def test_it_knows_what_the_run_knows(name: str, made: dict[str, Path]) -> None:
    run = FollowedRun(made[name])
    assert run.look() == ("interrupted" if name == "cut" else "finished")
    truth = known(made["cut" if name == "cut" else "one"])
    for part in ("recent", "episodes", "solved", "solved_episode", "evaluated", "best", "best_at"):
        assert getattr(run.scores, part) == getattr(truth, part), part
    assert any(at is not None for at in truth.solved)
    assert run.scores.solved_at == 15.0
    assert run.env_steps == (346 if name == "cut" else 600)
    assert set(run.numbers) == {"loss", "q_value", "grad_norm", "epsilon"}
    assert all(len(values) == 2 for values in run.numbers.values())
    assert run.summary["stopped_because"] == ("interrupted" if name == "cut" else "total_steps")
    assert run.rate == run.summary["env_steps_per_second"]


def test_the_trail_is_that_of_the_record(made: dict[str, Path]) -> None:
    run = FollowedRun(made["one"])
    run.look()
    curve = run.recent_curve()
    for seed, recent in enumerate(run.scores.recent):
        newest = list(recent)[-RECENT:]
        assert curve.seeds[-1][seed] == pytest.approx(sum(newest) / len(newest))
    assert curve.steps == sorted(set(curve.steps))
    assert len(curve.steps) > 50


@pytest.mark.parametrize("name", ["one", "two"])
def test_read_piece_by_piece_or_at_once(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    """Files that grow by half a line at a time tell the same in the end."""
    whole, growing = runs[name], tmp_path / "growing"
    shutil.copytree(whole, growing, ignore=shutil.ignore_patterns("*.csv", "summary.json"))
    tables = [path.relative_to(whole) for path in (whole / "workers" if name == "two" else whole).rglob("*.csv")]
    assert len(tables) == (6 if name == "two" else 3)
    run, atonce = FollowedRun(growing), FollowedRun(whole)
    contents = {table: (whole / table).read_bytes() for table in tables}
    size = max(map(len, contents.values()))
    seen = []
    for end in [*range(0, size, 97), size]:
        for table, content in contents.items():
            (growing / table).write_bytes(content[:end])
        assert run.look() == "interrupted"
        seen.append(sum(run.scores.episodes))
    assert seen[0] == 0
    assert len(set(seen)) > 5
    atonce.look()
    for part in ("recent", "episodes", "evaluated", "best"):
        assert getattr(run.scores, part) == getattr(atonce.scores, part), part
    assert run.numbers == atonce.numbers
    shutil.copy(whole / "summary.json", growing)
    assert run.look() == "finished"


def test_a_run_that_is_resumed_under_the_watcher(runs: dict[str, Path], tmp_path: Path) -> None:
    """Its files are cut back to the checkpoint, its recipe gets more steps: the watcher begins anew by itself."""
    folder = runs["one"]
    run = FollowedRun(folder)
    assert run.look() == "finished"
    training.resume(folder, total_steps=700)
    assert run.look() == "finished"
    assert run.recipe.total_steps == run.env_steps == 700
    fresh = FollowedRun(folder)
    fresh.look()
    assert run.scores.recent == fresh.scores.recent
    assert sum(run.scores.episodes) == len((folder / "episodes.csv").read_text().splitlines()) - 1


def test_watch_in_one_panel(made: dict[str, Path]) -> None:
    for name in ("one", "two"):
        said = succeeds("watch", made[name])
        assert "dqn on CartPole-v1, 2 seeds" in said
        assert "100 %  600 of 600" in said
        assert "─ finished ─" in said
        assert "stopped because of total_steps." in said
        assert "Solved (15): " in said
    said = succeeds("watch", made["cut"], "--once")
    assert "─ interrupted ─" in said
    assert f"Interrupted. Go on with: rlbench train --resume {made['cut']}" in said


def test_nothing_is_written(made: dict[str, Path]) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(made["two"].rglob("*"))}

    before = state()
    succeeds("watch", made["two"])
    assert state() == before


def test_whether_somebody_is_at_work(runs: dict[str, Path]) -> None:
    folder = runs["cut"]
    (folder / "summary.json").unlink()
    assert holder(folder) == ""
    assert FollowedRun(folder).look() == "interrupted"
    assert "left it no time to say so. Go on with: rlbench train --resume" in succeeds("watch", folder)
    with Lock(folder, patience=0):
        assert holder(folder) == str(os.getpid())
        assert FollowedRun(folder).look() == "under way"
        said = succeeds("watch", folder)
        assert f"under way, process {os.getpid()}" in said
        assert f"kill {os.getpid()}" in said
    assert holder(folder) == ""


def test_bad_input(runs: dict[str, Path], tmp_path: Path) -> None:
    assert "is no run folder: there is no such folder" in mistake("watch", tmp_path / "none")
    assert f"It holds runs, though: name {tmp_path}/*" in mistake("watch", tmp_path)
    folder = runs["cut"]
    episodes = (folder / "episodes.csv").read_text().splitlines(keepends=True)

    def write(lines: list[str]) -> None:
        (folder / "episodes.csv").write_text("".join(lines))

    for damage, told in (
        ("0,0,3\n", "3 fields instead of 7"),
        (episodes[4].replace(",", ",x", 1), "invalid literal"),
        ("9,0,1,400,10,10,1.0\n", "there is no seed 9 in this run"),
        ("0,0,1,400,nan,10,1.0\n", "a number that is not finite"),
        ("0,0,1,0,10,10,1.0\n", "env_steps of seed 0 goes back"),
        ("\x00\x00\n", "1 fields instead of 7"),
    ):
        write([*episodes[:20], damage, *episodes[20:]])
        said = mistake("watch", folder)
        assert f"{folder / 'episodes.csv'} is damaged at line 21: " in said
        assert told in said
    write(["nonsense\n", *episodes[1:]])
    assert "is damaged at line 1: there is no column 'seed'" in mistake("watch", folder)
    write(episodes)
    (folder / "summary.json").write_text('{"env_steps": 3}')
    assert "summary.json is damaged: there is no 'env_steps_per_second'" in mistake("watch", folder)
    (folder / "recipe.toml").write_text("env = [")
    assert "recipe.toml" in mistake("watch", folder)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "recipe.toml").write_text('env = "CartPole-v1"\nagent = "dqn"\nseeds = 2\nfrom_the_future = 3\n')
    said = mistake("watch", folder)
    assert "holds no record yet, and no process is at work in it" in said
    assert f"rlbench train --recipe {folder}/recipe.toml --out OTHER" in said


def test_a_folder_that_vanishes(runs: dict[str, Path]) -> None:
    run = FollowedRun(runs["one"])
    run.look()
    shutil.rmtree(runs["one"])
    with pytest.raises(RunFolderError, match="is gone"):
        run.look()


def test_an_agent_of_ones_own_is_not_imported(runs: dict[str, Path]) -> None:
    toml = runs["cut"] / "recipe.toml"
    text = toml.read_text().replace('agent = "dqn"', 'agent = "evil.py:Evil"').replace("[dqn]", "[Evil]")
    toml.write_text(text)
    (runs["cut"] / "evil.py").write_text("raise SystemExit('ran')")
    said = succeeds("watch", runs["cut"])
    assert "Evil on CartPole-v1" in said
    assert "--agent evil.py:Evil" in said


@pytest.mark.slow
@pytest.mark.parametrize("how", ["end", "q", "kill -9"])
def test_watch_a_run_in_another_process(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    long = ("--total-steps", "15000" if how == "end" else "1000000", "--seeds", "2", "--workers", "2")
    trainer = process("train", "--env", "CartPole-v1", *long, "--out", folder, "--progress", "none")
    ours, theirs = pty.openpty()
    try:
        until = time.monotonic() + 60
        while not list(folder.glob("workers/*/episodes.csv")) and time.monotonic() < until:
            time.sleep(0.1)
        watcher, output = _watch(folder, theirs), b""
        os.close(theirs)
        acted = False
        while time.monotonic() < until + 120:
            ready, _, _ = select.select([ours], [], [], 1)
            try:
                piece = os.read(ours, 65536) if ready else b""
            except OSError:
                break
            output += piece
            if not acted and b"return " in output and b"[" in output and output.count(b"under way") >= 3:
                acted = True
                if how == "q":
                    os.write(ours, b"q")
                elif how == "kill -9":
                    trainer.kill()
        code = watcher.wait(30)
    finally:
        os.close(ours)
        trainer.terminate()
        trainer.communicate(timeout=120)
    text = ESCAPE.sub("", output.decode())
    assert text.count("under way, process") >= 3
    assert output.count(b"\x1b[?25h") == output.count(b"\x1b[?25l") > 0
    assert code == 0
    assert "checkpoint" not in text
    ending = {"end": "stopped because of total_steps", "q": "goes on with it", "kill -9": "left it no time"}
    assert ending.get(how, "") in text
    if how == "end":
        assert json.loads((folder / "summary.json").read_text())["env_steps"] == 15_000


@pytest.mark.parametrize(
    ("number", "ignored"), [(signal.SIGINT, True), pytest.param(signal.SIGTERM, False, marks=pytest.mark.slow)]
)
def test_a_signal_ends_watching(number: int, ignored: bool, runs: dict[str, Path]) -> None:
    """Also where whoever started it had SIGINT ignored, as a script has for what it puts into the background."""
    folder = runs["cut"]
    (folder / "summary.json").unlink()
    ours, theirs = pty.openpty()
    output, sent = b"", False
    with Lock(folder, patience=0):  # a run that is under way as long as this test
        watcher = _watch(folder, theirs, ignored=ignored)
        os.close(theirs)
        try:
            while select.select([ours], [], [], 60)[0]:
                try:
                    output += os.read(ours, 65536)
                except OSError:  # it has left
                    break
                if not sent and b"under way" in output:  # it may come in the middle of drawing
                    sent = True
                    if number == signal.SIGINT:
                        os.write(ours, b"\x03")
                    else:
                        watcher.terminate()
            code = watcher.wait(60)
        finally:
            watcher.kill()
            os.close(ours)
    assert code == 128 + number, output
    assert output.count(b"\x1b[?25h") == output.count(b"\x1b[?25l") > 0
    assert b"Traceback" not in output


@pytest.mark.parametrize("where", ["drawing", "reading", "destructor"])
def test_a_signal_in_the_middle_of_something(
    where: str, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not lost where Python drops what is raised, as in `__del__`, and does not tear a drawing apart."""
    folder, drawn, called = runs["cut"], [], [0]
    (folder / "summary.json").unlink()

    def interrupt() -> None:
        if called[0] == 1:
            signal.raise_signal(signal.SIGINT)

    class Last:
        def __del__(self) -> None:
            interrupt()

    def draw(*args: Any) -> str:
        called[0] += 1
        if where == "drawing":
            interrupt()
        if where == "destructor":
            Last()
        drawn.append(args)
        return "drawn"

    @contextlib.contextmanager
    def keys() -> Iterator[Any]:
        yield lambda seconds: "q" if called[0] > 2 else ""

    class Slow(FollowedRun):
        def look(self) -> Any:
            if where == "reading":
                interrupt()
            return super().look()

    monkeypatch.setattr(watch, "_panel", draw)
    monkeypatch.setattr(watch, "pressed_keys", keys)
    monkeypatch.setattr(watch, "FollowedRun", Slow)
    monkeypatch.setattr(watch, "make_console", lambda: Console(force_terminal=True, width=90, height=28))
    before = signal.getsignal(signal.SIGINT)
    with Lock(folder, patience=0):
        assert watch.watch(folder) == signal.SIGINT
    assert len(drawn) == 1  # none follows, and this one came to its end
    assert signal.getsignal(signal.SIGINT) is before
    output = capsys.readouterr().out
    assert output.count("\x1b[?25h") == output.count("\x1b[?25l") == 1


def _watch(folder: Path, terminal: int, *, ignored: bool = False) -> Any:
    import subprocess

    def own_terminal() -> None:  # so that Ctrl-C typed there reaches it
        import fcntl
        import termios

        signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)  # whoever started these tests
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "90", "LINES": "28"}
    command = [sys.executable, "-m", "rlbench", "watch", str(folder)]
    return subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=env, preexec_fn=own_terminal)


@pytest.mark.slow
def test_millions_of_episodes_take_little_memory(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    shutil.copy(runs["one"] / "recipe.toml", folder)
    first = read_recipe(folder).seed
    with (folder / "episodes.csv").open("w") as file:
        file.write("seed,env,episode,env_steps,episode_return,episode_length,wall_seconds\n")
        file.writelines(f"{first},0,{i},{8 * i + 8},1,8,{i / 1000:.3f}\n" for i in range(60_000))
    tracemalloc.start()
    run = FollowedRun(folder)
    run.look()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert run.env_steps == 480_000
    assert run.rate == pytest.approx(8000, rel=0.01)
    assert most < 60_000 * 260  # bytes; a table of dicts takes 800 a row
