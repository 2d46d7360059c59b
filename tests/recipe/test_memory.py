"""Memory and disk are looked at before a run begins: what it will need is said, and what cannot fit is refused."""

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from command import CARTPOLE, mistake, rlbench, succeeds
from conftest import make_spec
from rlbench.agents.dqn import DQN
from rlbench.agents.random import Random

import rlbench as package
from rlbench.errors import NoMemory, UsageError
from rlbench.process.resources import GIB, free_disk, free_memory
from rlbench.recipe import Recipe, memory
from rlbench.recipe.build import build
from rlbench.recipe.memory import Need, NoRoom, check_disk, check_memory, need_of
from rlbench.replay import Replay, arrays, ring
from rlbench.rng import Streams

MIB = 2**20


def recipe(**keys: Any) -> Recipe:
    return Recipe(env="CartPole-v1", hyper={"capacity": 50_000}, **keys)


def dqn(seeds: int, **hyper: Any) -> DQN:
    config = DQN.Config(**{"hidden": (8,), "capacity": 500, **hyper})
    return DQN(make_spec(num_seeds=seeds), config, Streams(list(range(seeds)), torch.device("cpu")))


def test_the_need_of_an_agent_grows_with_its_seeds() -> None:
    one, three = need_of(dqn(1), 1, 3, 10_000), need_of(dqn(3), 3, 3, 10_000)
    assert one == three
    assert three.replay == 3 * 500 * 4 * (4 + 4 + 1 + 3)  # obs, next_obs, action; reward and two flags
    weights = sum(x.numel() * x.element_size() for x in _leaves(dqn(3).state_dict()))
    assert weights <= three.host == three.weights < 2 * weights  # memory that is shared is kept whole
    assert three.capacity == 500
    assert need_of(dqn(1), 1, 1, 50).replay == need_of(dqn(1), 1, 1, 10_000).replay // 10  # never full
    assert need_of(dqn(1), 1, 1, 50).capacity == 50


def _leaves(state: Any) -> list[torch.Tensor]:
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else []
    return [state] if isinstance(state, torch.Tensor) else [leaf for part in inner for leaf in _leaves(part)]


def test_a_buffer_says_how_large_it_becomes() -> None:
    stream = Streams([0, 1], torch.device("cpu"))["replay"]
    pixels = Replay(make_spec((4, 4), torch.uint8, num_seeds=2, num_envs=3), 100, stream)
    assert pixels.capacity == 99
    assert pixels.nbytes == 2 * 99 * (2 * 16 + 4 * 4)
    with pytest.raises(NoMemory, match="lower capacity") as e:
        Replay(make_spec(num_seeds=2), 10**14, stream)
    assert (e.value.nbytes, e.value.capacity) == (2 * 10**14 * 48, 10**14)


def test_an_agent_of_ones_own_is_counted_too() -> None:
    class Buffer:
        def __init__(self) -> None:
            self.ring, self.view, self.flags = np.zeros((10, 8)), np.zeros(4)[:2], torch.zeros(6)

    class Mine:
        replay: Any = Buffer()

        def state_dict(self) -> dict[str, Any]:
            raise AttributeError("nothing learned yet")

    assert need_of(Mine(), 2, 4, 100) == Need(4, 2 * (640 + 24), 0, 0, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("need", [Need(20, 40 * GIB, 20 * MIB, 20 * MIB, 50_000), Need(3, 0, 30 * GIB, 30 * GIB)])
def test_what_is_said_to_fit_fits(need: Need) -> None:
    free = 22 * GIB
    with pytest.raises(NoRoom, match=r"seeds need \d.* GiB of memory \(.*\), and 22\.0 GiB are free here\.") as e:
        check_memory(need, recipe(seeds=need.seeds), free)
    seeds = [int(n) for n in re.findall(r"--seeds (\d+)", str(e.value))]
    capacities = [int(n) for n in re.findall(r"--set dqn\.capacity=(\d+)", str(e.value))]
    assert len(seeds) + len(capacities) == (2 if need.replay else 0)
    assert ("No such run fits" in str(e.value)) == (not need.replay)
    shares = [(n / need.seeds, n / need.seeds) for n in seeds] + [(n / need.capacity, 1.0) for n in capacities]
    for buffer, weights in shares:
        part = need._replace(
            replay=int(need.replay * buffer), weights=int(need.weights * weights), host=int(need.host * weights)
        )
        assert 0.9 * free < part.memory <= free  # and no less than need be
        check_memory(part, recipe(), free)
    if capacities:
        assert str(e.value).endswith("What fits: --seeds 10, or --set dqn.capacity=26000.")


def test_memory_is_worth_a_word_when_there_is_much_of_it() -> None:
    assert check_memory(Need(1, 50 * MIB, MIB, MIB), recipe(), 10 * GIB) == []
    for need, free in ((Need(1, 2 * GIB, MIB, MIB), 100 * GIB), (Need(1, 200 * MIB, MIB, MIB), GIB)):
        (said,) = check_memory(need, recipe(), free)
        assert re.fullmatch(r"Memory: up to \d\.\d GiB \(replay buffers .* GiB, .* 3\.0 MiB\); .* GiB are free\.", said)


def test_the_disk_is_looked_at_as_well(tmp_path: Path) -> None:
    need = Need(1, 0, 98 * MIB, 98 * MIB)
    (said,) = check_disk(need, recipe(), tmp_path / "not" / "there", 50 * GIB)
    assert said.startswith("Disk: the run folder takes up to 0.4 GiB (checkpoints 98.0 MiB each, ")
    assert "2 kept" in said
    (said,) = check_disk(need, recipe(), tmp_path, 350 * MIB)
    assert said.endswith("Keep fewer: --set keep_checkpoints=1")
    with pytest.raises(NoRoom, match=r"needs 0\.3 GiB .* 98\.0 MiB are free on the disk of .*No such run fits"):
        check_disk(need, recipe(), tmp_path, 98 * MIB)
    assert check_disk(Need(1, MIB, MIB, MIB), recipe(), tmp_path, GIB) == []
    assert free_disk(tmp_path / "not" / "there") == pytest.approx(free_disk(tmp_path), rel=0.05)


def fake(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


MEMINFO = "MemTotal: 8388608 kB\nMemFree: 100 kB\nMemAvailable:    4194304 kB\n"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"proc/meminfo": MEMINFO}, 4 * GIB),
        ({}, None),  # no Linux
        (  # version 2, as a job of a batch system sees it: the limit is the parent's
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/job/step\n",
                "sys/fs/cgroup/job/memory.max": f"{3 * GIB}\n",
                "sys/fs/cgroup/job/memory.current": f"{2 * GIB}\n",
                "sys/fs/cgroup/job/memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
                "sys/fs/cgroup/job/step/memory.max": "max\n",
                "sys/fs/cgroup/job/step/memory.current": "7\n",
            },
            3 * GIB // 2,
        ),
        (  # version 2, inside a container: its own group is the root
            {
                "proc/self/cgroup": "0::/docker/abc\n",
                "sys/fs/cgroup/memory.max": f"{GIB}\n",
                "sys/fs/cgroup/memory.current": "1024\n",
            },
            GIB - 1024,
        ),
        (  # version 1
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "9:cpu:/a\n4:memory:/a\n0::/\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/a/memory.usage_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
            },
            GIB,
        ),
        ({"proc/meminfo": MEMINFO, "proc/self/cgroup": "nonsense\n\n4:memory\n"}, 4 * GIB),
    ],
)
def test_what_is_free(files: dict[str, str], free: int | None, tmp_path: Path) -> None:
    assert free_memory(fake(tmp_path, files)) == free


def test_here_there_is_something_free() -> None:
    assert 0 < (free_memory() or 1) < 2**60


@pytest.mark.parametrize("workers", [1, 2])
def test_training_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 40_000)
    run = tmp_path / "run"
    said = mistake(*CARTPOLE, "--workers", workers, "--seeds", "4", "--set", "dqn.capacity=5000", "--out", run)
    assert re.match(r"Error: 4 seeds need \d+ KiB of memory \(replay buffers \d+ KiB, .*\. What fits: --seeds \d", said)
    assert not run.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_cannot_go_on_where_there_is_too_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    run = tmp_path / "run"
    succeeds(*CARTPOLE, "--workers", workers, "--out", run)
    monkeypatch.setattr(memory, "free_memory", lambda: 10_000)
    said = mistake("train", "--resume", run, "--total-steps", "200")
    assert said.endswith("A run that goes on cannot take less: go on where there is more.")
    succeeds("eval", run, "--episodes", "1")  # takes little, and is not refused
    monkeypatch.setattr(memory, "free_memory", lambda: GIB)
    assert rlbench("train", "--resume", run, "--total-steps", "200").exit_code == 0


def test_much_of_it_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 200_000)
    monkeypatch.setattr(memory, "free_disk", lambda folder: 300_000)
    for workers in (1, 2):
        result = rlbench(*CARTPOLE, "--workers", workers, "--out", tmp_path / f"run{workers}")
        assert result.exit_code == 0, result.output
        lines = [line for line in result.stderr.splitlines() if line.startswith(("Note: Memory", "Note: Disk"))]
        assert len(lines) == 2, result.stderr


class Greedy(Random):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        torch.empty(10**15)


class Many(gymnasium.Env[int, int]):
    observation_space, action_space = gymnasium.spaces.Discrete(20_000), gymnasium.spaces.Discrete(2)
    metadata: dict[str, Any] = {"render_modes": []}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> Any:
        return 5, 1.0, True, False, {}


gymnasium.register("test/Many-v0", Many)


def test_a_wide_first_layer_is_said_and_looked_at_one_seed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = rlbench("train", "--env", "test/Many-v0", *CARTPOLE[3:], "--out", tmp_path / "run")
    assert "20,000 distinct observations: networks have a column for each of them" in result.stderr
    built: list[int] = []
    begin = DQN.__init__

    def counted(self: DQN, spec: Any, *rest: Any) -> None:
        built.append(spec.num_seeds)
        begin(self, spec, *rest)

    monkeypatch.setattr(DQN, "__init__", counted)
    monkeypatch.setattr(memory, "free_memory", lambda: 4 * MIB)
    words = ("train", "--env", "test/Many-v0", *CARTPOLE[3:], "--seeds", "10", "--out", tmp_path / "other")
    assert "10 seeds need " in mistake(*words)
    assert built == [1]  # ten would have taken what there is not


def test_an_allocation_that_fails_is_one_line(tmp_path: Path) -> None:
    huge = ("--set", f"dqn.capacity={10**14}")
    said = mistake(*CARTPOLE, *huge, "--out", tmp_path / "run")
    assert re.search(
        r"2 seeds need [\d,.]+ GiB of memory \(replay buffers [\d,.]+ GiB\), .* dqn\.capacity=\d+\.$", said
    )

    with pytest.raises(UsageError, match="there is not enough memory"):
        package.train("CartPole-v1", agent=Greedy, seeds=1, total_steps=10, out=tmp_path / "greedy")


def test_a_buffer_too_large_for_a_card_is_one_line_that_says_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = 50_000 * 48
    monkeypatch.setattr(ring, "free_there", lambda device: 3 * each)
    made = recipe(seeds=4, replay="device", device="cpu", workers=1)
    with pytest.raises(UsageError) as e:
        package.train(recipe=made, out=tmp_path / "run")
    assert str(e.value) == (
        'replay = "device": the replay buffer of 4 seeds needs 9.2 MiB of the card\'s memory, and 6.9 MiB of it are '
        "free. What fits: --seeds 2, or --set dqn.capacity=35000, or --set replay=host."
    )
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(arrays, "free_there", lambda device: 3 * each)
    for less in ({"seeds": 2}, {"hyper": {"capacity": 35_000}}, {"replay": "host"}, {"replay": "auto"}):
        other = made.replace(**less)
        built: Any = build(other, other.seed_numbers, "cpu", train=other.seeds).agent
        assert built.replay.on_device == (other.replay == "device")


def test_a_place_for_buffers_that_is_none_is_a_mistake() -> None:
    assert "replay" in mistake(*CARTPOLE, "--set", "replay=gpu")


def test_a_buffer_of_the_device_that_is_a_cpu_is_refused_like_the_hosts(tmp_path: Path) -> None:
    """It takes memory as it fills, as the host's does: neither is written to beforehand."""
    command = [*CARTPOLE, "--seeds", "2", "--workers", "1", "--set", "dqn.capacity=2000000000"]
    found = [
        mistake(*command, "--set", f"replay={where}", "--out", str(tmp_path / where)) for where in ("host", "device")
    ]
    assert all("--set dqn.capacity=" in text for text in found), found
