"""What a command has to say reaches its reader whatever an environment does to the streams, or the run stops, saved."""

import errno
import io
import json
import os
import re
import shlex
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import process, rlbench, succeeds

from rlbench.cli import main
from rlbench.process import outputs
from rlbench.rollout.signals import Interrupts

#: An environment, and an agent, that do something to the streams: at which step, and what, is in the file beside them.
ODD = """
    import io, os, pathlib, sys
    import gymnasium as gym, numpy as np
    from rlbench.agents.random import Random as RandomAgent

    class Mute: pass

    def act(where, t):
        order = pathlib.Path(__file__).parent / "what"
        at, step, what = order.read_text().split(" ", 2)
        if at == where and t == int(step):
            order.write_text("never 0 pass")
            exec(what, {"sys": sys, "os": os, "io": io, "Mute": Mute})

    class Odd(gym.Env):
        observation_space, action_space = gym.spaces.Box(0, 1, (2,)), gym.spaces.Discrete(2)
        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.t = 0
            act("reset", 0)
            return np.zeros(2, np.float32), {}
        def step(self, action):
            self.t += 1
            act("step", self.t)
            return np.zeros(2, np.float32), 1.0, self.t == 10, False, {}

    class Agent(RandomAgent):
        t = 0
        def act(self, obs, *, explore):
            self.t += 1
            act("act", self.t)
            return super().act(obs, explore=explore)
"""
WHAT = {
    "close": "sys.stdout.close(); sys.stderr.close()",
    "detach": "sys.stdout.detach()",
    "buffer": "sys.stdout.buffer.close(); sys.stderr.buffer.close()",
    "mute": "sys.stdout = sys.stderr = Mute()",
    "none": "sys.stdout = sys.stderr = None",
    "closed": "sys.stdout = io.StringIO(); sys.stdout.close(); sys.stderr = sys.stdout",
    "handles": "os.close(1); os.close(2)",
}


SHORT = (
    "--device", "cpu", "--workers", "1", "--seeds", "2", "--total-steps", "120", "--set", "eval_every=0",
    "--set", "final_eval_episodes=2", "--set", "log_every=10",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / f"odd_{tmp_path.name}.py").write_text(textwrap.dedent(ODD))
    (tmp_path / "what").write_text("never 0 pass")
    return tmp_path


def words(place: Path, *more: str | Path) -> tuple[str | Path, ...]:
    code = place / f"odd_{place.name}.py"
    return ("train", "--env", f"{code}:Odd", "--agent", f"{code}:Agent", *SHORT, "--progress", "plain", "--out",
            place / "run", *more)  # fmt: skip


def in_place(place: Path, stream: object, *args: str | Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of `rlbench ARGS` in this process, with a stream of the system's for standard output."""
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as end:
        main.main([str(arg) for arg in args], prog_name="rlbench")
    assert sys.stdout is stream  # as it was
    monkeypatch.undo()
    return int(end.value.code or 0)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """On standard error, but for notes: a run that is stopped early enough has no curve yet."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Note: no episode")]
    return line


@pytest.fixture
def pipe() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    here, there = os.pipe()
    reader, writer = os.fdopen(here), os.fdopen(there, "w")
    yield reader, writer
    reader.close()
    try:
        writer.close()
    except BrokenPipeError:
        pytest.fail("something waits in the stream that was there before")


@pytest.mark.parametrize("where", ["reset 0", "step 5", "act 7"])
@pytest.mark.parametrize("what", [what for what in WHAT if what not in ("handles", "detach", "buffer")])
def test_whatever_becomes_of_the_streams_the_run_is_told_of(where: str, what: str, place: Path) -> None:
    (place / "what").write_text(f"{where} {WHAT[what]}")
    said = succeeds(*words(place))
    assert re.search(r"(?m)^ +120/120 steps .*\n120 env steps per seed, (.*\n)+Everything is in ", said)


@pytest.mark.slow
@pytest.mark.parametrize("what", WHAT)
def test_in_a_process_of_its_own(what: str, place: Path) -> None:
    (place / "what").write_text(f"step 5 {WHAT[what]}")
    run = process(*words(place))
    out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (0, "")
    assert "120/120 steps" in out
    assert "Everything is in " in out


def test_an_error_is_told_all_the_same(place: Path) -> None:
    (place / "what").write_text(f"step 5 {WHAT['mute']}; 1 / 0")
    result = rlbench(*words(place))
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "ZeroDivisionError" in line


def test_a_scored_agent_may_close_them_too(place: Path) -> None:
    code = place / f"odd_{place.name}.py"
    succeeds(*words(place))
    (place / "what").write_text(f"act 3 {WHAT['close']}")
    assert "mean 10 [10, 10]" in succeeds(
        "eval", place / "run", "--episodes", "2", "--agent", f"{code}:Agent", "--env", f"{code}:Odd"
    )


def test_a_reader_that_goes_away_stops_the_run_which_is_saved(
    place: Path, pipe: tuple[io.TextIOWrapper, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """As in `rlbench train | head -1`."""
    reader, writer = pipe
    monkeypatch.setattr("rlbench.live.progress.PLAIN_SECONDS", 0.0)
    monkeypatch.setattr("rlbench.training.session.TICK_SECONDS", 0.0)
    reader.close()
    code = in_place(place, writer, *words(place), monkeypatch=monkeypatch)
    assert code == 128 + signal.SIGPIPE
    line = one_line(capsys)
    assert line.startswith(
        "stopped, as nobody reads standard output any more; everything is saved. Go on with: rlbench"
    )
    assert "interrupted" in json.loads((place / "run" / "summary.json").read_text())["stopped_because"]
    succeeds(*shlex.split(line.partition("Go on with: rlbench ")[2]), "--progress", "none")
    assert json.loads((place / "run" / "summary.json").read_text())["env_steps"] == 120


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_stops_the_run_which_is_saved(
    workers: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rlbench.live.progress.PLAIN_SECONDS", 0.0)
    monkeypatch.setattr("rlbench.training.session.TICK_SECONDS", 0.0)
    with open("/dev/full", "w") as full:
        args = words(place, "--workers", workers, "--total-steps", "4000")
        code = in_place(place, full, *args, monkeypatch=monkeypatch)
    assert code == 1
    line = one_line(capsys)
    assert "stopped, as standard output cannot be written: No space left on device; everything is saved." in line
    assert 0 < json.loads((place / "run" / "summary.json").read_text())["env_steps"] < 4000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("args", [("list", "envs"), ("--help",), ("--version",)])
def test_commands_that_only_tell_fail_in_one_line(
    args: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:
        code = in_place(place, full, *args, monkeypatch=monkeypatch)
    assert code == 1
    assert capsys.readouterr().err == "Error: standard output cannot be written: No space left on device.\n"


def test_a_reader_that_has_seen_enough_is_told_nothing(
    place: Path,
    pipe: tuple[io.TextIOWrapper, io.TextIOWrapper],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in `rlbench list envs | head -1`."""
    reader, writer = pipe
    reader.close()
    assert in_place(place, writer, "list", "envs", monkeypatch=monkeypatch) == 128 + signal.SIGPIPE
    assert capsys.readouterr().err == ""


def test_notes_that_cannot_be_written_stop_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as readable_only:
        monkeypatch.setattr(sys, "stderr", readable_only)
        succeeds("list", "recipes")


def test_a_command_without_streams(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a shell closes them: `rlbench train >&-`."""
    assert in_place(place, None, *words(place), monkeypatch=monkeypatch) == 0
    assert (place / "run" / "summary.json").exists()


def test_a_stream_knows_what_it_stands_for(pipe: tuple[io.TextIOWrapper, io.TextIOWrapper]) -> None:
    reader, writer = pipe
    lasting = outputs.Lasting(writer, matters=True)
    assert (lasting.encoding, lasting.errors, lasting.isatty()) == (writer.encoding, writer.errors, False)
    assert lasting.fileno() != writer.fileno()
    with pytest.raises(TypeError):
        lasting.write(b"bytes")  # type: ignore[arg-type]
    print("one", file=lasting, end=" ")
    writer.write("two ")  # what was there before waits for nobody
    writer.flush()
    lasting.close()
    lasting.buffer.close()
    print("three", file=lasting, flush=True)
    lasting.end()
    writer.close()
    assert sorted(reader.read().split()) == ["one", "three", "two"]


@pytest.mark.parametrize("how", ["write_through", "line_buffering"])
def test_what_is_written_at_once_by_the_program_is_by_a_command_too(
    how: str, pipe: tuple[io.TextIOWrapper, io.TextIOWrapper]
) -> None:
    """``PYTHONUNBUFFERED`` asks for the first, standard error has the second: nothing waits, to be lost in a kill."""
    reader, writer = pipe
    writer.reconfigure(write_through=how == "write_through", line_buffering=how == "line_buffering")
    inner = outputs.Lasting(writer, matters=True)
    lasting = outputs.Lasting(inner, matters=True)  # type: ignore[arg-type]  # a command within a command
    for each in (inner, lasting):
        print("said", file=each)
        os.set_blocking(reader.fileno(), False)
        assert os.read(reader.fileno(), 100) == b"said\n"
        each.end()


def test_somebody_is_told_of_a_loss_once(pipe: tuple[io.TextIOWrapper, io.TextIOWrapper]) -> None:
    reader, writer = pipe
    reader.close()
    lasting = outputs.Lasting(writer, matters=True)
    with Interrupts() as outer, Interrupts() as inner:
        print("lost", file=lasting, flush=True)
        print("lost", file=lasting, flush=True)
    assert (inner.signal, outer.signal) == (signal.SIGPIPE, 0)
    assert lasting.lost is not None
    assert lasting.lost.errno == errno.EPIPE
    lasting.end()
    assert outputs.listeners == []
    other = outputs.Lasting(writer, matters=True)
    with pytest.raises(outputs.OutputLost, match="nobody reads"):
        print("lost", file=other, flush=True)
    other.end()
