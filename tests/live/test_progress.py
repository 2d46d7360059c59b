"""What `rlbench train` shows: the panel in terminals of all kinds and sizes, and the text charts that it is made of."""

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from test_promises import recipe

import rlbench
from rlbench.live import progress, textchart
from rlbench.live.panel import Size, panel
from rlbench.live.progress import Live, PlainLines, Screen
from rlbench.live.recent_curve import MOST_POINTS, RECENT, RecentCurve, recent_means
from rlbench.live.words import Clock, mean_text, score_text
from rlbench.numbers import interval
from rlbench.recipe import Recipe
from rlbench.record.scoreboard import Scoreboard
from rlbench.stats.estimates import aggregate

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Run:
    """A status of made-up numbers."""

    def __init__(self, seeds: int, env_steps: int = 0, total_steps: int = 30_000, env: str = "CartPole-v1") -> None:
        self.folder = Path("no such folder")
        self.recipe = Recipe(env=env, seeds=seeds, total_steps=total_steps)
        self.scores = Scoreboard(list(range(seeds)), 475.0, "evaluation")
        self.env_steps, self.train_seconds = env_steps, 0.0
        self.numbers: dict[str, list[float]] = {}
        self.summary: dict[str, Any] = {}
        self.evaluating = ""

    def go_to(self, env_steps: int, returns: list[float]) -> "Run":
        self.env_steps, self.train_seconds = env_steps, env_steps / 1000
        for recent, value in zip(self.scores.recent, returns, strict=True):
            recent.append(value)
        self.numbers = {
            "loss": [0.0123] * len(returns),
            "q_value": [33.1] * len(returns),
            "epsilon": [0.05] * len(returns),
        }
        return self


def trained(seeds: int, steps: int = 12_400) -> tuple[Run, RecentCurve]:
    """A run in which seed k learns a little faster than seed k + 1."""
    run, curve = Run(seeds), RecentCurve()
    for i in range(1, 41):
        at = steps * i // 40
        run.go_to(at, [500 / (1 + np.exp(4 - at / 1500 + k / seeds)) for k in range(seeds)])
        curve.add(at, recent_means(run.scores))
    return run, curve


def drawn(run: Run, curve: RecentCurve, width: int, height: int, plain: bool = False) -> list[str]:
    """The lines of the panel, without colour."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, highlight=False)
    console.print(panel(run, curve, Clock(), Size(width, height, plain)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().split("\n")[:-1]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("width", "height"), [(100, 30), (200, 60), (80, 24), (60, 20), (40, 12), (24, 8), (12, 4), (5, 2)]
)
@pytest.mark.parametrize("seeds", [1, 3, 10, 100, 1000])
def test_the_panel_fits_and_keeps_its_height(seeds: int, width: int, height: int, plain: bool) -> None:
    run, curve = trained(seeds)
    late = drawn(run, curve, width, height, plain)
    early = drawn(Run(seeds), RecentCurve(), width, height, plain)
    assert len(late) == len(early) <= max(height - 1, 1)
    for lines in (late, early):
        assert all(len(line) <= width for line in lines)
        if plain:
            assert "".join(lines).isascii()


def test_what_the_panel_says() -> None:
    run, curve = trained(10)
    run.scores.evaluation(np.array([500.0] * 4 + [100.0] * 6), 12_000)
    text = "\n".join(drawn(run, curve, 100, 30))
    assert "dqn on CartPole-v1, 10 seeds" in text
    assert "41 %  12,400 of 30,000" in text
    assert "solved   4/10 seeds at 475" in text
    assert "greedy   260 [" in text
    assert "epsilon  0.05   loss 0.0123   q_value 33.1" in text
    assert text.count("✓") == 4
    assert [line.split()[1:3] for line in text.split("\n") if "seed " in line] == [["seed", str(k)] for k in range(10)]
    assert "seed" not in "\n".join(drawn(*trained(1), 100, 30)).replace("1 seed", "").replace("1/1 seeds", "").replace(
        "0/1 seeds", ""
    )


@pytest.mark.parametrize("width", range(26, 60))
def test_a_narrow_panel_cuts_no_number(width: int) -> None:
    run, curve = trained(3, steps=16_330)
    run.scores.evaluated = [488.13, 450.0, 500.0]
    wide, narrow = (re.findall(r"[\d,.]*\d", "\n".join(drawn(run, curve, w, 25))) for w in (100, width))
    assert set(narrow) - {"15,000"} <= set(wide)  # 15,000: the middle of the axis
    assert len(narrow) >= 10


def test_more_seeds_are_one_bar_each() -> None:
    (bars, rest) = (
        line for line in drawn(*trained(100), 80, 24) if re.search("[▁▂▃▄▅▆▇█]", line) and "steps" not in line
    )
    assert bars.startswith("│ seeds ")
    assert len(re.findall("[▁▂▃▄▅▆▇█]", bars + rest)) == 100
    assert any(line.startswith("│ by 5 ") for line in drawn(*trained(1000), 80, 24))


def test_the_axis_doubles() -> None:
    """It shows all steps, or half of them, or a quarter: it grows seldom, and never leaves the curve in a corner."""
    ends = []
    for steps in (100, 3000, 7000, 14_000, 16_000, 30_000):
        axis = next(line for line in drawn(*trained(3, steps), 100, 30) if " steps " in line and "│ steps" not in line)
        ends.append(int(axis.split(" steps")[0].split()[-1].replace(",", "")))
    assert ends == [117, 3750, 7500, 15_000, 30_000, 30_000]


def test_the_curve_with_its_band() -> None:
    mean = np.repeat([0.0, 1.0, 2.0, 3.0], 2)
    cells = textchart.curve(mean, mean - 1, mean + 1, 4, (0.0, 3.0), plain=True)
    assert all(row[3 - i] == "*" for i, row in enumerate(cells.rows))
    assert cells.on_curve[0, 3]
    assert not cells.on_curve[0, 0]
    nothing = textchart.curve(np.full(8, np.nan), np.full(8, np.nan), np.full(8, np.nan), 2, (0.0, 1.0))
    assert nothing.rows == ["    ", "    "]
    (flat,) = textchart.curve(np.ones(6), np.full(6, np.nan), np.full(6, np.nan), 1, (1.0, 1.0)).rows
    assert len(flat) == 3
    assert " " not in flat


@pytest.mark.parametrize(
    ("means", "text"),
    [
        ([480.0, 500.0, 490.0], "490 [465, 515]"),
        ([0.9, 0.95], "0.93 [0.61, 1.24]"),
        ([float("nan"), -3.5], "-3.5"),
        ([float("nan")] * 2, "no episode finished yet"),
    ],
)
def test_a_mean_in_words(means: list[float], text: str) -> None:
    assert mean_text(np.array(means)) == text


def test_final_scores_have_the_interval_of_a_comparison() -> None:
    """Student's would reach beyond the best return that there is."""
    scores = np.array([434.1, 500, 494.4, 500, 500, 500, 500, 500, 500, 435.3, np.nan])
    assert mean_text(scores) == "486 [467, 506]"
    assert score_text(scores) == interval(*aggregate([scores[:-1]]).mean) == "486 [466, 500]"
    assert score_text(scores[:1]) == "434.1"


def test_bars_and_gauge() -> None:
    assert textchart.bars([0.0, 5.0, 10.0, float("nan"), -3.0, 99.0], 0.0, 10.0) == "▁▅█ ▁█"
    assert textchart.bars([0.0, 10.0], 0.0, 10.0, plain=True) == "_#"
    assert textchart.sparkline([], 5) == ""
    assert textchart.sparkline(list(np.arange(80.0)), 8) == "▁▂▃▄▅▆▇█"
    for share in (-1.0, 0.0, 0.013, 0.5, 1.0, 7.0):
        for plain in (True, False):
            assert len("".join(textchart.gauge(share, 20, plain=plain))) == 20
    assert textchart.gauge(0.5, 4) == ("██", "░░")


@pytest.mark.parametrize(
    ("low", "high"), [(0, 500), (8.7, 487.2), (-200, -80), (0, 0), (3, 3.0000001), (-1e9, 1e9), (1e-7, 3e-7), (9.4, 22)]
)
def test_a_nice_range_holds_what_it_must(low: float, high: float) -> None:
    bottom, top = textchart.nice_range(low, high)
    assert bottom <= low + 1e-9 * abs(low)
    assert top >= high - 1e-9 * abs(high)
    assert top > bottom
    assert top - bottom <= 2 * (high - low) or high - low < 1e-6


def test_the_trail_forgets_evenly() -> None:
    curve = RecentCurve()
    for i in range(5000):
        curve.add(10 * i, np.array([i, i + 2.0, np.nan]))
    assert len(curve.steps) == len(curve.seeds) <= MOST_POINTS
    assert curve.steps == sorted(set(curve.steps))
    assert curve.steps[-1] == 49_990
    assert all(mean == at / 10 + 1 for at, mean in zip(curve.steps, curve.mean, strict=True))
    assert all(low < mean < high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))
    curve.add(5, np.array([0.0, 0.0, 0.0]))  # goes back: not a point
    assert curve.steps[-1] == 49_990
    assert np.isnan(curve.seeds_at(np.array([-1, 60_000]))).all()
    assert curve.seeds_at(np.array([49_990]))[:2].tolist() == [[4999.0], [5001.0]]


def test_recent_means() -> None:
    scores = Scoreboard([0, 1], None, "evaluation")
    scores.recent[0].extend(range(100))
    assert recent_means(scores).tolist()[0] == np.mean(range(100 - RECENT, 100))
    assert np.isnan(recent_means(scores)[1])


def console(**how: Any) -> Console:
    defaults: dict[str, Any] = {"file": io.StringIO(), "width": 80, "height": 24, "force_terminal": True}
    return Console(**{**defaults, "highlight": False, "_environ": {"TERM": "xterm-256color"}, **how})


def said(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_the_live_panel_draws_over_itself_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", (-1.0, -1.0))
    terminal = console()
    run, _ = trained(3)
    with Live(terminal) as live:
        live.tick(run)
        once = said(terminal)
        live.note("a word")
        live.tick(run.go_to(13_000, [400.0] * 3))
    text = said(terminal)
    assert "\x1b[?25l" in once  # the cursor is hidden meanwhile
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text.rpartition("╯")[2]
    assert "Note: a word" in ESCAPE.sub("", text)
    assert "13,000 of 30,000" in ESCAPE.sub("", text)
    assert text.count("\x1b[1A") >= 2 * 20  # up again over its own lines, once for each drawing after the first


def test_a_resumed_run_shows_what_lies_behind_it(tmp_path: Path) -> None:
    folder = rlbench.train(recipe=recipe(seeds=2, total_steps=400), out=tmp_path / "run").folder
    terminal = console()
    run = Run(2, 10_000)
    run.folder = folder
    with Live(terminal) as live:
        live.tick(run.go_to(10_000, [20.0, 20.0]))
    seed = next(line for line in ESCAPE.sub("", said(terminal)).split("\n") if "seed 1" in line)
    assert len(re.findall("[▁▂▃▄▅▆▇█]", seed)) > 30  # from the beginning, and not the newest point alone


def test_a_resized_terminal_is_wiped_and_drawn_anew() -> None:
    terminal = console()
    screen = Screen(terminal)
    run, curve = trained(3)
    screen.show(panel(run, curve, Clock(), screen.size()))
    assert not screen.resized()
    terminal.size = (50, 16)  # type: ignore[assignment]
    assert screen.resized()
    before = len(said(terminal))
    screen.show(panel(run, curve, Clock(), screen.size()))
    new = said(terminal)[before:]
    assert "\x1b[2J" in new
    assert max(len(line.strip("\r")) for line in ESCAPE.sub("", new).split("\n")) <= 50
    screen.close()


def test_a_slow_drawing_is_a_seldom_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 0.3 % of the time goes into drawing."""
    now = [100.0]
    drawings = []

    def slow(*args: Any) -> str:
        now[0] += 0.004
        drawings.append(now[0])
        return "panel"

    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    for clock in ("thread_time", "process_time"):
        monkeypatch.setattr(progress.time, clock, lambda: now[0])
    monkeypatch.setattr(progress, "panel", slow)
    live = Live(console())
    run, _ = trained(3)
    for _ in range(1000):
        live.tick(run)
        now[0] += 0.05
    live.__exit__(None, None, None)
    assert len(drawings) * 0.004 <= 0.0035 * (now[0] - 100.0)
    assert len(drawings) > 30


def test_no_colour() -> None:
    coloured, bare = console(), console(_environ={"TERM": "xterm-256color", "NO_COLOR": "1"})
    for terminal in (coloured, bare):
        terminal.print(panel(*trained(3), Clock(), Size(80, 24)))
    colours = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    assert colours.search(said(coloured))
    assert not colours.search(said(bare))
    assert ESCAPE.sub("", said(coloured)) == ESCAPE.sub("", said(bare))


def test_which_display(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(progress.watcher_for("none")) is progress.Progress
    assert isinstance(progress.watcher_for("auto"), PlainLines)  # standard output is no terminal here
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert isinstance(progress.watcher_for("plain"), PlainLines)
    for term, display in (("xterm", Live), ("dumb", PlainLines)):
        monkeypatch.setattr(progress, "make_console", lambda term=term: console(_environ={"TERM": term}))
        assert isinstance(progress.watcher_for("auto"), display)


def test_plain_lines_say_no_rate_before_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = trained(2, steps=1000)
    run.summary = {"updates": 7, "env_steps_per_second": 2000.0, "wall_seconds": 1.0, "stopped_because": "total_steps"}
    run.summary |= {name: {} for name in ("final_eval_return", "best_eval_return", "solved_at_env_steps")}
    plain = PlainLines()
    plain.tick(run)
    run.go_to(30_000, [500.0, 500.0])
    plain.done(run)
    first, last = capsys.readouterr().out.splitlines()[:2]
    assert re.fullmatch(r" +1,000/30,000 steps  return .*  0/2 seeds at 475", first)
    assert re.match(r" +30,000/30,000 steps  2,000 env steps/s  return ", last)


def over(run: Run, because: str, steps_of_seeds: list[int]) -> Run:
    run.summary = {"updates": 7, "env_steps_per_second": 2000.0, "wall_seconds": 1.0, "stopped_because": because}
    run.summary |= {name: {} for name in ("final_eval_return", "best_eval_return", "solved_at_env_steps")}
    run.summary["env_steps_of_seed"] = {str(s): n for s, n in enumerate(steps_of_seeds)}
    return run


def last_gauge(terminal: Console) -> str:
    return [line for line in ESCAPE.sub("", said(terminal)).splitlines() if "│ steps " in line][-1]


def test_the_last_panel_of_a_finished_run_is_full() -> None:
    """Drawings are seldom: without one more the last would be of 83 %, all through the final evaluation."""
    terminal, (run, _) = console(), trained(3, steps=24_900)
    with Live(terminal) as live:
        live.tick(run)
        assert "83 %  24,900 of 30,000" in last_gauge(terminal)
        run.env_steps = 30_000
        live.tick(run)  # too soon
        live.evaluated(run)
        assert "100 %  30,000 of 30,000" in last_gauge(terminal)
        live.done(over(run, "total_steps", [30_000] * 3))
    assert "100 %  30,000 of 30,000" in last_gauge(terminal)
    assert "finished" in ESCAPE.sub("", said(terminal))


def test_a_run_whose_seeds_have_all_stopped_is_done_too(capsys: pytest.CaptureFixture[str]) -> None:
    terminal, (run, _) = console(), trained(3, steps=24_900)
    with Live(terminal) as live:
        live.tick(run)
        live.done(over(run, "solved", [9_000, 24_900, 12_000]))
    assert "100 %  24,900 of 30,000: solved" in last_gauge(terminal)
    words = " ".join(ESCAPE.sub("", said(terminal)).split())
    assert "9,000 to 24,900 env steps per seed" in words
    assert "All seeds stopped before their 30,000 steps: nothing was left to train." in words
    PlainLines().done(run)
    assert " left" not in capsys.readouterr().out.splitlines()[0]


def test_all_seeds_that_have_stopped_fill_the_gauge_before_there_is_a_summary() -> None:
    run, curve = trained(3, steps=24_900)
    for s in range(2):
        run.scores.stop(s, "solved", 24_000)
    assert "83 %" in drawn(run, curve, 80, 24)[1]
    run.scores.stop(2, "max_episodes", 24_900)
    assert "100 %  24,900 of 30,000: max_episodes, solved" in drawn(run, curve, 100, 24)[1]
    assert "100 %" in drawn(run, curve, 30, 24)[1]


def test_what_is_not_done_is_not_full() -> None:
    terminal, (run, _) = console(), trained(3, steps=24_900)
    with Live(terminal) as live:
        live.tick(run)
        live.done(over(run, "interrupted", [24_900] * 3))
    assert "83 %" in last_gauge(terminal)
    assert "interrupted" in ESCAPE.sub("", said(terminal))
    run, curve = trained(3, steps=29_999)
    assert "99 %  29,999 of 30,000" in drawn(run, curve, 80, 24)[1]


def in_a_terminal(*command: str, width: int = 90, height: int = 28, **env: str) -> str:
    """What a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": str(width), "LINES": str(height), "TERM": "xterm-256color"}
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "LC_ALL", "LANG")}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**clean, **size, **env})
    os.close(theirs)
    text, until = b"", time.monotonic() + 120
    while time.monotonic() < until:
        ready, _, _ = select.select([ours], [], [], 1)
        try:
            piece = os.read(ours, 65536) if ready else b""
        except OSError:  # the other end is closed
            break
        text += piece
        if ready and not piece:
            break
    os.close(ours)
    assert process.wait(30) == 0, text[-2000:]
    return text.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "env",
    [
        {},
        {"PYTHONIOENCODING": "ascii"},
        {"TERM": "dumb"},
    ],
)
def test_train_in_a_terminal(env: dict[str, str], tmp_path: Path) -> None:
    short = ("--total-steps", "600", "--seeds", "3", "--set", "final_eval_episodes=2", "--set", "eval_every=300")
    command = (sys.executable, "-m", "rlbench", "train", "--env", "CartPole-v1", *short, "--workers", "2")
    text = in_a_terminal(*command, "--out", str(tmp_path / "run"), **env)
    bare = ESCAPE.sub("", text)
    assert "Everything is in" in bare
    assert "Greedy return, final weights" in bare
    if env.get("TERM") == "dumb":
        assert "\x1b[" not in text
        assert "600/600 steps" in bare
        return
    assert "dqn on CartPole-v1, 3 seeds" in bare
    assert "epsilon  " in bare  # told by the workers
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0
    if env:
        assert text.isascii()


def test_a_rate_rests_on_a_moment_of_training() -> None:
    """Several processes report steps and time one after the other: between two reports there may be next to nothing."""
    clock, run = Clock(), Run(2)
    run.train_seconds, run.env_steps = 0.0, 0
    clock.tick(run)
    run.train_seconds, run.env_steps = 0.02, 20
    clock.tick(run)
    assert clock.rate == pytest.approx(2 * 1_000)  # better than none
    for passed, steps in ((1.0, 1_000), (1.00001, 1_100), (2.0, 2_000), (2.0, 2_100)):
        run.train_seconds, run.env_steps = passed, steps
        clock.tick(run)
        assert clock.rate == pytest.approx(2 * 1_000)
