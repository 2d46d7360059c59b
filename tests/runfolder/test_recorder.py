"""The recorder of a run: episodes wait to be written together, and none is lost or out of order."""

import csv
from pathlib import Path

import pytest
from gymnasium import spaces

from rlbench.border.spaces import action_codec
from rlbench.record.recorder import CHUNK, Recorder
from rlbench.rollout.env_batch import Episode
from rlbench.runfolder import journal

SEEDS = [3, 5]


def recorder(folder: Path) -> Recorder:
    return Recorder(folder, SEEDS, action_codec(spaces.Discrete(2), "test"))


def record(to: Recorder, count: int) -> None:
    for k in range(count):
        to.episode(Episode(k % 2, 0, k // 2, 0.5 * k, 2, True, 1000 + k, [0, 1]), 10 * k)


def rows(folder: Path) -> list[tuple[int, int, float, int]]:
    with (folder / "episodes.csv").open() as file:
        return [
            (int(row["seed"]), int(row["episode"]), float(row["episode_return"]), int(row["env_steps"]))
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("end", ["flush", "close", "sizes"])
@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, 2 * CHUNK + 3])
def test_what_waits_is_written_in_order_whatever_ends_the_waiting(count: int, end: str, tmp_path: Path) -> None:
    writes = recorder(tmp_path)
    record(writes, count)
    getattr(writes, end)()
    wanted = [(SEEDS[k % 2], k // 2, 0.5 * k, 10 * k) for k in range(count)]
    assert rows(tmp_path) == wanted
    for seed in SEEDS[:count]:
        (file,) = [path for path in journal.files(tmp_path) if path.stem == str(seed)]
        entries = journal.entries(file)
        assert [(seed, e.episode, e.episode_return, e.env_steps) for e in entries] == [
            row for row in wanted if row[0] == seed
        ]
    writes.close()


def test_few_wait_for_ever_since_what_they_did_takes_memory(tmp_path: Path) -> None:
    writes = recorder(tmp_path)
    record(writes, CHUNK)
    assert writes._waiting == []
    writes.close()


def test_each_has_the_time_at_which_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes, now = recorder(tmp_path), [0.0]
    monkeypatch.setattr("rlbench.record.recorder.time.perf_counter", lambda: writes._began + now[0])
    for now[0] in (1.0, 2.5):
        record(writes, 1)
    now[0] = 99.0
    writes.close()
    with (tmp_path / "episodes.csv").open() as file:
        assert [row["wall_seconds"] for row in csv.DictReader(file)] == ["1.000", "2.500"]
