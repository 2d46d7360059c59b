"""A sweep judged, reported and watched: by what is finished, and with what is missing named."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import pytest
from command import mistake, one_line, rlbench, succeeds
from sweeps import AGENTS, lay_out
from test_progress import ESCAPE

from rlbench.cells.attempt import read_attempt, write_attempt
from rlbench.judge.contestants import read_contestant
from rlbench.outcome.contest import Contest, contest_of, judge_contest
from rlbench.runfolder.reader import readers_of
from rlbench.sweep.file import parse_file
from rlbench.sweep.folder import SweepFolder, open_sweep
from rlbench.sweep.index import CellState
from rlbench.sweep.plan import Cell

CARTPOLE, CATCH = "CartPole-v1", "rlbench/Catch-v0"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agents on two environments, all done."""
    place = tmp_path_factory.mktemp("contest") / "agents"
    lay_out(place)
    return place


@pytest.fixture
def sweep(made: Path, tmp_path: Path) -> Path:
    """A copy to do as one likes with."""
    return Path(shutil.copytree(made, tmp_path / "agents"))


def standing(**states: str) -> tuple[SweepFolder, dict[str, CellState]]:
    """A sweep that is nowhere on the disk; its cells are called LABEL_ENV_SEED."""
    cells = []
    for name in states:
        label, env, _ = name.split("_")
        cells.append(Cell(name, label, env, {}))
    file = parse_file(AGENTS, "sweep.toml")
    known = {name: CellState(state) for name, state in states.items()}  # type: ignore[arg-type]
    return SweepFolder(Path("nowhere"), file, tuple(cells), {}), known


def test_seeds_are_pooled_and_what_is_missing_is_said() -> None:
    found = contest_of(
        *standing(
            a_E_0="done", a_E_10="running", b_E_0="waiting", b_E_10="failed", a_F_0="done", a_F_10="done", b_F_0="done"
        )
    )
    assert found.labels == ("a", "b")
    assert found.envs == ("E", "F")
    assert {label: [path.name for path in paths] for label, paths in found.runs.items()} == {
        "a": ["a_E_0", "a_F_0", "a_F_10"],
        "b": ["b_F_0"],
    }
    assert found.words == {("a", "E"): "1 of 2 cells", ("b", "E"): "1 failed, 1 waiting"}
    assert found.missing == ("a on E: 1 of 2 cells done (1 running)", "b on E: 0 of 2 cells done (1 failed, 1 waiting)")


def test_a_run_that_was_stopped_on_its_way_does_not_count() -> None:
    found = contest_of(*standing(a_E_0="done", b_E_0="stopped", b_E_10="done", c_E_0="stopped"))
    assert {label: [path.name for path in paths] for label, paths in found.runs.items()} == {
        "a": ["a_E_0"],
        "b": ["b_E_10"],
    }
    assert found.words == {("b", "E"): "1 of 2 cells", ("c", "E"): "1 stopped"}


def test_the_first_contestant_that_has_finished_is_the_baseline() -> None:
    found = contest_of(*standing(a_E_0="waiting", b_E_0="done", c_E_0="done"))
    assert found.labels == ("b", "a", "c")
    assert "a has no finished cell: the others are compared with b" in found.missing
    assert contest_of(*standing(a_E_0="done", b_E_0="done"), baseline="b").labels == ("b", "a")


def test_environments_that_some_alone_have_are_named() -> None:
    found = contest_of(*standing(a_E_0="done", b_E_0="done", a_F_0="done", c_E_0="done"))
    assert "F is planned for a alone, and not for b and c" in found.missing
    assert found.words[("b", "F")] == "not planned"


def test_much_that_is_missing_is_told_in_few_lines() -> None:
    found = contest_of(*standing(**{f"a{i}_E_0": "waiting" for i in range(50)}, b_E_0="done"))
    assert len(found.missing) == 12
    assert found.missing[-1] == "and 40 more of this kind"


def test_it_says_what_compare_says_of_the_run_folders(made: Path) -> None:
    contest = contest_of(open_sweep(made))
    judged = judge_contest(contest).comparison
    assert contest.missing == ()
    runs = [f"random={made}/cells/*random", f"dqn={made}/cells/*dqn"]
    by_hand = json.loads(succeeds("compare", *runs, "--json"))
    assert judged.to_dict()["tables"] == by_hand["tables"]
    assert judged.to_dict()["verdicts"] == by_hand["verdicts"]


def test_the_heat_map_holds_the_numbers_of_the_tables(made: Path) -> None:
    judged = judge_contest(contest_of(open_sweep(made)))
    heat, comparison = judged.heat, judged.comparison
    for table in comparison.tables:
        assert table.reference is not None
        for agent in table.agents:
            square = heat.squares[agent.label, table.env]
            assert square.raw == agent.aggregates.iqm
            assert square.value == pytest.approx(table.reference.normalise(agent.aggregates.iqm.value))  # type: ignore[arg-type]
    assert comparison.overall is not None
    assert [heat.overall[a.label].value for a in comparison.overall.agents] == [
        a.aggregates.iqm.value for a in comparison.overall.agents
    ]


def test_compare_takes_a_sweep(sweep: Path) -> None:
    said = succeeds("compare", sweep)
    assert "all environments: greedy normalised score" in said
    assert f"Heat map: {sweep / 'compare.png'}" in said
    assert matplotlib.image.imread(sweep / "compare.png").std() > 0.05
    turned = json.loads(succeeds("compare", sweep, "--baseline", "dqn", "--json", "--plot", sweep / "other.svg"))
    assert turned["labels"] == ["dqn", "random"]
    assert "CartPole-v1" in (sweep / "other.svg").read_text()


def test_runs_have_a_heat_map_and_a_baseline_too(made: Path, tmp_path: Path) -> None:
    runs = [f"random={made}/cells/*random", f"dqn={made}/cells/*dqn"]
    said = succeeds("compare", *runs, "--baseline", "dqn", "--plot", tmp_path / "heat.png")
    assert "against dqn" in said
    assert (tmp_path / "heat.png").exists()
    assert mistake("compare", *runs, "--baseline", "no").startswith(
        "Error: the baseline 'no' is none of those compared"
    )


def test_a_sweep_half_done_is_compared_by_what_is_done(sweep: Path) -> None:
    shutil.rmtree(sweep / "cells" / "rlbench-Catch-v0_dqn")
    said = succeeds("compare", sweep)
    assert "dqn on rlbench/Catch-v0: 0 of 1 cells done (1 waiting)" in said
    assert "CartPole-v1: greedy return of the final weights" in said
    judged = judge_contest(contest_of(open_sweep(sweep)))
    assert judged.heat.squares["dqn", CATCH].word == "1 waiting"
    assert judged.heat.squares["dqn", CATCH].value != judged.heat.squares["dqn", CATCH].value
    assert judged.heat.squares["random", CATCH].raw is not None  # though nobody else is there


def test_who_shares_no_environment_is_left_out(made: Path) -> None:
    """Of three, the one that has finished elsewhere alone keeps no two others from being compared."""
    whole = contest_of(open_sweep(made))
    runs = {"a": whole.runs["random"][:1], "b": whole.runs["dqn"][:1], "c": whole.runs["dqn"][1:]}
    judged = judge_contest(Contest(("a", "b", "c"), whole.envs, runs, {}, ()))
    assert judged.comparison.labels == ("a", "b")
    assert any(text.startswith("no verdict is about c") for text in judged.comparison.warnings)
    assert judged.heat.squares["c", CATCH].raw is not None
    assert [list(read_contestant("c", readers_of(runs["c"])).seeds)] == [[CATCH]]


def test_what_cannot_be_compared_is_one_line(sweep: Path, tmp_path: Path) -> None:
    assert "There is random and dqn." in mistake("compare", sweep, "--baseline", "no")
    assert "a reference for 'Foo'" in mistake("compare", sweep, "--reference", "Foo=1,2")
    assert "must end in .png" in mistake("compare", sweep, "--plot", tmp_path / "x.gif")
    for name in ("CartPole-v1_random", "rlbench-Catch-v0_dqn"):
        shutil.rmtree(sweep / "cells" / name)
    assert "on no environment have two contestants finished; 2 cells are done" in mistake("compare", sweep)
    assert "has no finished cell yet" in one_line(rlbench("compare", cleared(sweep), "--baseline", "dqn"))
    alone = tmp_path / "alone"
    lay_out(alone, AGENTS.replace('agent = ["random", "dqn"]', "seed = [0, 5]"), ["CartPole-v1_dqn_seed=5"])
    assert "of one contestant, 'dqn'" in mistake("compare", alone)


def cleared(sweep: Path) -> Path:
    shutil.rmtree(sweep / "cells")
    return sweep


def test_the_report_of_a_sweep(sweep: Path, tmp_path: Path) -> None:
    folder = sweep / "cells" / "rlbench-Catch-v0_dqn"
    attempt = read_attempt(folder)
    assert attempt is not None
    write_attempt(folder, attempt._replace(state="failed", message="it went <wrong>", lines=("first & last",)))
    said = rlbench("report", sweep, "--out", tmp_path / "page.html")
    assert said.exit_code == 0
    assert "note: dqn on rlbench/Catch-v0: 0 of 1 cells done (1 failed)" in said.stderr
    page = (tmp_path / "page.html").read_text()
    assert len(page) < 2_000_000
    for text in (
        "4 cells: 3 done, 1 failed", "it went &lt;wrong&gt;", "first &amp; last", "1 cell failed", "eval_every = 60",
        "rlbench sweep sweep.toml --out again", "While learning: greedy evaluations",
    ):  # fmt: skip
        assert text in page, text
    assert "<image" not in page
    assert "<wrong>" not in page
    svg = page.partition('<figure class="heat">')[2].partition("</figure>")[0]
    assert svg.count("[") == 3  # a square each with its interval
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


def test_a_report_of_a_sweep_that_has_not_begun(sweep: Path, tmp_path: Path) -> None:
    said = rlbench("report", cleared(sweep), "--out", tmp_path / "page.html")
    assert said.exit_code == 0
    assert said.stdout.startswith(str(tmp_path / "page.html"))
    assert "random on CartPole-v1: 0 of 1 cells done (1 waiting)" in said.stderr
    page = (tmp_path / "page.html").read_text()
    assert "No cell has finished yet." in page
    assert "4 cells: 4 waiting" in page


def test_watch_shows_the_cells(sweep: Path) -> None:
    before = sorted((str(p), p.stat().st_mtime_ns) for p in sweep.rglob("*"))
    said = succeeds("watch", sweep)
    assert "4 cells" in said
    assert "4 of 4 done" in said
    assert "rlbench-Catch-v0_dqn" in said
    assert before == sorted((str(p), p.stat().st_mtime_ns) for p in sweep.rglob("*"))
    shutil.rmtree(sweep / "cells" / "rlbench-Catch-v0_dqn")
    said = succeeds("watch", sweep, "--once")
    assert f"Nobody drives it. Go on with: rlbench sweep {sweep}" in said


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_watch_on_a_terminal(sweep: Path, terminal: str) -> None:
    """It is drawn again while a cell runs, and q leaves; on a terminal that can nothing, once."""
    folder = sweep / "cells" / "rlbench-Catch-v0_dqn"
    attempt = read_attempt(folder)
    assert attempt is not None
    write_attempt(folder, attempt._replace(state="running", env_steps=60, rate=100.0))
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": terminal, "COLUMNS": "110", "LINES": "30"}
    command = [sys.executable, "-m", "rlbench", "watch", str(sweep)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    said, pressed, until = b"", False, time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                said += os.read(ours, 1 << 16)
            except OSError:
                break
        if terminal == "xterm" and not pressed and said.count(b"q leaves") >= 2:
            os.write(ours, b"q")
            pressed = True
    os.close(ours)
    assert process.wait(20) == 0
    text = ESCAPE.sub("", said.decode(errors="replace"))
    assert "60 (50 %)" in text
    assert "1 running" in text
    assert pressed == (terminal == "xterm")


def test_other_commands_on_a_sweep(sweep: Path) -> None:
    assert succeeds("runs", sweep).count("finished") == 4
    said = rlbench("plot", sweep)
    assert said.exit_code == 0
    assert (sweep / "curves.png").exists()
    assert "CartPole-v1: dqn, 5 seeds" in said.stdout
    for words in (["play"], ["eval"], ["inspect"], ["verify"], ["train", "--resume"]):
        assert mistake(*words, sweep) == (
            f"Error: {sweep} is no run folder, it is a sweep of several: name one of {sweep}/cells/*"
        )
    assert "none of its cells has begun" in mistake("plot", cleared(sweep))
