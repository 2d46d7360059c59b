"""Tests of `rlbench runs`: what is listed of whole and broken folders, and that its index is no record."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command import mistake, one_line, rlbench, succeeds

from rlbench.cli.runs import _table
from rlbench.runfolder import facts as runfacts
from rlbench.runfolder import index
from rlbench.runfolder.index import NAME, find_runs
from rlbench.runfolder.lock import Lock
from rlbench.runfolder.reader import Reader

EPISODES = "seed,env,episode,env_steps,episode_return,episode_length,wall_seconds\n"
EVALUATIONS = "seed,env_steps,episodes,mean_return,std_return,min_return,max_return,mean_length,wall_seconds\n"


def make_run(run: Path, *, env: str = "CartPole-v1", agent: str = "dqn", started: str = "", **summary: Any) -> Path:
    """A run folder; without ``summary`` a finished one of four seeds, whose IQM is 25. ``over=False``: no summary."""
    run.mkdir(parents=True)
    (run / "recipe.toml").write_text(f"env = '{env}'\nagent = '{agent}'\nseeds = 4\ntotal_steps = 9000\n")
    (run / "run.json").write_text(json.dumps({"started": started or "2026-11-01T08:00:00+00:00"}))
    content: dict[str, Any] = {
        "env_steps": 9000,
        "wall_seconds": 185.0,
        "final_eval_return": {"0": 10.0, "1": 20.0, "2": 30.0, "3": 400.0},
        "best_eval_return": {"0": 40.0, "1": 50.0, "2": 60.0, "3": None},
        "final_eval_episodes": {"0": 100, "1": 12, "2": 100, "3": 0},
        "stopped_because": "total_steps",
    }
    if summary.pop("over", True):
        (run / "summary.json").write_text(json.dumps({**content, **summary}))
    return run


def listed(root: Path, *args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(succeeds("runs", root, "--json", *args))
    return found


def names(root: Path, *args: str) -> list[str]:
    return [Path(run["path"]).name for run in listed(root, *args)]


def test_one_line_per_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1793692800.0)  # 2026-11-03T08:00:00Z
    make_run(tmp_path / "runs" / "CartPole-v1" / "dqn-1")
    make_run(
        tmp_path / "runs" / "mine", agent="my_agent.py:MyAgent", started="2026-11-03T07:59:55+00:00", wall_seconds=7
    )
    monkeypatch.chdir(tmp_path)
    assert succeeds("runs").splitlines() == [
        "env          agent    score  best  over  seeds  steps   time  status    age  path",
        "CartPole-v1  MyAgent     25    50    12      4  9,000     7s  finished   5s  runs/mine",
        "CartPole-v1  dqn         25    50    12      4  9,000  3m05s  finished   2d  runs/CartPole-v1/dqn-1",
    ]
    (run, _) = listed(Path("runs"), "--sort", "time")
    assert run == {
        "path": "runs/CartPole-v1/dqn-1",
        "env": "CartPole-v1",
        "agent": "dqn",
        "status": "finished",
        "score": 25.0,
        "best": 50.0,
        "episodes": 12.0,
        "seeds": 4,
        "env_steps": 9000,
        "total_steps": 9000,
        "wall_seconds": 185.0,
        "started": run["started"],
        "age_seconds": 172800.0,
        "stopped_because": "total_steps",
        "damage": None,
    }


def test_runs_are_found_at_any_depth_but_not_inside_of_a_run(tmp_path: Path) -> None:
    outer = make_run(tmp_path / "outer")
    for inner in ("workers/0", "checkpoints/500", "journal/x"):
        make_run(outer / inner)
    make_run(outer / "ablation" / "deep" / "down")
    (tmp_path / "nothing" / "here").mkdir(parents=True)
    assert [str(found.path.relative_to(tmp_path)) for found in find_runs(tmp_path)] == [
        "outer",
        "outer/ablation/deep/down",
    ]
    assert [found.path for found in find_runs(outer / "ablation/deep/down")] == [outer / "ablation/deep/down"]
    assert not (outer / "ablation/deep/down" / NAME).exists()  # a run folder holds no index


def test_filters_and_orders(tmp_path: Path) -> None:
    make_run(tmp_path / "a", started="2026-11-01T00:00:00+00:00", env_steps=1, wall_seconds=3)
    make_run(
        tmp_path / "b", started="2026-11-03T00:00:00+00:00", env_steps=3, wall_seconds=1, final_eval_return={"0": 9.0}
    )
    make_run(tmp_path / "c", started="2026-11-02T00:00:00+00:00", env_steps=2, wall_seconds=2, env="Acrobot-v1")
    make_run(tmp_path / "d", started="2026-10-02T00:00:00+00:00", env_steps=0, agent="random", final_eval_return=None)
    assert names(tmp_path) == ["b", "c", "a", "d"]
    assert names(tmp_path, "--sort", "score") == ["c", "a", "b", "d"]  # none at all comes last
    assert names(tmp_path, "--sort", "time") == ["d", "a", "c", "b"]
    assert names(tmp_path, "--sort", "steps", "--limit", "2") == ["b", "c"]
    assert names(tmp_path, "--sort", "env") == ["c", "a", "b", "d"]
    assert names(tmp_path, "--env", "cart") == ["b", "a", "d"]
    assert names(tmp_path, "--env", "a*-V1", "--agent", "DQN") == ["b", "c", "a"]
    assert names(tmp_path, "--since", "2026-11-02T00:00:00+00:00") == ["b", "c"]
    assert names(tmp_path, "--status", "running") == []


@pytest.mark.parametrize(("ago", "seen"), [("90s", 1), ("2m", 1), ("2h", 2), ("3d", 3), ("1w", 4)])
def test_since_counts_back_from_now(tmp_path: Path, ago: str, seen: int) -> None:
    for seconds in (60, 3600, 2 * 86400, 6 * 86400):
        make_run(tmp_path / str(seconds))
        content = {"started": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(time.time() - seconds))}+00:00"}
        (tmp_path / str(seconds) / "run.json").write_text(json.dumps(content))
    assert len(names(tmp_path, "--since", ago)) == seen


def test_status_says_who_is_at_work(tmp_path: Path) -> None:
    make_run(tmp_path / "finished")
    make_run(tmp_path / "interrupted", stopped_because="interrupted")
    make_run(tmp_path / "crashed", over=False)
    (tmp_path / "crashed" / ".lock").write_text("123")  # the file stays when its owner dies
    working = make_run(tmp_path / "running", over=False)
    code = "import time; from pathlib import Path; from rlbench.runfolder.lock import Lock\n"
    code += f"with Lock(Path({str(working)!r})):\n"
    process = subprocess.Popen([sys.executable, "-c", code + " print('held', flush=True); time.sleep(60)"], stdout=-1)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        status = {found.path.name: found.status for found in find_runs(tmp_path)}
        assert status == {name: name for name in ("finished", "interrupted", "crashed", "running")}
    finally:
        process.kill()
        process.communicate()
    assert {found.path.name: found.status for found in find_runs(tmp_path)}["running"] == "crashed"
    with Lock(working, patience=0):  # asking has left no lock behind
        assert listed(tmp_path, "--status", "running")[0]["path"] == str(working)


def test_a_run_that_has_not_ended_shows_how_far_it_has_come(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", over=False)
    for worker, seed, last in (("0", 0, 30.0), ("1", 1, 50.0)):
        place = run / "workers" / worker
        place.mkdir(parents=True)
        rows = (
            f"{seed},500,2,99,0,1,9,9,1.5\n{seed},1000,2,{last},0,1,9,9,3.5\n{seed},1500,2,7"  # the last is cut short
        )
        (place / "evaluations.csv").write_text(EVALUATIONS + rows)
        (place / "episodes.csv").write_text(EPISODES + f"{seed},0,7,{1200 + seed},1,9,4.{seed}\n1,0,99")
    (facts,) = (found.facts for found in find_runs(tmp_path))
    assert (facts.steps, facts.seconds, facts.score, facts.best, facts.stopped) == (1201, 4.1, 40.0, 99.0, "")
    assert "1,201/9,000" in succeeds("runs", tmp_path)
    with (run / "workers/1/evaluations.csv").open("a") as file:  # it goes on
        file.write(".0,0,1,9,9,5\n")
    (facts,) = (found.facts for found in find_runs(tmp_path))
    assert (facts.steps, facts.score) == (1500, (30 + 7) / 2)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("recipe.toml", "env = ", "Invalid value"),
        ("recipe.toml", "\0\0", "Invalid statement"),
        ("recipe.toml", "agent = 'dqn'", "there is no 'env'"),
        ("summary.json", "{", "Expecting property name"),
        ("summary.json", "", "Expecting value"),
        ("summary.json", "[1]", "it is no table"),
        ("run.json", "[" * 100_000, "it is nested too deeply"),
    ],
)
def test_a_damaged_run_is_listed_as_such(tmp_path: Path, name: str, content: str, said: str) -> None:
    make_run(tmp_path / "whole")
    (make_run(tmp_path / "r") / name).write_text(content)
    result = rlbench("runs", tmp_path)
    assert result.exit_code == 0
    assert [line.split()[-3] for line in result.stdout.splitlines()[1:]].count("damaged") == 1
    assert len(result.stdout.splitlines()) == 3
    (note,) = result.stderr.splitlines()
    assert note.startswith(f"note: {tmp_path / 'r' / name} is damaged: {said}")


def test_odd_numbers_and_broken_tables_do_not_stop_the_list(tmp_path: Path) -> None:
    make_run(tmp_path / "odd", final_eval_return=[1], best_eval_return={"0": "x"}, env_steps=None, wall_seconds="long")
    (tmp_path / "odd" / "run.json").write_text('{"started": "yesterday"}')
    run = make_run(tmp_path / "table", over=False)
    (run / "evaluations.csv").write_text(EVALUATIONS + "0,500,2,abc,0,1,9,9,1.5\n")
    odd, table = find_runs(tmp_path)
    assert (odd.facts.score, odd.facts.best, odd.facts.steps, odd.facts.seconds) == (None, None, 0, None)
    assert odd.facts.started == pytest.approx((tmp_path / "odd" / "recipe.toml").stat().st_mtime, abs=1e-3)
    assert (table.status, "abc" in table.facts.damage) == ("damaged", True)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the run folders that are read from now on."""
    seen: list[str] = []

    def read(reader: Reader) -> runfacts.Facts:
        seen.append(reader.folder.name)
        return runfacts.read_facts(reader)

    monkeypatch.setattr(index, "read_facts", read)
    return seen


def test_the_index_spares_reading_and_notices_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        make_run(tmp_path / name)
    seen = reads(monkeypatch)
    first = find_runs(tmp_path)
    assert sorted(seen) == ["a", "b", "c"]
    assert (tmp_path / NAME).is_file()
    assert find_runs(tmp_path) == first
    assert len(seen) == 3
    (tmp_path / "b" / "summary.json").unlink()  # resumed
    os.rename(tmp_path / "c", tmp_path / "d")
    assert [(f.path.name, f.status) for f in find_runs(tmp_path)] == [
        ("a", "finished"),
        ("b", "crashed"),
        ("d", "finished"),
    ]
    assert sorted(seen[3:]) == ["b", "d"]
    with sqlite3.connect(tmp_path / NAME) as database:
        assert {os.fsdecode(path) for (path,) in database.execute("SELECT path FROM runs")} == {"a", "b", "d"}
    database.close()
    find_runs(tmp_path, rebuild=True)
    assert sorted(seen[5:]) == ["a", "b", "d"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for i in range(100, len(content), 97):
        content[i] ^= 0xFF
    path.write_bytes(content)


def change_a_number(path: Path) -> None:
    content = path.read_bytes()
    assert b"185.0" in content
    path.write_bytes(content.replace(b"185.0", b"999.0"))


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"this is no database" * 500),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        flip,
        change_a_number,
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["gone", "empty", "text", "half", "flipped", "number", "folder"],
)
def test_a_harmed_index_costs_nothing_but_time(tmp_path: Path, harm: Any) -> None:
    for i in range(30):
        make_run(tmp_path / f"run-{i}")
    whole = find_runs(tmp_path)
    harm(tmp_path / NAME)
    assert rlbench("runs", tmp_path).stderr == ""
    assert find_runs(tmp_path) == whole
    assert find_runs(tmp_path) == whole


def test_an_index_of_another_version_or_kind_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "r")
    whole = find_runs(tmp_path)
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute("DROP TABLE runs")
    database.close()
    assert find_runs(tmp_path) == find_runs(tmp_path) == whole
    seen = reads(monkeypatch)
    monkeypatch.setattr(index, "VERSION", 99)
    assert find_runs(tmp_path) == find_runs(tmp_path) == whole
    assert seen == ["r"]


ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n, n, n, n FROM r"


def test_an_index_of_somebody_elses_is_not_believed(tmp_path: Path) -> None:
    """It may come with a folder of runs from elsewhere."""
    make_run(tmp_path / "r")
    whole = find_runs(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as database:
        path, state = database.execute("SELECT path, state FROM runs").fetchone()
        facts = json.dumps([["env"], 5, "x", {}, None, "", "", "", "", 1, 2])
        crc = index._crc(path, state, facts)
        database.execute("UPDATE runs SET facts = ?, crc = ?", (facts, crc))
    assert find_runs(tmp_path) == find_runs(tmp_path) == whole
    (tmp_path / NAME).unlink()
    with contextlib.closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as database:
        database.execute(f"CREATE VIEW runs (path, state, facts, crc) AS {ENDLESS}")
        database.execute(f"PRAGMA user_version = {index.VERSION}")
        database.set_progress_handler(lambda: 1, 10**6)
    code = f"from rlbench.runfolder.index import find_runs; print(len(find_runs({str(tmp_path)!r})))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (found.stdout, found.stderr) == (b"1\n", b"")


def test_an_index_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine.sqlite"
    with contextlib.closing(sqlite3.connect(mine)) as database:
        database.execute("CREATE TABLE precious (x)")
    before = mine.read_bytes()
    make_run(tmp_path / "runs" / "r")
    (tmp_path / "runs" / NAME).symlink_to(mine)
    assert len(find_runs(tmp_path / "runs")) == 1
    assert mine.read_bytes() == before


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1" + "0" * 400])
@pytest.mark.parametrize("key", ["env_steps", "wall_seconds", "final_eval_return", "solved_at"])
def test_numbers_that_no_run_has(key: str, number: str, tmp_path: Path) -> None:
    """One such run does not hide the others, and no command answers with a traceback."""
    make_run(tmp_path / "good")
    bad = make_run(tmp_path / "bad", env="CartPole-v1", **{key: None})
    text = number if key != "final_eval_return" else f'{{"0": {number}}}'
    path = bad / "summary.json"
    path.write_text(path.read_text().replace(f'"{key}": null', f'"{key}": {text}'))
    assert number in path.read_text()
    assert sorted(names(tmp_path)) == ["bad", "good"]
    for command in ("watch", "plot", "report"):
        assert mistake(command, bad)
    assert mistake("compare", bad, tmp_path / "good")


@pytest.mark.parametrize("key", ["seeds", "total_steps"])
@pytest.mark.parametrize("number", ["nan", "inf", "1" + "0" * 400])
def test_recipes_that_no_run_has(key: str, number: str, tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    bad = make_run(tmp_path / "bad")
    with (bad / "recipe.toml").open("w") as file:
        numbers = {"seeds": "4", "total_steps": "9000", key: number}
        file.write("env = 'CartPole-v1'\nagent = 'dqn'\nseed = 0\n")
        file.writelines(f"{name} = {value}\n" for name, value in numbers.items())
    assert sorted(names(tmp_path)) == ["bad", "good"]
    for command in ("watch", "plot", "report"):
        assert mistake(command, bad)


def test_a_name_commands_no_terminal(tmp_path: Path) -> None:
    make_run(tmp_path / "r")
    (tmp_path / "r" / "recipe.toml").write_text('env = "\\u001b[31mred\\u0007"\nagent = "a"\n')
    (found,) = find_runs(tmp_path)
    assert found.facts.env == "?[31mred?"


def test_a_locked_index_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PATIENCE", 0.01)
    make_run(tmp_path / "r")
    whole = find_runs(tmp_path)
    database = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    make_run(tmp_path / "s")
    assert [found.path.name for found in find_runs(tmp_path)] == ["r", "s"]
    database.execute("ROLLBACK")
    database.close()
    assert find_runs(tmp_path)[:1] == whole


def test_many_at_once(tmp_path: Path) -> None:
    for i in range(20):
        make_run(tmp_path / f"run-{i}")
    loop = f"for _ in range(5): assert len(find_runs({str(tmp_path)!r}, rebuild=True)) == 20"
    code = f"from rlbench.runfolder.index import find_runs\n{loop}"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        _, complaint = process.communicate()
        assert (process.returncode, complaint) == (0, b"")


def test_a_folder_that_cannot_be_written_is_indexed_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    make_run(root / "r")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    whole = find_runs(root)
    assert not (root / NAME).exists()
    (place,) = (tmp_path / "cache").rglob("*.sqlite")
    seen = reads(monkeypatch)
    assert (find_runs(root), seen) == (whole, [])
    place.unlink()
    (tmp_path / "cache" / "rlbench").rmdir()
    (tmp_path / "cache" / "rlbench").write_text("in the way")
    assert find_runs(root) == whole


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    make_run(tmp_path / name)
    assert find_runs(tmp_path) == find_runs(tmp_path)
    assert succeeds("runs", tmp_path).splitlines()[1].endswith("caf\ufffd")


def test_a_narrow_terminal_keeps_what_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "r", agent="a-long-name-of-an-agent")
    found = find_runs(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    path = str(tmp_path / "r")
    for width in (len(path) + 75, len(path) + 50, 10):
        lines, left_out = _table(found, time.time(), width)
        assert left_out[:2] == ["best", "time"]
        assert width == 10 or max(map(len, lines)) <= width
        assert lines[1].startswith("CartPole-v1")
        assert lines[1].endswith(path)
    assert lines[0].split() == ["env", "score", "status", "path"]
    assert (_table(found, time.time(), 200)[1], _table(found, time.time(), None)[1]) == ([], [])


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    assert "there is no folder nowhere. Name one that holds runs" in mistake("runs", "nowhere")
    make_run(tmp_path / "r")
    for when in ("soon", "3y", "2026-13-01", "-2h"):
        assert f"--since '{when}' is no time: write 30m, 2h" in mistake("runs", tmp_path, f"--since={when}")
    result = rlbench("runs", tmp_path, "--env", "Acrobot")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"no run under {tmp_path} matches; there are 1.\n"
    (tmp_path / "empty").mkdir()
    assert rlbench("runs", tmp_path / "empty").stderr == f"no run under {tmp_path / 'empty'}.\n"
    assert listed(tmp_path / "empty") == []
    assert one_line(rlbench("runs", "--limit", "0")).startswith("Error: Invalid value for '--limit'")
