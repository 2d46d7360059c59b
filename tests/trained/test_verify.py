"""`rlbench verify` agrees with a run that is what it says, and names what is not."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from command import mistake, rlbench, succeeds
from conftest import registering
from rlbench.envs.probe import ConstantReward

import rlbench as package
from rlbench.record.recorder import Recorder
from rlbench.runfolder import journal
from rlbench.runfolder.index import find_runs
from rlbench.runfolder.journal import Entry
from rlbench.runfolder.reader import Reader
from rlbench.trained import verify
from rlbench.trained.recording import Recording, open_recording
from rlbench.training import evaluations
from rlbench.training import train as training

SMALL: dict[str, Any] = {"eval_every": 0, "final_eval_episodes": 0, "dqn": {"hidden": [8], "learning_starts": 40}}


class Fickle(ConstantReward):
    """Not deterministic given its seed: the reward grows with every episode that the process has played."""

    played = 0

    def reset(self, **how: Any) -> Any:
        Fickle.played += 1
        return super().reset(**how)

    def step(self, action: Any) -> Any:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, float(Fickle.played), terminated, truncated, info


class Fragile(ConstantReward):
    later = False

    def reset(self, **how: Any) -> Any:
        if Fragile.later:
            raise RuntimeError("out of order")
        return super().reset(**how)


_registered = registering({"verify/Fickle-v0": Fickle, "verify/Fragile-v0": Fragile})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "run"
    return package.train("CartPole-v1", seeds=2, num_envs=2, total_steps=600, out=folder, **SMALL).folder


@pytest.fixture(scope="module")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two processes."""
    folder = tmp_path_factory.mktemp("verify") / "dealt"
    return package.train("CartPole-v1", seeds=3, workers=2, total_steps=150, out=folder, **SMALL).folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run folder to break."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def recorded(run: Path, seed: int = 0) -> list[Entry]:
    return list(journal.entries(run / f"journal/{seed}.bin"))


def differs(*args: Any) -> tuple[list[str], str]:
    """The lines of a verification that fails, and its error."""
    result = rlbench("verify", *args)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    (error,) = result.stderr.splitlines()
    assert "does not agree with itself" in error
    return result.stdout.splitlines(), error


def test_a_run_that_is_what_it_says(trained: Path) -> None:
    said = succeeds("verify", trained).splitlines()
    counts = [len(recorded(trained, seed)) for seed in (0, 1)]
    assert min(counts) > 15
    assert said == [
        f"{trained}: dqn on CartPole-v1",
        "    seed  episodes  replayed     agree   episodes.csv",
        *(f"{seed:>8}{n:>10}{n:>10}{n:>10}   same" for seed, n in enumerate(counts)),
        f"checkpoints and replay buffers: {len(list(trained.rglob('*.pth')))} of 3 open",
        "Everything agrees.",
    ]


def test_a_run_on_several_processes(dealt: Path) -> None:
    said = succeeds("verify", dealt).splitlines()
    assert [line.split()[0] for line in said[2:5]] == ["0", "1", "2"]
    assert [line.split()[-1] for line in said[2:5]] == ["same"] * 3
    count = len(list(dealt.rglob("*.pth")))
    assert count > 4
    assert said[5] == f"checkpoints and replay buffers: {count} of {count} open"


@pytest.mark.parametrize(
    ("flags", "replayed"), [(["--episodes", "3"], 3), (["--episodes", "1"], 1), (["--episodes", "all"], None), ([], 9)]
)
def test_a_sample(flags: list[str], replayed: int | None, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "FEW", 9)
    said = succeeds("verify", trained, "--seed", 1, *flags).splitlines()
    count = len(recorded(trained, 1))
    assert said[2].split() == ["1", str(count), *[str(replayed or count)] * 2, "same"]
    assert len(said) == 5


@pytest.mark.parametrize(("n", "most"), [(10, 3), (10, 10), (1, 1), (500, 200), (7, 2), (0, 5), (201, 200)])
def test_a_sample_is_spread_evenly(n: int, most: int, trained: Path) -> None:
    entries = [recorded(trained)[0]._replace(episode=k) for k in range(n)]
    chosen = [entry.episode for entry in verify.spread(entries, most)]
    assert len(chosen) == len(set(chosen)) == min(n, most)
    assert chosen == sorted(chosen)
    assert n == 0 or (chosen[0] == 0 and (chosen[-1] == n - 1 or most == 1))
    gaps = np.diff(chosen)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def change_csv(run: Path, change: Callable[[list[str]], Any]) -> None:
    path = run / "episodes.csv"
    lines = path.read_text().splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines))


def test_an_episode_that_is_missing_from_the_table(run: Path) -> None:
    change_csv(run, lambda lines: lines.pop(4))
    said, error = differs(run)
    told = [line for line in said if line.endswith("is in the journal alone")]
    assert len(told) == 1
    assert re.match(r"episode \d+ of environment copy [01] of seed [01] is in", told[0])
    assert [line.split()[-1] for line in said[2:4]].count("differs") == 1
    assert error.endswith("does not agree with itself: 1 difference, see above.")


def test_episodes_that_are_missing_from_the_journal(run: Path) -> None:
    (run / "journal/1.bin").unlink()
    said, error = differs(run)
    assert said[3].split() == ["1", "0", "0", "0", "differs"]
    told = [line for line in said if line.endswith("of seed 1 is in episodes.csv alone")]
    assert len(told) == 10
    more = sum(line.startswith("1,") for line in (run / "episodes.csv").read_text().splitlines()) - 10
    assert error.endswith(f"{more + 10} differences, see above ({more} more are not shown).")


@pytest.mark.parametrize("column", ["env_steps", "episode_return", "episode_length"])
def test_a_row_that_was_changed(column: str, run: Path) -> None:
    def change(lines: list[str]) -> None:
        cells = lines[3].split(",")
        at = lines[0].split(",").index(column)
        cells[at] = str(int(cells[at]) - 1) if column == "env_steps" else cells[at] + "1"  # they must not go back
        lines[3] = ",".join(cells)

    change_csv(run, change)
    said, _ = differs(run)
    assert len([line for line in said if line.endswith("is in both, and differs")]) == 1


def test_rows_in_another_order_and_a_row_too_many(run: Path) -> None:
    change_csv(run, lambda lines: lines.append(lines.pop(1)))
    said, _ = differs(run)
    assert [line for line in said if re.search(r"is damaged at line \d+: env_steps of seed [01] goes back", line)]
    change_csv(run, lambda lines: (lines.insert(1, lines.pop()), lines.insert(1, lines[1])))
    said, _ = differs(run)
    assert len([line for line in said if "environment copy" in line]) == 1


def test_a_table_that_is_damaged(run: Path) -> None:
    change_csv(run, lambda lines: lines.__setitem__(6, "0,x,y\n"))
    said, _ = differs(run)
    assert [line.split(maxsplit=4)[-1] for line in said[2:4]] == ["not compared"] * 2
    assert said[-1].startswith(f"{run / 'episodes.csv'} is damaged at line 7: ")
    change_csv(run, lambda lines: lines.__setitem__(0, "seed,env\n"))
    said, _ = differs(run)
    assert "is damaged at line 1: there is no column 'episode'" in said[-1]
    (run / "episodes.csv").unlink()
    said, _ = differs(run)
    assert f"there is no {run / 'episodes.csv'}" in said


def test_a_run_that_was_cut_off_may_have_more_of_one_than_of_the_other(run: Path) -> None:
    """Only where the run has not ended, and only at the end."""
    change_csv(run, lambda lines: lines.append(lines.pop()[:9]))  # cut short in the middle of a row
    differs(run)
    (run / "summary.json").unlink()
    said = succeeds("verify", run).splitlines()
    assert sorted(line.split(maxsplit=4)[-1] for line in said[2:4]) == ["1 behind", "same"]
    assert said[4].startswith("The run is under way or was cut off")
    data = (run / "journal/0.bin").read_bytes()
    last = recorded(run)[-1]
    (run / "journal/0.bin").write_bytes(data[: last.place[1] - 20])
    said = succeeds("verify", run).splitlines()
    assert re.search(r"(1 ahead|same)$", said[2])
    change_csv(run, lambda lines: lines.pop(2))
    differs(run)


def test_a_run_of_several_processes_that_is_under_way(dealt: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(dealt, tmp_path / "run"))
    (run / "summary.json").unlink()
    (run / "episodes.csv").unlink()  # made when the run ends
    succeeds("verify", run)
    path = run / "workers/1/episodes.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert "1 behind" in succeeds("verify", run)


def test_a_damaged_journal(run: Path) -> None:
    path = run / "journal/0.bin"
    data = bytearray(path.read_bytes())
    entries = recorded(run)
    data[entries[5].place[1]] ^= 1
    path.write_bytes(data)
    said, error = differs(run)
    assert said[2].split() == ["0", "5", "5", "5", "not", "compared"]
    assert [line for line in said if line.startswith(f"{path} is damaged: the record at byte")]
    assert error.endswith("1 difference, see above.")


@pytest.mark.parametrize("name", ["checkpoint.pth", "best.pth", "replay.pth"])
def test_a_damaged_checkpoint(name: str, run: Path) -> None:
    path = run / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    said, _ = differs(run, "--episodes", 1)
    assert "checkpoints and replay buffers: 2 of 3 open" in said
    assert said[-1].startswith(f"{path} is damaged")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("summary.json", "{", "is damaged"),
        ("summary.json", "[]", "is damaged: it is no table"),
        (
            "evaluations.csv",
            "seed,env_steps,mean_return\n0,40,9\n",
            "is damaged at line 1: there is no column 'episodes'",
        ),
        ("updates.csv", "seed,env_steps,updates,loss\n0,20,1,\n0,40\n", "is damaged at line 3: 2 fields instead of 4"),
        ("run.json", "{", "is damaged"),
        ("checkpoint.pth", None, "there is no "),
    ],
)
def test_other_files_that_are_damaged_or_gone(name: str, content: str | None, told: str, run: Path) -> None:
    path = run / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    said, _ = differs(run, "--episodes", 1)
    assert str(path) in said[-1]
    assert told in said[-1]


def test_a_workers_damaged_replay_buffer(dealt: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(dealt, tmp_path / "run"))
    (run / "workers/1/replay.pth").write_bytes(b"PK")
    said, _ = differs(run, "--episodes", 1)
    assert said[-1].startswith(f"{run / 'workers/1/replay.pth'} is damaged")


def test_what_a_save_left_half_done_is_not_looked_at_and_a_hidden_run_is(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / ".hidden" / "run"))
    (run / ".half.pth").write_bytes(b"PK")
    assert "checkpoints and replay buffers: 3 of 3 open" in succeeds("verify", run, "--episodes", 1)


@pytest.mark.parametrize("field", ["episode_return", "terminated"])
def test_a_journal_that_tells_another_story(field: str, trained: Path, tmp_path: Path) -> None:
    """Its checksums hold and the table agrees; only running the episode again shows it."""
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    path = run / "journal/1.bin"
    entry = recorded(run, 1)[7]
    other = entry._replace(**{field: not entry.terminated if field == "terminated" else entry.episode_return + 1e-12})
    forge(path, entry, other)
    said, _ = differs(run)
    assert said[3].split()[1:4] == [str(n := len(recorded(run, 1))), str(n), str(n - 1)]
    assert said[3].endswith("same")
    assert said[-1].startswith(
        f"episode {entry.episode}@{entry.env} of seed 1 gave return {entry.episode_return!r} after"
    )


def forge(path: Path, entry: Entry, other: Entry) -> None:
    """Put one episode in another's place, with checksums that fit."""
    import zlib

    data = path.read_bytes()
    first = zlib.crc32(data[: data.index(b"\n") + 1])
    head = journal._HEAD.pack(*other[1:-1])
    at, taken = entry.place[1], entry.episode_length
    checked = zlib.crc32(head, first)
    record = head + journal._SUM.pack(checked) + (body := data[at : at + taken])
    record += journal._SUM.pack(zlib.crc32(body, checked))
    begin = at - len(head) - 4
    path.write_bytes(data[:begin] + record + data[begin + len(record) :])


def test_an_environment_that_is_not_deterministic(tmp_path: Path) -> None:
    run = training.train("verify/Fickle-v0", seeds=2, total_steps=40, out=tmp_path / "run", **SMALL).folder
    said, error = differs(run)
    assert said[2].split() == ["0", "40", "40", "0", "same"]
    assert said[4].startswith("80 do not: verify/Fickle-v0 is not deterministic given its seed, or has changed since.")
    assert said[4].endswith("runs with --set fresh_envs=true are exact.")
    assert re.fullmatch(
        r"episode 0 of seed 0 gave return \S+ after 1 steps \(terminated\) where return \S+ after 1 steps "
        r"\(terminated\) was recorded",
        said[6],
    )
    assert len(said) == 6 + 10
    assert error.endswith("80 differences, see above (70 more are not shown).")


def test_an_environment_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = package.train("verify/Fragile-v0", seeds=1, total_steps=20, agent="random", out=tmp_path / "run").folder
    monkeypatch.setattr(Fragile, "later", True)
    said, _ = differs(run, "--episodes", 2)
    told = "verify/Fragile-v0 failed at step 0, when episode 19 of seed 0 was run again: "
    assert any(told in line and line.endswith("in reset: RuntimeError: out of order") for line in said)


def test_requests_that_cannot_be_met(trained: Path, run: Path, tmp_path: Path) -> None:
    for wrong in ("0", "-1", "some", "1.5", "²"):
        assert f"--episodes takes a number from 1 on, or all; not {wrong!r}" in mistake(
            "verify", trained, "--episodes", wrong
        )
    assert "has no seed 9; it has 0, 1." in mistake("verify", trained, "--seed", 9)
    assert "is no run folder: there is no such folder" in mistake("verify", tmp_path / "none")
    assert "is a file" in mistake("verify", trained / "checkpoint.pth")
    shutil.rmtree(run / "journal")
    assert "has no journal: it was trained by a version that kept none" in mistake("verify", run)
    toml = run / "recipe.toml"
    toml.write_text(re.sub(r"imports = \[[^]]*\]", 'imports = ["my_env"]', toml.read_text()))
    assert "Say: --import my_env" in mistake("verify", run)


def tables(recording: Recording) -> list[str]:
    rows, problems = verify.read_tables(Reader(recording.folder))
    assert problems == []
    return [report.table for report in verify.check_seeds(recording, [0, 1], rows, 2)]


def test_a_run_that_is_writing(run: Path) -> None:
    """Opened while its recorder is at work: what has not been brought to the disk is not missed."""
    (run / "summary.json").unlink()
    recording = open_recording(run)
    entry = recorded(run)[-1]
    from rlbench.border.spaces import action_codec
    from rlbench.rollout.env_batch import Episode

    codec = action_codec(gym.spaces.Discrete(2), "test")
    sizes = {path.name: path.stat().st_size for path in run.glob("*.csv")}
    sizes |= {f"journal/{path.name}": path.stat().st_size for path in journal.files(run)}
    recorder = Recorder(run, [0, 1], codec, resume=sizes)
    try:
        recorder.episode(Episode(0, 0, 99, 1.0, 1, True, entry.reset_seed, [0]), 700)
        assert tables(recording) == ["same", "same"]
        recorder._write_episodes()
        recorder._files["episodes.csv"].flush()
        assert tables(recording) == ["1 ahead", "same"]
        recorder.flush()
        assert tables(recording) == ["same", "same"]
    finally:
        recorder.close()


@pytest.mark.parametrize("content", ['{"0 1234abcd": [[0, 0, 9.0, 9]]}', '{"0 12'])
def test_an_evaluation_that_was_cut_off_is_no_damage(content: str, run: Path) -> None:
    """A half one, of a crash, is played again."""
    before = find_runs(run)
    (run / evaluations.FILE).write_text(content)
    succeeds("verify", run)
    assert find_runs(run) == before
