"""The flight recorder: what was written is read back, damage is noticed, and every episode can be run again exactly."""

import csv
import json
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from test_promises import At, recipe

import rlbench
from rlbench.border.make import env_maker
from rlbench.border.spaces import action_codec
from rlbench.errors import CheckpointError
from rlbench.rollout.env_batch import Episode
from rlbench.rollout.signals import Interrupted
from rlbench.runfolder import journal
from rlbench.runfolder.journal import Entry, Journal
from rlbench.training import session
from rlbench.training import train as training

DISCRETE = spaces.Discrete(3)
SPACES = [
    (DISCRETE, "|u1"),
    (spaces.Discrete(256), "|u1"),
    (spaces.Discrete(3, start=-2), "<i2"),
    (spaces.Discrete(2, start=255), "<i2"),
    (spaces.Discrete(70_000), "<i4"),
    (spaces.Discrete(3, start=2**31 - 2), "<i8"),
    (spaces.Box(-1, 1, (2,), np.float32), "<f4"),
    (spaces.Box(-1, 1, (3, 2), np.float64), "<f8"),
    (spaces.Box(-1, 1, (), np.float32), "<f4"),
    (spaces.Box(0, 9, (2,), np.int16), "<i2"),
]


def ended(space: spaces.Space[Any], number: int, length: int, *, seed: int = 0, env: int = 0) -> Episode:
    """An episode of made-up numbers, with actions of ``space``."""
    space.seed(number)
    taken = [space.sample() for _ in range(length)]
    if isinstance(space, spaces.Discrete):
        taken = [int(a) for a in taken]
        taken[:2] = [int(space.start), int(space.start + space.n - 1)]
    return Episode(seed, env, number, -1.1 * number, length, number % 2 == 0, 2**31 - 1 - number, taken)


def written(folder: Path, episodes: list[Episode], space: spaces.Space[Any] = DISCRETE, seeds: Any = (0,)) -> Path:
    """The first seed's file of a journal of these episodes, of which each ended 10 steps after the one before."""
    folder.mkdir(exist_ok=True)
    book = Journal(folder, seeds, action_codec(space, "test"))
    for k, episode in enumerate(episodes):
        book.add(episode, 10 * (k + 1))
    book.flush()
    return folder / "journal" / f"{seeds[0]}.bin"


@pytest.mark.parametrize(("space", "dtype"), SPACES, ids=str)
def test_round_trip(space: spaces.Space[Any], dtype: str, tmp_path: Path) -> None:
    episodes = [ended(space, k, 2 + k, env=k % 3) for k in range(4)]
    path = written(tmp_path, episodes, space)
    assert json.loads(path.read_bytes().split(b"\n")[0])["dtype"] == dtype
    found = list(journal.entries(path))
    assert [entry[:-1] for entry in found] == [
        (0, e.env, e.episode, e.reset_seed, e.episode_length, 10 * (k + 1), e.episode_return, e.terminated)
        for k, e in enumerate(episodes)
    ]
    assert [entry.end for entry in found] == [
        (e.episode_length, e.episode_return, e.terminated, True) for e in episodes
    ]
    for entry, episode in zip(found, episodes, strict=True):
        taken = journal.actions(entry)
        np.testing.assert_array_equal(np.array(taken), np.array(episode.actions))
        assert len(taken) == episode.episode_length
        if isinstance(space, spaces.Discrete):
            assert {type(a) for a in taken} == {int}
        else:
            assert all(a.dtype == space.dtype and a.shape == space.shape for a in taken)
            taken[0] *= 0  # an environment may write to what it is given


def test_one_byte_a_step(tmp_path: Path) -> None:
    short, long = (written(tmp_path / str(n), [ended(DISCRETE, 0, n)]).stat().st_size for n in (10, 1010))
    assert long - short == 1000


def test_two_sessions_append_and_seeds_have_files_of_their_own(tmp_path: Path) -> None:
    episodes = [ended(DISCRETE, k, 3 + k, seed=k % 2) for k in range(8)]
    whole = written(tmp_path / "whole", episodes, seeds=(12, 5))
    codec = action_codec(DISCRETE, "test")
    (tmp_path / "parts").mkdir()
    for part in (slice(0, 3), slice(3, 3), slice(3, 8)):
        book = Journal(tmp_path / "parts", [12, 5], codec)
        for k in range(8)[part]:
            book.add(episodes[k], 10 * (k + 1))
        assert sum(book.sizes().values()) == sum(p.stat().st_size for p in journal.files(tmp_path / "parts"))
    for name in ("5.bin", "12.bin"):
        assert (tmp_path / "parts/journal" / name).read_bytes() == (tmp_path / "whole/journal" / name).read_bytes()
    assert [path.stem for path in journal.files(tmp_path / "parts")] == ["5", "12"]
    assert [entry.episode for entry in journal.entries(whole)] == [0, 2, 4, 6]
    assert {entry.seed for entry in journal.entries(whole)} == {12}


def test_nothing_is_written_before_an_episode_ends(tmp_path: Path) -> None:
    book = Journal(tmp_path, [0], action_codec(DISCRETE, "test"))
    assert book.sizes() == {}
    assert journal.files(tmp_path) == []
    book.add(ended(DISCRETE, 0, 3), 3)
    assert journal.files(tmp_path) == []
    assert list(book.sizes()) == ["journal/0.bin"]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    return written(tmp_path, [ended(DISCRETE, k, 4) for k in range(3)])


def test_what_a_crash_cut_off_is_passed_over(three: Path) -> None:
    data = three.read_bytes()
    header = data.index(b"\n") + 1
    record, rest = divmod(len(data) - header, 3)
    assert rest == 0
    for size in range(len(data) + 1):
        three.write_bytes(data[:size])
        assert len(list(journal.entries(three))) == max(0, size - header) // record, size


def test_every_flipped_bit_is_noticed(three: Path) -> None:
    data = three.read_bytes()
    for at in range(len(data)):
        for bit in range(8):
            three.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            with pytest.raises(CheckpointError, match=r"damaged|Upgrade rlbench"):
                list(journal.entries(three))


def test_what_comes_before_the_damage_is_read(three: Path) -> None:
    data = bytearray(three.read_bytes())
    data[-6] ^= 1
    three.write_bytes(data)
    source = journal.entries(three)
    assert [next(source).episode, next(source).episode] == [0, 1]
    with pytest.raises(CheckpointError, match=r"0\.bin is damaged: the record at byte \d+ does not match"):
        next(source)


HEADER = {"rlbench": "journal", "format": 1, "dtype": "|u1", "shape": []}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"seed,env\n0,0\n", "is no journal"),
        (b"\x80\x04K\x01.", "is no journal"),
        (b"{}\n", "is no journal"),
        (b"[" * 9_999 + b"\n", "is no journal"),
        (b"x" * 100_000, "is no journal"),
        ({**HEADER, "rlbench": "checkpoint"}, "is no journal"),
        ({**HEADER, "format": 2}, "has format 2, this rlbench reads up to 1. Upgrade rlbench"),
        ({**HEADER, "format": 2, "dtype": {}}, "Upgrade rlbench"),
        ({**HEADER, "format": "1"}, "is no journal"),
        ({**HEADER, "dtype": "O"}, "is no journal"),
        ({**HEADER, "dtype": "|O8"}, "is no journal"),
        ({**HEADER, "dtype": "<i3"}, "is no journal"),
        ({**HEADER, "dtype": ["u1"]}, "is no journal"),
        ({**HEADER, "shape": [-1]}, "is no journal"),
        ({**HEADER, "shape": [2.0]}, "is no journal"),
        ({**HEADER, "shape": 3}, "is no journal"),
    ],
)
def test_not_a_journal(content: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / "0.bin"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode() + b"\n")
    with pytest.raises(CheckpointError, match=says) as e:
        list(journal.entries(path))
    assert str(path) in str(e.value)


def test_an_empty_journal_and_none(tmp_path: Path) -> None:
    (tmp_path / "0.bin").write_bytes(b"")
    assert list(journal.entries(tmp_path / "0.bin")) == []
    with pytest.raises(CheckpointError, match=r"1\.bin cannot be read: No such file"):
        list(journal.entries(tmp_path / "1.bin"))
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "notes.bin").touch()
    assert journal.files(tmp_path) == []


def test_cut_back(tmp_path: Path) -> None:
    episodes = [ended(DISCRETE, k, 5, seed=k % 2) for k in range(6)]
    written(tmp_path, episodes[:3], seeds=(0, 1, 2))
    before = {path.name: path.read_bytes() for path in journal.files(tmp_path)}
    book = Journal(tmp_path, [0, 1, 2], action_codec(DISCRETE, "test"))
    sizes = book.sizes()
    for k, episode in enumerate([*episodes[3:], ended(DISCRETE, 9, 5, seed=2)]):
        book.add(episode, 100 + k)
    book.flush()
    assert len(journal.files(tmp_path)) == 3
    journal.cut_back(tmp_path, sizes)
    assert {path.name: path.read_bytes() for path in journal.files(tmp_path)} == before


def test_cut_back_of_a_file_that_lost_its_end(three: Path) -> None:
    whole = three.read_bytes()
    three.write_bytes(whole[:-3])
    journal.cut_back(three.parents[1], {"journal/0.bin": len(whole)})
    assert [entry.episode for entry in journal.entries(three)] == [0, 1]
    written(three.parents[1], [ended(DISCRETE, 7, 4)])
    assert [entry.episode for entry in journal.entries(three)] == [0, 1, 7]
    three.write_bytes(whole[:30])
    journal.cut_back(three.parents[1], {"journal/0.bin": len(whole)})
    assert not three.exists()


def assert_replays(folder: Path, env_id: str, kwargs: dict[str, Any], limit: int, at_least: int) -> list[Entry]:
    """Every episode of episodes.csv is in the journal, and comes to the same end when it is run again."""
    env = env_maker(env_id, kwargs, limit)()
    found = [entry for path in journal.files(folder) for entry in journal.entries(path)]
    for entry in found:
        assert journal.difference(entry, journal.outcome(env, entry)) == ""
    env.close()
    with (folder / "episodes.csv").open(newline="") as file:
        rows = [tuple(row.values())[:6] for row in csv.DictReader(file)]
    assert sorted(rows) == sorted(
        (str(e.seed), str(e.env), str(e.episode), str(e.env_steps), f"{e.episode_return:.10g}", str(e.episode_length))
        for e in found
    )
    assert len(found) >= at_least
    return found


RUNS: list[tuple[str, dict[str, Any], int]] = [
    ("CartPole-v1", {"total_steps": 200}, 30),
    ("CartPole-v1", {"total_steps": 600, "num_envs": 3}, 80),
    ("CartPole-v1", {"total_steps": 300, "num_envs": 3, "workers": 2}, 40),
    ("CartPole-v1", {"total_steps": 100, "max_episode_steps": 9}, 40),
    ("Acrobot-v1", {"total_steps": 160, "max_episode_steps": 40}, 16),
    ("MountainCar-v0", {"total_steps": 200, "max_episode_steps": 30}, 24),
    ("FrozenLake-v1", {"total_steps": 200}, 60),
    ("Taxi-v4", {"total_steps": 250, "max_episode_steps": 50}, 20),
    ("rlbench/Catch-v0", {"total_steps": 200}, 80),
    ("LunarLander-v3", {"total_steps": 300}, 8),
    ("LunarLander-v3", {"total_steps": 300, "agent": "random", "env_kwargs": {"continuous": True}}, 8),
    ("Pendulum-v1", {"total_steps": 60, "agent": "random", "max_episode_steps": 20}, 12),
]


@pytest.mark.parametrize(("env", "keys", "at_least"), RUNS)
def test_every_episode_of_a_run_replays_exactly(env: str, keys: dict[str, Any], at_least: int, tmp_path: Path) -> None:
    if env.startswith("LunarLander"):
        pytest.importorskip("Box2D")
    done = rlbench.train(recipe=told(env, seeds=4, **keys), out=tmp_path / "run")
    limit = keys.get("max_episode_steps", 0)
    found = assert_replays(done.folder, env, keys.get("env_kwargs", {}), limit, at_least)
    assert {entry.seed for entry in found} == {0, 1, 2, 3}
    assert {entry.env for entry in found} == set(range(keys.get("num_envs", 1)))
    if keys.get("agent") != "random":
        assert done.summary["updates"] > 0


def told(env: str, **keys: Any) -> Any:
    """`recipe`, also for an agent that has no hyper-parameters."""
    made = recipe(env, **{k: v for k, v in keys.items() if k != "agent"})
    return made.replace(agent="random", hyper={}) if keys.get("agent") == "random" else made


def test_another_environment_is_noticed(tmp_path: Path) -> None:
    rlbench.train(recipe=recipe(seeds=1, total_steps=150), out=tmp_path / "run")
    entry = next(journal.entries(tmp_path / "run/journal/0.bin"))
    env = gym.make("CartPole-v1")
    found = journal.outcome(env, entry._replace(reset_seed=entry.reset_seed + 1))
    assert "was recorded" in journal.difference(entry, found)
    end = entry.end
    for other in (end._replace(step=1), end._replace(episode_return=0.0), end._replace(terminated=not end.terminated)):
        assert journal.difference(entry, other)
    assert not journal.difference(entry, journal.outcome(env, entry))


class Crash(At):
    """Raises when the record has just gone ahead of the checkpoint."""

    def tick(self, session: Any) -> None:
        if session.env_steps >= self.step:
            session.recorder.flush()
        super().tick(session)


def assert_same_journal(a: Path, b: Path) -> None:
    one, two = ({path.relative_to(run): path.read_bytes() for path in journal.files(run)} for run in (a, b))
    assert one == two
    assert len(one) == 2


def test_an_interrupted_run_writes_the_same_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    keys: dict[str, Any] = {"seeds": 2, "num_envs": 2, "total_steps": 600}
    whole, cut = rlbench.train(recipe=recipe(**keys), out=tmp_path / "whole").folder, tmp_path / "cut"
    with pytest.raises(Interrupted):
        rlbench.train(recipe=recipe(**keys), out=cut, watcher=At(162, signal.SIGTERM))
    saved = sum(path.stat().st_size for path in journal.files(cut))
    with pytest.raises(MemoryError):  # nothing is saved on the way out
        training.resume(cut, watcher=Crash(340, MemoryError))
    assert sum(path.stat().st_size for path in journal.files(cut)) > saved
    training.resume(cut)
    assert_same_journal(cut, whole)


def test_a_run_on_several_processes_goes_on_with_its_journals(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"seeds": 2, "num_envs": 2, "workers": 2}
    whole = rlbench.train(recipe=recipe(total_steps=400, **keys), out=tmp_path / "whole").folder
    rlbench.train(recipe=recipe(total_steps=200, **keys), out=tmp_path / "cut")
    assert_same_journal(training.resume(tmp_path / "cut", total_steps=400).folder, whole)
